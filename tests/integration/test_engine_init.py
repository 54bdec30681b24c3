"""`--init`: process 1 forwards signals, reaps, and exits as its child does."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from benches import Bench
from wardian.home import Home
from wardian.kernel import procfs


def processes(bench: Bench, identity: str) -> list[str]:
    """The arguments of what the container's first process is, and of its children."""
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        pids = [pid, *file.read().split()]
    return [_arguments(pid) for pid in pids]


def _arguments(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return " ".join(filter(None, file.read().split("\0")))


@pytest.mark.parametrize(("command", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_it_exits_as_its_child_does(bench: Bench, command: str, code: int) -> None:
    assert bench.finish(bench.start("sh", "-c", command, Init=True)) == code


def test_the_command_is_its_child(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=True)
    assert processes(bench, identity) == ["wardian-init", "sleep 1000"]
    host = bench.engine.containers.inspect(identity)["HostConfig"]
    assert host["Init"] is True


def test_without_it_the_command_is_process_1(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=False)
    assert processes(bench, identity) == ["sleep 1000"]
    assert bench.engine.containers.inspect(identity)["HostConfig"]["Init"] is False


def test_a_stop_is_heard_by_a_command_without_a_handler(bench: Bench) -> None:
    """As process 1 `sleep` would not be ended by SIGTERM (pid_namespaces(7))."""
    identity = bench.start("sleep", "1000", Init=True)
    before = time.monotonic()
    bench.run(bench.engine.containers.stop(identity, timeout=10))
    assert time.monotonic() - before < 5
    assert bench.state(identity)["ExitCode"] == 143


def test_signals_are_forwarded(bench: Bench) -> None:
    script = "trap 'echo heard' USR1; trap 'echo hup; exit 5' HUP; echo ready; while :; do sleep 0.02; done"
    identity = bench.start("sh", "-c", script, Init=True)
    wait_for(lambda: "ready" in bench.output(identity))
    bench.run(bench.engine.containers.kill(identity, "USR1"))
    wait_for(lambda: "heard" in bench.output(identity))
    bench.run(bench.engine.containers.kill(identity, "HUP"))
    assert bench.finish(identity) == 5


def test_orphans_are_reaped(bench: Bench) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.05 & ) ; done; echo made; exec sleep 1000"
    identity = bench.start("sh", "-c", script, Init=True)
    wait_for(lambda: "made" in bench.output(identity))
    wait_for(lambda: processes(bench, identity) == ["wardian-init", "sleep 1000"])


def test_a_command_that_is_not_there_is_said(bench: Bench) -> None:
    identity = bench.create("/nope", Init=True)
    with pytest.raises(Exception, match="no such file or directory"):
        bench.run(bench.engine.containers.start(identity))
    assert bench.state(identity)["ExitCode"] == 127


def test_it_has_what_its_command_has(bench: Bench) -> None:
    script = "for p in 1 self; do grep -E '^(Uid|Cap|NoNewPrivs|Seccomp:)' /proc/$p/status; echo --; done"
    host = {"Init": True, "CapDrop": ["MKNOD"], "SecurityOpt": ["no-new-privileges"]}
    for user, word in (("7:8", "7\t7\t7\t7"), ("0", "a00425fb")):
        first, second, _ = bench.said("sh", "-c", script, **host, fields={"User": user}).split("--\n")
        assert first == second and word in first


def test_it_holds_no_descriptor_but_its_streams(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=True)
    assert sorted(os.listdir(f"/proc/{bench.state(identity)['Pid']}/fd")) == ["0", "1", "2"]


def test_what_is_written_to_process_1_is_in_the_log(bench: Bench) -> None:
    assert bench.said("sh", "-c", "echo here > /proc/1/fd/1", Init=True) == "here\n"


def test_the_terminal_s_foreground_is_the_command(bench: Bench) -> None:
    """Field 5 of /proc/PID/stat is the group, field 8 the terminal's foreground group (proc(5))."""
    fields = {"Tty": True}
    identity = bench.start("sh", "-c", "cut -d' ' -f1,5,8 /proc/self/stat; sleep 1000", Init=True, fields=fields)
    pid = bench.state(identity)["Pid"]
    child = int(procfs.read(f"/proc/{pid}/task/{pid}/children"))
    stat = procfs.read(f"/proc/{child}/stat").rpartition(")")[2].split()
    assert stat[2] == stat[5] == str(child)
    os.kill(child, signal.SIGKILL)
    assert bench.finish(identity) == 137


def test_out_of_memory_is_said_of_the_child(bench: Bench) -> None:
    identity = bench.start("tail", "/dev/zero", Init=True, Memory=16 << 20, MemorySwap=16 << 20)
    assert bench.finish(identity) == 137
    assert bench.state(identity)["OOMKilled"] is True


def test_in_the_host_s_processes_there_is_none(bench: Bench) -> None:
    identity = bench.start("sleep", "1000", Init=True, PidMode="host")
    assert processes(bench, identity) == ["sleep 1000"]


def test_explain_shows_it(bench: Bench) -> None:
    identity = bench.start("true", Init=True)
    steps = [step["Description"] for step in bench.engine.containers.explain(identity)["Steps"]]
    assert steps[-2].startswith("an init as process 1")
    bench.finish(identity)


def test_an_engine_may_want_it_for_all(new_home: Callable[[], Home]) -> None:
    from benches import load_busybox

    bench = Bench(new_home()._replace(init=True))
    try:
        load_busybox(bench)
        assert processes(bench, bench.start("sleep", "1000")) == ["wardian-init", "sleep 1000"]
        assert processes(bench, bench.start("sleep", "1000", Init=False)) == ["sleep 1000"]
    finally:
        bench.close()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "not within 5 seconds"
        time.sleep(0.02)
