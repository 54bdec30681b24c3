"""What only `wardian` has, and what it promises beyond docker's command line."""

import json
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

import homes
from clients_shared import IMAGE
from wardian.client import Client, Target


def test_plan_shows_what_run_would_do_and_makes_nothing(wardian):
    before = wardian.out("ps", "-aq")
    lines = wardian.out("plan", "--memory", "64m", "--network", "none", IMAGE, "true").splitlines()
    numbers = [int(line.split()[0]) for line in lines]
    assert numbers == list(range(len(lines)))
    assert any("proc" in line for line in lines)
    assert wardian.out("ps", "-aq") == before


def test_explain_shows_what_was_carried_out(wardian):
    wardian("run", "--name", "shown", "--network", "none", IMAGE, "true")
    shown = wardian.out("explain", "shown")
    assert "µs" in shown
    assert " steps, " in shown
    answer = json.loads(wardian.out("explain", "--format", "json", "shown"))
    assert answer["Name"].strip("/") == "shown"
    assert all(step["Errno"] == 0 for step in answer["Steps"] if step["Nanoseconds"] is not None)
    assert wardian.out("explain", "-f", "{{len .Steps}}", "shown") == str(len(answer["Steps"]))
    wardian("create", "--name", "never", IMAGE, "true")
    assert b"has not been started" in wardian("explain", "never", status=1).stderr


@pytest.mark.parametrize("verb", ["compose up", "swarm init"])
def test_what_is_not_built_says_so(wardian, verb):
    done = wardian(*verb.split(), status=1)
    assert done.stderr.decode() == f"wardian: '{verb}' is not built yet\n"


def test_signals_reach_the_container(wardian):
    script = "trap 'echo got-term; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    process = wardian.start("run", "--rm", IMAGE, "sh", "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=10)
    assert (out, process.returncode) == (b"got-term\n", 3)


@pytest.mark.parametrize("tty", [False, True])
def test_without_proxy_the_exit_is_waited_for(docker, tty):
    """Ctrl-C at a terminal: docker 28 waits for the container and answers its code."""
    script = "echo up; sleep 1; exit 2"
    options = ["--rm", "--sig-proxy=false", *(["-t"] if tty else [])]
    terminal = docker.terminal("run", *options, IMAGE, "sh", "-c", script)
    terminal.expect("up")
    terminal.type("\x03")
    assert terminal.wait() == 2


def test_the_third_signal_without_proxy_ends_the_command_only(wardian):
    process = wardian.start("run", "--sig-proxy=false", "--name", "stays", IMAGE, "sh", "-c", "echo up; sleep 100")
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.1)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (1, b"\ngot 3 SIGTERM/SIGINTs, forcefully exiting\n")
    assert wardian.out("inspect", "-f", "{{.State.Running}}", "stays") == "true"


def test_cidfile(wardian, tmp_path):
    path = str(tmp_path / "cid")
    wardian("run", "--cidfile", path, "--name", "cid", IMAGE, "true")
    assert (tmp_path / "cid").read_text() == wardian.out("inspect", "-f", "{{.Id}}", "cid")
    done = wardian("run", "--cidfile", path, IMAGE, "true", status=125)
    assert b"container ID file found" in done.stderr


def test_start_attached(wardian):
    wardian("create", "-i", "--name", "att", IMAGE, "sh", "-c", "cat; exit 4")
    done = wardian("start", "-ai", "att", stdin=b"through\n", status=4)
    assert done.stdout == b"through\n"


def test_terminal_is_needed_for_tty(wardian):
    assert wardian("run", "--rm", "-it", IMAGE, "true", status=1).stderr == b"the input device is not a TTY\n"


def test_failed_start_is_removed_by_rm(wardian):
    start = time.monotonic()
    wardian("run", "--rm", "--network", "none", IMAGE, "no-such-command", status=127)
    assert time.monotonic() - start < 2
    assert wardian.out("ps", "-aq") == ""


def test_listings_pipe_well(wardian):
    wardian("run", "-d", "--name", "one", IMAGE, "sleep", "100")
    assert wardian.out("ps", "--format", "table {{.Names}}\t{{.State}}").splitlines() == [
        "NAMES     STATE",
        "one       running",
    ]
    row = json.loads(wardian.out("ps", "--format", "json"))
    assert (row["Names"], row["Command"]) == ("one", '"sleep 100"')


def test_closed_descriptors_are_no_streams_of_the_container(wardian):
    """The first socket of a command whose stdin is closed would be descriptor 0."""
    shell = [*wardian.prefix, "run", "--rm", "-i", IMAGE, "cat"]
    done = subprocess.run(["sh", "-c", '"$@" <&-', "sh", *shell], env=wardian.environment, timeout=15)
    assert done.returncode == 0
    silent = ["sh", "-c", '"$@" >&- 2>&-', "sh", *wardian.prefix, "ps"]
    assert subprocess.run(silent, env=wardian.environment, timeout=15).returncode == 0


def test_output_that_nobody_takes_is_no_traceback(wardian):
    piped = ["bash", "-c", '"$@" | head -c 4; echo ${PIPESTATUS[0]}', "sh", *wardian.prefix]
    done = subprocess.run([*piped, "run", "--rm", IMAGE, "yes"], env=wardian.environment, capture_output=True)
    assert (done.stdout, done.stderr) == (b"y\ny\n141\n", b"")
    full = ["sh", "-c", '"$@" >/dev/full', "sh", *wardian.prefix, "ps"]
    done = subprocess.run(full, env=wardian.environment, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"wardian: No space left on device\n")


def test_bytes_that_are_no_text(wardian):
    done = subprocess.run(
        [*wardian.prefix, "stop", b"no\xff"], env={**wardian.environment, "LC_ALL": "C"}, capture_output=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error response from daemon: No such container: no")


ODD_LOCALES = [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}]


@pytest.mark.parametrize("locale", ODD_LOCALES, ids=["utf8", "ascii"])
def test_arguments_are_utf8_in_any_locale(wardian, locale):
    """As docker: what is no UTF-8 becomes U+FFFD, one for each byte."""
    words = ["run", "--rm", "-e", b"A=\xff\xfe b", IMAGE, "sh", "-c", 'echo "$0 $1 $A"', b"x\xe9\x80", "é😀"]
    done = subprocess.run([*wardian.prefix, *words], env={**wardian.environment, **locale}, capture_output=True)
    assert (done.stderr, done.stdout.decode()) == (b"", "x\ufffd\ufffd é😀 \ufffd\ufffd b\n")


@pytest.mark.parametrize("locale", ODD_LOCALES, ids=["utf8", "ascii"])
def test_a_file_of_any_name_is_found_in_any_locale(wardian, locale, tmp_path):
    path = bytes(tmp_path) + "/é".encode() + b"\xff"
    with open(path, "w") as file:
        file.write("A=1\n")
    words = ["run", "--rm", "--env-file", path, IMAGE, "sh", "-c", "echo $A"]
    done = subprocess.run([*wardian.prefix, *words], env={**wardian.environment, **locale}, capture_output=True)
    assert (done.stderr, done.stdout) == (b"", b"1\n")


def _interrupted(wardian, tmp_path, hook, *arguments):
    """The installed command, where a module that comes before it sends it Ctrl-C at one point."""
    (tmp_path / "sitecustomize.py").write_text("import os, signal, sys\n" + hook)
    tree = Path(__file__).parents[2]
    environment = {**wardian.environment, "PYTHONPATH": f"{tmp_path}:{tree / 'src'}"}
    return subprocess.run(
        [sys.executable, str(tree / "bin/wardian"), *arguments], env=environment, capture_output=True, timeout=20
    )


@pytest.mark.parametrize("module", ["wardian.cli", "wardian.cli.tree", "wardian.cli.run"])
def test_ctrl_c_during_imports_is_silent(wardian, tmp_path, module):
    hook = (
        "class Finder:\n"
        "    def find_spec(name, path, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder)\n"
    )
    done = _interrupted(wardian, tmp_path, hook, "run", "--rm", IMAGE, "true")
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("function", ["_post_create", "_create"])
@pytest.mark.parametrize("detach", [True, False])
def test_ctrl_c_before_the_start_leaves_nothing_with_rm(wardian, tmp_path, function, detach):
    hook = (
        "def profile(frame, event, argument):\n"
        f"    if event == 'return' and frame.f_code.co_name == {function!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.setprofile(profile)\n"
    )
    done = _interrupted(wardian, tmp_path, hook, "run", "--rm", *(["-d"] if detach else []), IMAGE, "sleep", "100")
    assert (done.returncode, done.stderr) == (130, b"")
    assert wardian.out("ps", "-aq") == ""


def test_wrong_detach_keys_make_no_container(wardian):
    done = wardian("run", "--rm", "--detach-keys", "bogus", IMAGE, "true", status=None)
    assert b"invalid detach keys" in done.stderr
    assert wardian.out("ps", "-aq") == ""


def test_kill_of_what_is_not_there(docker):
    done = docker("kill", "nosuch", status=1)
    assert done.stderr == b"Error response from daemon: cannot kill container: nosuch: No such container: nosuch\n"


EMPTY_NAMES = ["stop", "kill", "wait", "attach", "start", "logs", "inspect", "container inspect", "network inspect"]


@pytest.mark.parametrize("verb", EMPTY_NAMES)
def test_an_empty_name_is_told(docker, verb):
    kind = "network" if verb.startswith("network") else "container"
    done = docker(*verb.split(), "", status=1)
    assert f"invalid {kind} name or ID: value is empty" in done.stderr.decode()
    assert done.stdout in (b"", b"[]\n")


def test_a_name_may_have_the_slash_that_inspect_shows(docker):
    docker("run", "-d", "--name", "slashed", IMAGE, "sh", "-c", "echo up; exec sleep 100")
    name = docker.out("inspect", "-f", "{{.Name}}", "slashed")
    assert name == "/slashed"
    assert docker.out("logs", name) == "up"
    assert docker.out("exec", name, "echo", "in") == "in"
    assert docker.out("inspect", "-f", "{{.Name}}", name) == name
    assert docker.out("kill", name) == name


def test_a_name_reaches_the_engine_as_it_was_typed(wardian):
    done = wardian("inspect", "--type", "container", "a b?c#d%65", status=1)
    assert done.stderr.decode() == "Error response from daemon: No such container: a b?c#d%65\n"


def test_files_that_are_not_there(wardian):
    wardian("run", "-d", "--name", "files", IMAGE, "sleep", "100")
    said = b"open /nonexistent: no such file or directory"
    assert wardian("exec", "--env-file", "/nonexistent", "files", "true", status=1).stderr == said + b"\n"
    assert said in wardian("run", "--env-file", "/nonexistent", IMAGE, "true", status=125).stderr
    before = wardian.out("ps", "-aq")
    assert (
        b"failed to create the container ID file"
        in wardian("run", "--cidfile", "/nonexistent/id", IMAGE, "true", status=125).stderr
    )
    assert wardian.out("ps", "-aq") == before


def test_an_id_file_of_a_container_that_was_not_made_goes(wardian, tmp_path):
    wardian("run", "--cidfile", str(tmp_path / "cid"), "--network", "none", "--pull", "never", "none/such", status=125)
    assert not (tmp_path / "cid").exists()


def test_errors_of_create_are_told_plainly(wardian):
    wardian("create", "--name", "twice", IMAGE, "true")
    done = wardian("create", "--name", "twice", IMAGE, "true", status=1)
    assert done.stderr.startswith(
        b'Error response from daemon: Conflict. The container name "/twice" is already in use'
    )
    assert wardian("create", IMAGE.upper(), status=1).stderr.startswith(b"invalid reference format")


def test_settings_of_a_person(wardian, tmp_path):
    proxies = {"default": {"httpProxy": "http://proxy:1", "noProxy": "a"}}
    settings = {"psFormat": "{{.Names}}!", "imagesFormat": "{{.Tag}}!", "detachKeys": "ctrl-a,x", "proxies": proxies}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    wardian("run", "-d", "--name", "set", IMAGE, "sleep", "100")
    assert wardian.out("ps") == "set!"
    assert wardian.out("ps", "--format", "{{.State}}") == "running"
    assert wardian.out("images").splitlines()[0].endswith("!")
    environment = wardian.out("run", "--rm", "-e", "no_proxy=mine", IMAGE, "env").splitlines()
    assert {"HTTP_PROXY=http://proxy:1", "http_proxy=http://proxy:1", "NO_PROXY=a", "no_proxy=mine"} <= {*environment}
    terminal = wardian.terminal("exec", "-it", "set", "sh")
    terminal.expect("# ")
    terminal.type("\x01x")
    assert terminal.wait() == 1
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    assert wardian.out("--config", str(elsewhere), "ps").startswith("CONTAINER ID")
    (tmp_path / "config.json").write_text("{")
    assert wardian("ps").stderr.startswith(b"WARNING: Error parsing config file")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_terminal_is_put_back_when_a_signal_ends_the_command(wardian, number):
    wardian("run", "-dit", "--name", "raw", IMAGE, "sh")
    terminal = wardian.terminal("attach", "raw")
    terminal.type("echo here''so\n")  # the shell may have shown its prompt before
    terminal.expect("hereso")
    assert not terminal.settings()[1] & termios.OPOST
    terminal.process.send_signal(number)
    assert terminal.wait() == 128 + number
    assert terminal.settings() == terminal.first_settings
    assert wardian.out("inspect", "-f", "{{.State.Running}}", "raw") == "true"


def test_a_wait_outlives_the_engine(wardian, engine):
    wardian("run", "-d", "--name", "long", IMAGE, "sh", "-c", "trap 'exit 9' TERM; while :; do sleep 0.05; done")
    waiting = wardian.start("wait", "long")
    attached = wardian.start("run", "--name", "follow", IMAGE, "sh", "-c", "echo go; sleep 2; echo done; exit 6")
    assert attached.stdout is not None
    assert attached.stdout.readline() == b"go\n"
    engine.kill()
    engine.start()
    wardian("kill", "-s", "TERM", "long")
    assert waiting.communicate(timeout=15) == (b"9\n", b"")
    assert attached.communicate(timeout=15) == (b"done\n", b"")
    assert attached.returncode == 6


def test_many_clients_start_one_engine(tmp_path_factory, wardian):
    """Each asks for the engine of the same Home, where none runs."""
    directory = tmp_path_factory.mktemp("h")
    home = homes.new_home(str(directory))
    words = f"{home.data_root!r}, {home.run_root!r}, cgroup_base={home.cgroup_base!r}, bridge={home.bridge!r}"
    code = (
        "from wardian.client import Client, Target; from wardian.home import make_home\n"
        f"home = make_home({words})\n"
        "print(Client(Target(home.socket, home)).call('GET', '/info')['ID'])"
    )
    clients = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(4)]
    try:
        answers = {client.communicate(timeout=30)[0] for client in clients}
        assert len(answers) == 1
        assert answers != {b""}
    finally:
        Client(Target(home.socket)).request("POST", "/wardian/shutdown")
        homes.remove_empty_groups(home.cgroup_base)


def test_replace_takes_the_name_of_one_that_runs(wardian):
    first = wardian.out("run", "-d", "--name", "taken", IMAGE, "sleep", "1000")
    assert wardian("run", "-d", "--replace", "--name", "taken", "no-such-image:0", "true", status=125)
    assert wardian.out("inspect", "-f", "{{.Id}}", "taken") == first  # what cannot be made replaces nothing
    assert b"already in use" in wardian("create", "--name", "taken", IMAGE, "true", status=1).stderr
    second = wardian.out("run", "-d", "--replace", "--name", "taken", IMAGE, "sleep", "1000")
    assert wardian.out("ps", "-aq", "--no-trunc").split() == [second] != [first]
    third = wardian.out("run", "-d", "--replace", "--name", "/taken", IMAGE, "sleep", "1000")
    assert wardian.out("ps", "-aq", "--no-trunc").split() == [third] != [second]
    assert wardian.out("run", "--rm", "--replace", "--name", "fresh", IMAGE, "echo", "hi") == "hi"
    assert b"without --name" in wardian("run", "--replace", IMAGE, "true", status=125).stderr
