"""restart, top, rename, prune, wait and rm by docker's command line and ours, and what a stop says."""

import json
import os
import shutil
import subprocess
import time

import pytest

from clients_shared import IMAGE

SLEEP = ("sleep", "1000")


def test_restart_of_several(docker):
    for name in ("one", "two"):
        docker("run", "-d", "--name", name, IMAGE, *SLEEP)
    before = [docker.out("inspect", "-f", "{{.State.Pid}}", name) for name in ("one", "two")]
    done = docker("restart", "-t", "0", "one", "nobody", "two", status=1)
    assert done.stdout.split() == [b"one", b"two"]
    assert b"No such container: nobody" in done.stderr
    after = [docker.out("inspect", "-f", "{{.State.Pid}}", name) for name in ("one", "two")]
    assert not set(before) & set(after)
    docker("stop", "-t", "0", "one")
    docker("restart", "-s", "KILL", "one")  # of one that is stopped it is a start
    assert docker.out("exec", "one", "echo", "up") == "up"


def test_stops_of_several_take_as_long_as_one(docker):
    names = ["s1", "s2", "s3", "s4"]
    for name in names:
        docker("run", "-d", "--name", name, IMAGE, *SLEEP)
    begun = time.monotonic()
    done = docker("stop", "-t", "3", *names, "nobody", status=1)
    assert time.monotonic() - begun < 9
    assert sorted(done.stdout.decode().split()) == names
    assert b"No such container: nobody" in done.stderr
    assert sorted(docker.out("rm", *names).split()) == names


def test_top(docker):
    docker("run", "-d", "--name", "shown", IMAGE, "sh", "-c", "sleep 1001 & exec sleep 1000")
    pid = docker.out("inspect", "-f", "{{.State.Pid}}", "shown")

    def rows():
        return [line.split() for line in docker.out("top", "shown").splitlines()]

    while len(rows()) < 3:
        time.sleep(0.02)
    found = rows()
    assert found[0] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert (found[1][:2], found[1][-2:]) == (["root", pid], ["sleep", "1000"])
    assert (found[2][2], found[2][-2:]) == (pid, ["sleep", "1001"])
    assert docker.out("top", "shown", "aux").split()[:11] == (
        ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TTY", "STAT", "START", "TIME", "COMMAND"]
    )
    assert docker.out("top", "shown", "-o", "pid,comm", "-p", pid).split() == ["PID", "COMMAND", pid, "sleep"]
    assert b"Couldn't find PID field in ps output" in docker("top", "shown", "-o", "user", status=1).stderr
    docker("kill", "shown")
    assert b"is not running" in docker("top", "shown", status=1).stderr


def test_top_agrees_with_ps(docker):
    """The same columns by ps itself, of the same process."""
    if shutil.which("ps") is None:
        pytest.skip("needs ps")
    docker("run", "-d", "--name", "same", IMAGE, *SLEEP)
    pid = docker.out("inspect", "-f", "{{.State.Pid}}", "same")
    fields = "pid,ppid,pgid,sid,user,uid,group,tty,stat,s,f,ni,pri,cls,nlwp,vsz,sz,time,bsdtime,stime,comm,args"
    own = docker.out("top", "same", "-o", fields).splitlines()[1].split()
    theirs = subprocess.run(["ps", "-o", fields, "-p", pid], capture_output=True, text=True).stdout.splitlines()
    assert own == theirs[1].split()


@pytest.fixture(scope="module")
def threads(tmp_path_factory):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "c", "threads.c")
    program = tmp_path_factory.mktemp("threads") / "threads"
    subprocess.run(["cc", "-Wall", "-Werror", "-static", "-pthread", "-o", program, source], check=True)
    return program


def test_top_of_threads(docker, threads):
    docker("run", "-d", "--name", "two", "-v", f"{threads}:/threads", IMAGE, "/threads")
    pid = docker.out("inspect", "-f", "{{.State.Pid}}", "two")

    def rows(*options):
        return [line.split() for line in docker.out("top", "two", *options).splitlines()[1:]]

    while len(rows("-L")) < 2 or rows("-L")[1][-1] != "second":  # it starts it, which then names itself
        time.sleep(0.02)
    of_two = sorted(os.listdir(f"/proc/{pid}/task"), key=int)
    assert [row[:2] for row in rows("-eL")] == [row[:2] for row in rows("-eT")] == [[pid, one] for one in of_two]
    assert [row[3:6:2] for row in rows("-efL")] == [[one, "2"] for one in of_two]  # LWP and NLWP
    assert [row[0] for row in rows("axH")] == [pid, pid]
    assert rows("-L", "-o", "pid,tid,comm") == [[pid, of_two[0], "threads"], [pid, of_two[1], "second"]]
    assert b"can't use both -L and -T" in docker("top", "two", "-LT", status=1).stderr


def test_top_as_a_tree(docker):
    docker("run", "-d", "--name", "tree", IMAGE, "sh", "-c", "sh -c 'sleep 1001; :' & sleep 1002; :")

    def commands(*options):
        return [line.split("   ")[-1] for line in docker.out("top", "tree", *options).splitlines()[1:]]

    while len(commands("-ef")) < 4:
        time.sleep(0.02)
    drawn = docker.out("top", "tree", "-o", "pid,args", "--forest", "--sort", "pid").splitlines()[1:]
    tree = [line.split(" ", 1)[1].strip(" ") for line in drawn]
    assert tree[0].startswith("sh -c sh -c")
    assert tree[1:] == [r"\_ sh -c sleep 1001; :", r"|   \_ sleep 1001", r"\_ sleep 1002"]
    for options in (("-efH",), ("axf",), ("-ef", "f"), ("auxf",)):
        assert len(commands(*options)) == 4
    refused = docker("top", "tree", "-em", status=1).stderr
    assert b"the option '-m' of ps is not built" in refused and b"--forest work" in refused


def test_rename(docker):
    docker("create", "--name", "first", IMAGE)
    docker("create", "--name", "second", IMAGE)
    docker("rename", "first", "third")
    assert sorted(docker.out("ps", "-a", "--format", "{{.Names}}").split()) == ["second", "third"]
    taken = docker("rename", "third", "second", status=1).stderr
    assert b'Error when allocating new name: Conflict. The container name "/second" is already in use' in taken
    assert b"Error: failed to rename container named third" in taken
    same = docker("rename", "third", "third", status=1).stderr
    assert b"Renaming a container with the same name as its current name" in same
    wrong = docker("rename", "third", "a b", status=1).stderr
    assert b"Error when allocating new name: Invalid container name (/a b), only" in wrong
    assert b"No such container: nobody" in docker("rename", "nobody", "x", status=1).stderr
    docker("create", "--name", "first", IMAGE)  # the old name is free


def test_prune(docker):
    docker("run", "-d", "--name", "runs", IMAGE, *SLEEP)
    docker("create", "--name", "never", IMAGE)
    docker("run", "--name", "kept", "--label", "keep=yes", IMAGE, "true")
    ended = docker.out("run", "-d", "--name", "ended", IMAGE, "sh", "-c", "echo some > /file")
    docker("wait", "ended")
    assert "Total reclaimed space: 0B" in docker.out("container", "prune", "-f", "--filter", "until=1h")
    assert docker.out("container", "prune", stdin=b"n\n").endswith("Are you sure you want to continue? [y/N]")
    said = docker.out("container", "prune", "-f", "--filter", "label!=keep")
    assert said.startswith("Deleted Containers:\n") and ended in said and "Total reclaimed space: " in said
    assert sorted(docker.out("ps", "-a", "--format", "{{.Names}}").split()) == ["kept", "runs"]
    docker("container", "prune", "-f", "--filter", "label=keep=yes", "--filter", "until=0s")
    assert docker.out("ps", "-a", "--format", "{{.Names}}") == "runs"
    refused = docker("container", "prune", "-f", "--filter", "until=yesterday", status=1).stderr
    assert b'failed to parse value as time or duration: "yesterday"' in refused
    assert b"invalid filter 'no'" in docker("container", "prune", "-f", "--filter", "no=1", status=1).stderr


def test_rm_says_why_not(docker):
    docker("run", "-d", "--name", "live", IMAGE, *SLEEP)
    refused = docker("rm", "live", status=1).stderr
    assert b'cannot remove container "live": container is running: stop the container before removing or' in refused
    docker("pause", "live")
    assert b"container is paused and must be unpaused first" in docker("rm", "live", status=1).stderr
    docker("rm", "-f", "live")


def test_stop_of_what_has_no_handler_says_so(docker, request):
    docker("run", "-d", "--name", "deaf", IMAGE, *SLEEP)
    since = str(time.time())
    done = docker("stop", "-t", "1", "deaf")
    assert done.stdout == b"deaf\n"
    if docker.prefix[-1] == "wardian.cli":
        assert done.stderr.startswith(b"deaf: SIGTERM does nothing here: the container's first process has no handler")
    found = json.loads(docker.out("inspect", "deaf"))[0]["State"]
    assert (found["ExitCode"], found["Error"]) == (137, "")
    assert found["Reason"].startswith("ended by SIGKILL: stop by uid 0 pid ")
    assert found["Reason"].endswith("), 1 s after SIGTERM, for which its first process has no handler")
    events = docker.out(
        "events", "--since", since, "--until", str(time.time()), "--format", "{{json .}}", "--filter", "event=kill"
    )
    assert [json.loads(line)["Actor"]["Attributes"].get("dropped") for line in events.splitlines()] == ["true", None]


@pytest.mark.parametrize("init", [False, True])
def test_stop_of_what_hears_says_nothing(docker, init):
    script = ("sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done")
    docker("run", "-d", "--name", "hears", *(["--init"] if init else []), IMAGE, *script)
    while docker.out("logs", "hears") != "up":
        time.sleep(0.02)
    assert docker("stop", "hears").stderr == b""
    found = json.loads(docker.out("inspect", "hears"))[0]["State"]
    assert found["ExitCode"] == 5
    assert found["Reason"].startswith("exited with 5, after SIGTERM: stop by ")


def test_why_it_ended(docker):
    docker("run", "-d", "--name", "killed", IMAGE, *SLEEP)
    os.kill(int(docker.out("inspect", "-f", "{{.State.Pid}}", "killed")), 9)
    assert docker.out("wait", "killed") == "137"
    assert "sent by no call of this engine" in json.loads(docker.out("inspect", "killed"))[0]["State"]["Reason"]
    docker("run", "--name", "hungry", "-m", "16m", IMAGE, "sh", "-c", "x=$(cat /dev/zero | tr '\\0' x)", status=None)
    found = json.loads(docker.out("inspect", "hungry"))[0]["State"]
    assert found["OOMKilled"]
    assert found["Reason"].startswith("out of memory: the kernel killed ")


def test_explain_tells_the_end(wardian):
    wardian("run", "-d", "--name", "told", IMAGE, *SLEEP)
    wardian("kill", "told")
    said = wardian.out("explain", "told")
    assert "\nend: ended by SIGKILL: kill by " in said
    assert "\nSIGKILL at " in said


@pytest.mark.parametrize("condition", ["not-running", "next-exit", "removed"])
def test_wait_for_each_condition(engine_with_image, condition, wait_until):
    client = engine_with_image.client
    made = client.call("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["sh", "-c", "sleep 0.3; exit 4"]})
    path = f"/containers/{made['Id']}"
    if condition == "not-running":
        client.call("POST", f"{path}/start")
    with client.stream("POST", f"{path}/wait", query={"condition": condition}) as waiting:  # its head is here
        if condition != "not-running":
            client.call("POST", f"{path}/start")
        if condition == "removed":
            client.call("POST", f"{path}/wait")
            client.call("DELETE", path)
        assert waiting.json()["StatusCode"] == 4
    if condition == "removed":
        with client.stream("POST", f"{path}/wait", query={"condition": condition}) as waiting:
            assert waiting.json()["StatusCode"] == 4  # it is gone, and how it ended is known
    else:
        client.call("DELETE", path)
    assert client.request("POST", f"{path}/wait").status == 404


def test_a_wait_that_cannot_be(engine_with_image):
    client = engine_with_image.client
    made = client.call("POST", "/containers/create", {"Image": IMAGE})
    answer = client.request("POST", f"/containers/{made['Id']}/wait", query={"condition": "bogus"})
    assert (answer.status, answer.json()) == (400, {"message": 'invalid condition: "bogus"'})
    client.call("DELETE", f"/containers/{made['Id']}")
