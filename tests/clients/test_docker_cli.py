"""Docker's own command line (28) on our socket, and ours in its place: what a person types first."""

import json
import os
import time
from collections.abc import Callable

import pytest

from clients_shared import IMAGE
from images_made import busybox_image
from registry import Registry

WaitUntil = Callable[[Callable[[], bool], str], None]

# A client of API 1.41 and older gives the window's size only after the start, as a resize.
SIZE_IS_24_80 = "until stty size 2>/dev/null | grep 24.80; do sleep 0.05; done"


def test_version_and_info(docker):
    version = json.loads(docker.out("version", "--format", "{{json .}}"))
    negotiated = tuple(map(int, version["Client"]["ApiVersion"].split(".")))
    assert (1, 41) <= negotiated <= (1, 51)  # Debian 12's docker speaks 1.41
    assert version["Server"]["Platform"]["Name"] == "Wardian"
    info = json.loads(docker.out("info", "--format", "{{json .}}"))
    assert info["OSType"] == "linux"
    assert not info.get("ServerErrors")
    docker("info")
    docker("version")


def test_run_says_what_it_says_and_how_it_ended(docker):
    done = docker("run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2; exit 7", status=7)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert docker.out("ps", "-aq") == ""


@pytest.mark.parametrize("network", ["none", "host", "bridge"])
def test_run_on_each_network(docker, network):
    links = docker.out("run", "--rm", "--network", network, IMAGE, "sh", "-c", "cd /sys/class/net && echo *").split()
    assert "lo" in links
    if network != "host":
        assert links == {"none": ["lo"], "bridge": ["eth0", "lo"]}[network]


def test_run_i_carries_every_byte(docker):
    data = os.urandom(3 << 20)
    assert docker("run", "--rm", "-i", IMAGE, "cat", stdin=data).stdout == data
    assert docker("run", "--rm", "-i", IMAGE, "wc", "-c", stdin=b"x" * 100_001).stdout.split() == [b"100001"]


def test_run_it_is_a_terminal(docker):
    terminal = docker.terminal("run", "--rm", "-it", IMAGE, "sh")
    terminal.expect("# ")
    terminal.type(f"tty; {SIZE_IS_24_80}; echo mark-$((40 + 2))\n")
    terminal.expect("/dev/pts/0")
    terminal.expect("24 80")
    terminal.expect("mark-42")
    time.sleep(0.3)  # docker's command line listens for SIGWINCH only some time after start has answered
    terminal.resize(33, 99)  # the kernel sends SIGWINCH to the terminal's foreground process
    terminal.type("until stty size | grep -v '^24 80'; do sleep 0.05; done\n")
    terminal.expect("33 99")
    terminal.type("exit 5\n")
    assert terminal.wait() == 5


def test_ctrl_c_reaches_the_terminal_s_process(docker):
    terminal = docker.terminal("run", "--rm", "-it", IMAGE, "sh")
    terminal.expect("# ")
    terminal.type("echo ready-$((1 + 1)); sleep 100\n")
    terminal.expect("ready-2")
    time.sleep(0.2)
    terminal.type("\x03")
    time.sleep(0.1)
    terminal.type("echo back-$((1 + 1)); exit\n")
    terminal.expect("back-2")
    terminal.wait()


def test_detach_and_attach_again(docker):
    terminal = docker.terminal("run", "-it", "--name", "cd", IMAGE, "sh")
    terminal.expect("# ")
    terminal.type("echo here-$((1 + 1))\n")
    terminal.expect("here-2")
    terminal.type("\x10\x11")
    terminal.wait()
    assert docker.out("inspect", "-f", "{{.State.Running}}", "cd") == "true"
    again = docker.terminal("attach", "cd")
    time.sleep(0.3)
    again.type("echo again-$((1 + 1)); exit 3\n")
    again.expect("again-2")
    assert again.wait() == 3


def test_exec(docker):
    docker("run", "-d", "--name", "ce", IMAGE, "sleep", "100")
    assert docker.out("exec", "ce", "echo", "hi") == "hi"
    assert docker("exec", "-i", "ce", "cat", stdin=b"\x00\xff" * 5000).stdout == b"\x00\xff" * 5000
    docker("exec", "ce", "sh", "-c", "exit 9", status=9)
    assert (
        docker.out("exec", "-u", "app", "-w", "/tmp", "-e", "A=1", "ce", "sh", "-c", "id -un; pwd; echo $A")
        == "app\n/tmp\n1"
    )
    docker("exec", "-d", "ce", "touch", "/tmp/done")
    terminal = docker.terminal("exec", "-it", "ce", "sh")
    terminal.expect("# ")
    terminal.type(f"{SIZE_IS_24_80}; exit 4\n")
    terminal.expect("24 80")
    assert terminal.wait() == 4
    done = docker("exec", "ce", "no-such-command", status=127)
    assert b"no-such-command" in done.stdout + done.stderr
    relative = docker("exec", "-w", "tmp", "ce", "pwd", status=128)
    assert b"OCI runtime exec failed: exec failed: Cwd must be an absolute path" in relative.stdout + relative.stderr
    assert b"no-such-command" in docker("exec", "-d", "ce", "no-such-command", status=1).stderr, "nobody is attached"


def test_logs(docker):
    # two pipes have no order between them: the pauses give them one
    script = "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three"
    docker("run", "--name", "cl", IMAGE, "sh", "-c", script)
    done = docker("logs", "cl")
    assert (done.stdout, done.stderr) == (b"one\nthree\n", b"two\n")
    assert docker("logs", "--tail", "1", "cl").stdout == b"three\n"
    stamped = docker("logs", "-t", "--tail", "1", "cl").stdout.decode()
    assert stamped[:2] == "20" and stamped.endswith("Z three\n")
    assert docker("logs", "--since", "1h", "cl").stdout == b"one\nthree\n"
    assert docker("logs", "--until", "2001-01-01", "cl").stdout == b""


def test_logs_f_follows_to_the_end(docker):
    docker("run", "-d", "--name", "cf", IMAGE, "sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.1; done")
    assert docker("logs", "-f", "cf").stdout == b"1\n2\n3\n4\n5\n"


def test_stop_of_a_shell_that_ignores_sigterm(docker):
    docker("run", "-d", "--name", "cs", IMAGE, "sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    while b"up" not in docker("logs", "cs").stdout:
        time.sleep(0.05)
    start = time.monotonic()
    docker("stop", "-t", "1", "cs")
    assert 0.9 < time.monotonic() - start < 4
    assert docker.out("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "cs") == "137 exited"
    docker("stop", "cs")  # stopped already: no error
    docker("start", "cs")
    docker("start", "cs")
    docker("kill", "-s", "KILL", "cs")
    docker("rm", "cs")


def test_ps_and_inspect(docker):
    docker("run", "-d", "--name", "cp", "--label", "k=v", "-e", "A=b", "--hostname", "h", IMAGE, "sleep", "100")
    assert (
        docker.out("ps", "--format", "{{.Names}} {{.Image}} {{.Command}} {{.State}}")
        == f'cp {IMAGE} "sleep 100" running'
    )
    assert docker.out("ps", "-aq", "--filter", "label=k=v", "--filter", "status=running") != ""
    assert docker.out("ps", "-aq", "--filter", "label=k=other") == ""
    assert docker.out("ps", "-a", "--no-trunc", "--format", "{{.ID}}") == docker.out("inspect", "-f", "{{.Id}}", "cp")
    inspected = json.loads(docker.out("inspect", "cp"))[0]
    assert inspected["Name"] == "/cp"
    assert inspected["Config"]["Hostname"] == "h"
    assert "A=b" in inspected["Config"]["Env"]
    assert inspected["State"]["Running"] is True
    assert os.path.exists(f"/proc/{inspected['State']['Pid']}")
    assert inspected["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    docker("rm", "cp", status=1)  # it runs
    docker("rm", "-f", "cp")
    docker("inspect", "cp", status=1)


def test_images_tag_history_rmi(docker):
    assert IMAGE in docker.out("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    docker("tag", IMAGE, "other/name:2")
    assert docker.out("images", "other/name", "--format", "{{.Tag}}") == "2"
    assert "layer 0" in docker.out("history", "--no-trunc", "other/name:2")
    assert json.loads(docker.out("image", "inspect", "other/name:2"))[0]["Os"] == "linux"
    assert "Untagged: other/name:2" in docker.out("rmi", "other/name:2")
    done = docker("rmi", "other/name:2", status=1)
    assert b"No such image: other/name:2" in done.stderr


def test_pull_run_and_pull_again(docker, registry: Registry):
    reference = registry.push_image("clients/app:1", busybox_image(Cmd=["echo", "pulled"]))
    assert "Status: Downloaded newer image" in docker.out("pull", reference)
    assert docker.out("run", "--rm", reference) == "pulled"
    assert "Status: Image is up to date" in docker.out("pull", reference)
    docker("rmi", reference)
    done = docker("run", "--rm", reference)  # pulled because it is missing
    assert done.stdout == b"pulled\n"
    docker("rmi", reference)


def test_pull_of_what_is_not_there(docker, registry: Registry):
    done = docker("pull", f"{registry.address}/no/such:1", status=1)
    assert b"not found" in done.stderr or b"denied" in done.stderr
    done = docker("run", "--rm", f"{registry.address}/no/such:1", "true", status=125)
    assert b"Unable to find image" in done.stderr
    docker("pull", "127.0.0.1:1/no/registry", status=1)
    docker("pull", "Not:A/Reference", status=1)


def test_import_and_load(docker, tmp_path):
    from images_made import busybox_layer, docker_archive

    (tmp_path / "root.tar").write_bytes(busybox_layer())
    assert docker.out("import", "-c", 'CMD ["echo", "imported"]', str(tmp_path / "root.tar"), "imported:1").startswith(
        "sha256:"
    )
    assert docker.out("run", "--rm", "imported:1") == "imported"
    done = docker("load", stdin=docker_archive({"loaded:1": busybox_image(Cmd=["echo", "loaded"])}))
    assert b"Loaded image: loaded:1" in done.stdout
    assert docker.out("run", "--rm", "loaded:1") == "loaded"
    docker("rmi", "imported:1", "loaded:1")
    docker("load", stdin=b"no archive at all", status=1)


def test_wait_and_events(docker):
    since = time.time()
    docker("run", "-d", "--name", "cw", IMAGE, "sh", "-c", "sleep 0.3; exit 6")
    assert docker.out("wait", "cw") == "6"
    docker("rm", "cw")
    said = docker.out(
        "events", "--since", f"{since:.6f}", "--until", f"{time.time():.6f}", "--format", "{{.Action}}"
    ).splitlines()
    for action in ("create", "start", "die", "destroy"):
        assert action in said
    assert said.index("create") < said.index("start") < said.index("die") < said.index("destroy")


def test_events_live(docker, wait_until: WaitUntil):
    process = docker.start("events", "--filter", "type=container", "--format", "{{.Action}} {{.Actor.Attributes.name}}")
    try:
        time.sleep(0.3)
        docker("run", "--rm", "--name", "live", IMAGE, "true")
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(2)]
        assert lines[0] == b"create live"
    finally:
        process.terminate()
        process.communicate()


def test_what_a_person_does_wrong(docker):
    docker("run", "-d", "--name", "taken", IMAGE, "sleep", "100")
    cases = [
        (("run", "--name", "taken", IMAGE, "true"), 125, b"is already in use by container"),
        (("run", "--rm", IMAGE, "no-such-command"), 127, b"no-such-command"),
        (("run", "--rm", IMAGE, "/etc/passwd"), 126, b"/etc/passwd"),
        (("run", "--rm", IMAGE, "/etc"), 126, b"/etc"),
        (("run", "--rm", "--user", "nobody-here", IMAGE, "true"), 125, b"nobody-here"),
        (("run", "--rm", "--memory", "1k", IMAGE, "true"), 125, b"6MB"),
        (("run", "--rm", "--network", "nope", IMAGE, "true"), 125, b"networking: network nope not found"),
        (("run", "--rm", "--network", "container:nope", IMAGE, "true"), 125, b"of container: No such container: nope"),
        (("start", "nope"), 1, b"No such container: nope"),
        (("stop", "nope"), 1, b"No such container: nope"),
        (("kill", "nope"), 1, b"No such container: nope"),
        (("logs", "nope"), 1, b"No such container: nope"),
        (("exec", "nope", "true"), 1, b"No such container: nope"),
        (("rm", "nope"), 1, b"No such container: nope"),
        (("wait", "nope"), 1, b"No such container: nope"),
        (("inspect", "nope"), 1, b"nope"),
        (("rmi", "nope"), 1, b"No such image: nope"),
        (("kill", "-s", "NONSENSE", "taken"), 1, b"NONSENSE"),
        (("build", "-t", "x", "/var/empty"), 1, b""),
        (("node", "ls"), 1, b"node"),
    ]
    for arguments, status, text in cases:
        done = docker(*arguments, status=None)
        assert (done.returncode, text in done.stderr) == (status, True), (arguments, done.returncode, done.stderr)
    docker("rm", "-f", "taken")
    assert docker.out("ps", "-aq") == ""


def test_limits(docker):
    shown = docker.out(
        "run", "--rm", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "33", IMAGE, "cat", "/proc/self/cgroup"
    )
    assert shown
    docker("run", "--name", "oom", "--memory", "16m", IMAGE, "tail", "/dev/zero", status=137)
    assert docker.out("inspect", "-f", "{{.State.OOMKilled}}", "oom") == "true"


def test_containers_outlive_the_engine(docker, engine):
    docker("run", "-d", "--name", "co", IMAGE, "sh", "-c", "i=0; while :; do echo $((i+=1)); sleep 0.02; done")
    time.sleep(0.3)
    engine.kill()
    time.sleep(0.3)
    engine.start()
    assert docker.out("inspect", "-f", "{{.State.Running}}", "co") == "true"
    assert docker.out("exec", "co", "echo", "hi") == "hi"
    docker("stop", "-t", "0", "co")
    lines = docker("logs", "co").stdout.split()
    assert lines == [str(number).encode() for number in range(1, len(lines) + 1)]
    assert len(lines) > 15


def test_rm_of_a_running_container_that_removes_itself(docker):
    docker("run", "-d", "--rm", "--name", "crm", IMAGE, "sleep", "100")
    docker("rm", "-f", "crm")
    assert docker.out("ps", "-aq") == ""
