"""`launch` with the real launcher: plans of a few steps, an engine that dies with its group, a lost supervisor."""

import asyncio
import contextlib
import errno
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import needs
from launched import FLAGS, STDIN, children, own_groups, parent_of, plan, run, with_argument
from supervised import Client, frames
from wardian.kernel import procfs
from wardian.runtime import ops, protocol
from wardian.runtime.exitrecord import SUPERVISOR_LOST, read_exit
from wardian.runtime.launch import Launched, LaunchError, launch
from wardian.runtime.lost import end_lost
from wardian.runtime.plan import Plan
from wardian.runtime.ready import launcher_path
from wardian.runtime.supervisor import SupervisorClient

EATER = "dd if=/dev/zero of=/dev/null bs=500M count=1"  # of memory


@pytest.fixture(autouse=True)
def built() -> None:
    if not os.path.exists(launcher_path()):
        needs.missing("the launcher is not built")


@pytest.fixture
def run_dir(tmp_path: Any) -> str:
    return str(tmp_path)


@pytest.fixture
def group() -> Iterator[tuple[str, ...]]:
    with own_groups() as groups:
        yield groups


def test_launch_records_and_exit(run_dir: str) -> None:
    async def test() -> None:
        client = Client()
        attachers = [client.attacher(early=b"abc\n")]
        launched = await launch(plan(run_dir, "read x; echo got $x; exit 9"), {}, attachers, run_dir)
        client.theirs.close()
        assert launched.start_time > 0 and launched.started_at > 0
        assert [record.step for record in launched.records] == list(range(5))
        assert all(record.kind == "DONE" and record.errno == 0 and record.ns > 0 for record in launched.records)
        assert frames(await client.read())[1] == b"got abc\n"
        record = await launched.supervisor.wait_exit()
        assert record.exit_code == 9 and record == read_exit(run_dir)
        launched.supervisor.close()
        client.close()

    run(test())


def test_failure_names_the_step_and_leaves_nothing(run_dir: str) -> None:
    async def test() -> None:
        good = plan(run_dir, "true")
        for step in range(len(good.ops)):
            with pytest.raises(LaunchError) as caught:
                await launch(good, {}, (), run_dir, fail_step=step)
            assert caught.value.step == step and caught.value.op == good.ops[step].describe()
            assert f"step {step}: {caught.value.op}: Operation canceled" in str(caught.value)
            assert [r.step for r in caught.value.records] == list(range(step + 1))
            assert [r.kind for r in caught.value.records] == ["DONE"] * step + ["FAILED"]
            assert not os.path.exists(f"{run_dir}/supervisor.sock")

    run(test())


def test_failure_closes_early_attachers(run_dir: str) -> None:
    async def test() -> None:
        client = Client()
        with pytest.raises(LaunchError):
            await launch(plan(run_dir, "true"), {}, [client.attacher()], run_dir, fail_step=3)
        client.theirs.close()
        assert await client.read() == b""
        client.close()

    run(test())


def test_cancelled_launch_leaves_no_process(run_dir: str) -> None:
    async def test() -> None:
        marker = f"4242{secrets.randbelow(10**6)}"
        for delay in (*(i / 10000 for i in range(40)), 0.01):
            own = f"{run_dir}/{delay}"  # the one before may still be at its undoing
            os.mkdir(own)
            with contextlib.suppress(TimeoutError):
                launched = await asyncio.wait_for(launch(plan(own, f"exec sleep {marker}"), {}, (), own), delay)
                os.kill(launched.pid, signal.SIGKILL)
                await launched.supervisor.wait_exit()
                launched.supervisor.close()
        for _ in range(100):
            if not with_argument(marker):
                break
            await asyncio.sleep(0.01)
        assert not with_argument(marker)

    run(test())


def test_terminal(run_dir: str) -> None:
    async def test() -> None:
        client = Client()
        wanted = [client.attacher(framed=False)]
        launched = await launch(plan(run_dir, "stty size; exit 2", FLAGS["TTY"] | STDIN), {}, wanted, run_dir)
        client.theirs.close()
        assert await client.read() == b"33 77\r\n"
        assert (await launched.supervisor.wait_exit()).exit_code == 2
        launched.supervisor.close()
        client.close()

    run(test())


def test_groups_are_counted_and_removed(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        command = f"mkdir {group[0]}/below; head -c 5000000 /dev/zero | tail -c 4000000 | wc -c"
        launched = await launch(plan(run_dir, command, groups=group), {}, (), run_dir)
        record = await launched.supervisor.wait_exit()
        launched.supervisor.close()
        assert record.exit_code == 0 and record.peak_memory > 1 << 20 and record.cpu_ns > 0
        assert not any(os.path.exists(each) for each in group)

    run(test())


def test_oom_below_the_group_is_counted_and_the_victim_named(run_dir: str, group: tuple[str, ...]) -> None:
    """Version 1 does not add the kills of groups below to those above."""

    async def test() -> None:
        below = f"{group[0]}/below"
        command = (
            f"mkdir {below} && echo 8000000 > {below}/memory.limit_in_bytes && "
            f"(echo 0 > {below}/tasks; exec {EATER}); exit 0"
        )
        launched = await launch(plan(run_dir, command, groups=group), {}, (), run_dir)
        record = await launched.supervisor.wait_exit()
        launched.supervisor.close()
        assert record.oom_killed and record.oom_count == 1
        if os.access("/dev/kmsg", os.R_OK):
            assert record.oom_victim.startswith("dd (pid ")
        assert record.exit_code == 0 and not os.path.exists(group[0])

    run(test())


def test_oom_of_the_group_itself(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        command = f"echo 8000000 > {group[0]}/memory.limit_in_bytes; exec {EATER}"
        launched = await launch(plan(run_dir, command, groups=group), {}, (), run_dir)
        record = await launched.supervisor.wait_exit()
        launched.supervisor.close()
        assert (record.exit_code, record.oom_count, record.reason) == (137, 1, "signal")
        if os.access("/dev/kmsg", os.R_OK):
            assert record.oom_victim == f"dd (pid {launched.pid})"

    run(test())


def test_rest_of_the_group_dies_with_its_first_process(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        marker = f"4343{secrets.randbelow(10**6)}"
        command = f"setsid sleep {marker} & setsid sleep {marker} & exit 1"
        launched = await launch(plan(run_dir, command, STDIN | FLAGS["SHARED_PID"], group), {}, (), run_dir)
        assert (await launched.supervisor.wait_exit()).exit_code == 1
        launched.supervisor.close()
        assert not any(os.path.exists(each) for each in group)
        assert not with_argument(marker)

    run(test())


@pytest.mark.parametrize("below", [".hidden", "/".join("d" * 20)])
def test_groups_below_are_found_whatever_their_name_and_depth(run_dir: str, group: tuple[str, ...], below: str) -> None:
    async def test() -> None:
        marker = f"4444{secrets.randbelow(10**6)}"
        command = f"mkdir -p {group[1]}/{below}; setsid sleep {marker} & echo $! > {group[1]}/{below}/tasks; exit 1"
        launched = await launch(plan(run_dir, command, STDIN | FLAGS["SHARED_PID"], group), {}, (), run_dir)
        assert (await launched.supervisor.wait_exit()).exit_code == 1
        launched.supervisor.close()
        left = with_argument(marker), [each for each in group if os.path.exists(each)]
        for pid in left[0]:
            os.kill(int(pid), signal.SIGKILL)
        assert left == ([], [])

    run(test())


def changed(made: Plan, **fields: Any) -> Plan:
    """With other fields of its Supervise."""
    steps = [
        step._replace(op=step.op._replace(**fields)) if isinstance(step.op, ops.Supervise) else step
        for step in made.ops
    ]
    return made._replace(ops=tuple(steps))


def test_a_joined_group_is_left_alone_wherever_it_stands(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        marker, joined = f"4545{secrets.randbelow(10**6)}", f"{os.path.dirname(group[1])}/joined"
        os.makedirs(joined)
        sleeper = subprocess.Popen(["sleep", "60"])
        try:
            with open(f"{joined}/tasks", "w") as tasks:
                tasks.write(str(sleeper.pid))
            made = plan(run_dir, f"setsid sleep {marker} & exit 1", STDIN | FLAGS["SHARED_PID"], group)
            first = ops.Step(ops.Open("joined", joined, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), protocol.HOST)
            made = changed(made._replace(ops=(first, *made.ops)), cgroups=("g0", "joined", "g1"))
            launched = await launch(made, {}, (), run_dir)
            assert (await launched.supervisor.wait_exit()).exit_code == 1
            launched.supervisor.close()
            assert sleeper.poll() is None
            assert not with_argument(marker) and not any(os.path.exists(each) for each in group)
        finally:
            sleeper.kill()
            sleeper.wait()
            for pid in with_argument(marker):
                os.kill(int(pid), signal.SIGKILL)
            await asyncio.sleep(0.1)
            os.rmdir(joined)

    run(test())


def test_a_slow_client_keeps_neither_root_nor_groups(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        root = f"{run_dir}/root"
        os.mkdir(root)
        os.mkfifo(go := f"{run_dir}/go")
        made = plan(run_dir, f"read line <{go}; head -c 60000 /dev/zero", groups=group)
        first = ops.Step(ops.Open("root", root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), protocol.HOST)
        slow = Client()
        slow.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        attacher = slow.attacher(stdin=False)
        launched = await launch(changed(made._replace(ops=(first, *made.ops)), root="root"), {}, [attacher], run_dir)
        slow.theirs.close()
        supervisor = parent_of(launched.pid)
        assert root in open_files(supervisor) and set(group) < open_files(supervisor)
        with open(go, "w"):  # what was to be seen while it runs is seen
            pass
        assert (await launched.supervisor.wait_exit()).exit_code == 0
        held = open_files(supervisor)
        assert held and not [path for path in held if path.startswith((root, *group))]
        assert frames(await slow.read())[1] == bytes(60000)
        launched.supervisor.close()
        slow.close()

    run(test())


@pytest.mark.parametrize("asked", [True, False])
def test_the_end_is_told_before_the_groups_go(run_dir: str, group: tuple[str, ...], asked: bool) -> None:
    """Nobody need ask for it: without an engine they go as well."""

    async def test() -> None:
        launched = await launch(plan(run_dir, "exit 4", STDIN | FLAGS["TELLS_FIRST"], group), {}, (), run_dir)
        supervisor = launched.supervisor
        assert await supervisor.wait_end() == read_exit(run_dir)
        if asked:
            supervisor.let_go()
            assert (await supervisor.wait_exit()).exit_code == 4
        else:
            supervisor.close()
        wait_until(lambda: not any(map(os.path.exists, group)))
        wait_until(lambda: not os.path.exists(f"{run_dir}/supervisor.sock"))
        supervisor.close()

    run(test())


def test_who_comes_between_is_told_the_end_and_then_that_all_is_gone(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        os.mkfifo(go := f"{run_dir}/go")
        made = plan(run_dir, f"read line <{go}; exit 4", STDIN | FLAGS["TELLS_FIRST"], group)
        launched = await launch(made, {}, (), run_dir)
        supervisor = parent_of(launched.pid)
        later = await SupervisorClient.connect(run_dir)
        os.kill(supervisor, signal.SIGSTOP)
        with open(go, "w"):
            pass
        wait_until(lambda: procfs.status(launched.pid).get("State", "").startswith("Z"))
        told = asyncio.ensure_future(later.wait_end())  # it hears of both at once
        gone = later.gone()
        await asyncio.sleep(0)
        os.kill(supervisor, signal.SIGCONT)
        assert (await told).exit_code == (await gone).exit_code == 4
        assert (await launched.supervisor.wait_exit()).exit_code == 4
        assert not any(map(os.path.exists, group))
        later.close()
        launched.supervisor.close()

    run(test())


def test_streams_do_not_end_first_where_no_record_can_be_kept(run_dir: str) -> None:
    """On a full disk, say: who was attached asks at once, and the message alone knows the answer."""

    async def test() -> None:
        client = Client()
        os.mkdir(f"{run_dir}/exit.tmp")
        made = plan(run_dir, "exit 6", STDIN | FLAGS["STREAMS_FIRST"])
        launched = await launch(made, {}, [client.attacher()], run_dir)
        client.theirs.close()
        client.socket.setblocking(True)
        assert client.socket.recv(4096) == b"" and read_exit(run_dir) is None  # no turn of the loop until here
        told = launched.supervisor._control.recv(4096, socket.MSG_PEEK)
        assert protocol.CONTROL_HEADER.unpack_from(told)[2] == protocol.KINDS["EXITED"]
        assert (await launched.supervisor.wait_exit()).exit_code == 6
        launched.supervisor.close()
        client.close()

    run(test())


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "not within 20 seconds"
        time.sleep(0.005)


def open_files(pid: int) -> set[str]:
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{name}"))
    return found


@pytest.mark.parametrize("path", ["/sys/kernel/no", "/sys/kernel/no/group"])
def test_why_a_group_cannot_be_made_is_told(run_dir: str, path: str) -> None:
    async def test() -> None:
        with pytest.raises(LaunchError) as raised:
            await launch(plan(run_dir, "true", groups=(path,)), {}, (), run_dir)
        assert raised.value.errno == errno.EPERM  # sysfs(5) has no mkdir

    run(test())


def test_a_process_that_does_not_die_is_named_and_not_waited_for(run_dir: str, group: tuple[str, ...]) -> None:
    """Version 1 delays SIGKILL until the thaw (freezer-subsystem.rst)."""

    async def test() -> None:
        frozen = f"{os.path.dirname(group[1])}/frozen"
        os.makedirs(frozen)
        try:
            set_state(frozen, "FROZEN")
            made = plan(run_dir, "true", child=(ops.CgroupEnter("frozen"),))
            first = ops.Step(ops.Open("frozen", f"{frozen}/tasks", os.O_WRONLY | os.O_CLOEXEC), protocol.HOST)
            made = made._replace(ops=(first, *made.ops))
            before = children()  # a registry, say, that all tests share
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(launch(made, {}, (), run_dir), 0.5)
            async with asyncio.timeout(8):
                while children() - before:
                    await asyncio.sleep(0.05)
            assert procfs.read(f"{frozen}/tasks").split()
        finally:
            set_state(frozen, "THAWED")
            await asyncio.sleep(0.3)
            os.rmdir(frozen)

    run(test())


def set_state(freezer: str, state: str) -> None:
    with open(f"{freezer}/freezer.state", "w") as file:
        file.write(state)


def test_lost_supervisor_takes_its_container_with_it(run_dir: str, group: tuple[str, ...]) -> None:
    async def test() -> None:
        launched = await launch(plan(run_dir, "sleep 1000 & sleep 1001", groups=group), {}, (), run_dir)
        os.kill(parent_of(launched.pid), signal.SIGKILL)
        with pytest.raises(Exception, match="supervisor lost"):
            await launched.supervisor.wait_exit()
        launched.supervisor.close()
        record = end_lost(run_dir, group, launched.pid, launched.start_time)
        assert (record.exit_code, record.reason) == (137, SUPERVISOR_LOST)
        assert read_exit(run_dir) == record == end_lost(run_dir, group, launched.pid, launched.start_time)
        assert not any(os.path.exists(each) for each in group)
        assert procfs.status(launched.pid).get("State", "Z")[0] == "Z"  # its new parent may take its time

    run(test())


def test_supervisor_is_small_and_holds_little(run_dir: str) -> None:
    async def test() -> None:
        clients = [Client() for _ in range(3)]
        command = "head -c 3000000 /dev/zero | base64; read x"
        attachers = [client.attacher() for client in clients]
        stray = os.open("/dev/zero", os.O_RDONLY)
        os.set_inheritable(stray, True)  # as a shell may leave one open for the engine
        launched = await launch(plan(run_dir, command), {}, attachers, run_dir)
        os.close(stray)
        for client in clients:
            client.theirs.close()
        readers = [asyncio.create_task(client.read()) for client in clients]
        while (await launched.supervisor.status()).log_written < 4000000:
            await asyncio.sleep(0.02)
        supervisor = parent_of(launched.pid)
        rollup = dict(line.split(":") for line in procfs.read(f"/proc/{supervisor}/smaps_rollup").splitlines()[1:])
        private = sum(int(rollup[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
        print(f"private memory of a supervisor after 4 MB of output: {private} kB")
        assert private <= 1024
        descriptors = {os.readlink(f"/proc/{supervisor}/fd/{fd}") for fd in os.listdir(f"/proc/{supervisor}/fd")}
        assert len(descriptors) < 20 and "/dev/zero" not in descriptors
        assert os.readlink(f"/proc/{supervisor}/cwd") == "/"
        assert os.getsid(supervisor) == supervisor
        await clients[0].send(b"\n")
        for client, reader in zip(clients, readers, strict=True):
            assert len(frames(await reader)[1]) > 4000000
            client.close()
        await launched.supervisor.wait_exit()
        launched.supervisor.close()

    run(test())


ENGINE = """
import asyncio, json, os, sys
sys.path[:0] = json.loads(sys.argv[2])
from launched import STDIN, plan
from wardian.runtime.launch import launch
async def main():
    command = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; read x; echo end $x; exit 3"
    launched = await launch(plan(sys.argv[1], command), {}, (), sys.argv[1])
    print(launched.pid, flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""


def test_engine_and_its_whole_group_may_be_killed(run_dir: str) -> None:
    """What `kill -9` of the engine's session and process group leaves: the container, and a log without a gap."""
    paths = [os.path.dirname(os.path.dirname(__file__)), *sys.path]
    engine = subprocess.Popen(
        [sys.executable, "-c", ENGINE, run_dir, json.dumps(paths)], stdout=subprocess.PIPE, start_new_session=True
    )
    assert engine.stdout is not None
    pid = int(engine.stdout.readline())
    time.sleep(0.3)
    os.killpg(engine.pid, signal.SIGKILL)
    engine.wait()
    engine.stdout.close()
    assert parent_of(pid) != 1

    async def test() -> None:
        again = await SupervisorClient.connect(run_dir)
        assert (await again.status()).pid == pid
        client = Client()
        await again.attach(client.attacher())
        client.theirs.close()
        await client.send(b"here\n")
        record = await again.wait_exit()
        assert record.exit_code == 3
        assert frames(await client.read())[1].endswith(b"line 299\nend here\n")
        again.close()
        client.close()

    run(test())
    with open(f"{run_dir}/c-json.log") as file:
        lines = [json.loads(line)["log"] for line in file]
    assert lines == [*(f"line {i}\n" for i in range(300)), "end here\n"]


def test_launch_time(run_dir: str) -> None:
    """Not a benchmark: a bound that shows when something begins to wait."""

    async def once() -> Launched:
        launched = await launch(plan(run_dir, ":", 0, log=False), {}, (), run_dir)
        await launched.supervisor.wait_exit()
        launched.supervisor.close()
        return launched

    async def test() -> None:
        times = []
        for _ in range(50):
            began = time.perf_counter()
            await once()
            times.append(time.perf_counter() - began)
        print(f"launch to exit of `sh -c :`: median {sorted(times)[25] * 1000:.2f} ms")
        assert sorted(times)[25] < 0.1

    run(test())
