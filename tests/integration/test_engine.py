"""The engine without a server: containers of a busybox image, from create to remove, on the real kernel."""

import asyncio
import os
import signal
import socket
from typing import Any

import pytest

from benches import Bench, refused
from wardian.engine import AttachOptions, Engine
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, NOT_IMPLEMENTED, NOT_MODIFIED, WardianError
from wardian.kernel import procfs


def test_output_and_exit_code(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "echo out; echo err >&2; exit 7")
    assert bench.finish(identity) == 7
    assert sorted(bench.output(identity).split()) == ["err", "out"]
    state = bench.state(identity)
    assert (state["Status"], state["ExitCode"], state["Running"]) == ("exited", 7, False)


def test_the_same_container_again(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "echo run >> /kept; wc -l < /kept")
    bench.finish(identity)
    bench.run(bench.engine.containers.start(identity))
    bench.finish(identity)
    assert bench.output(identity).split() == ["1", "2"]


def test_environment_hostname_and_names(bench: Bench) -> None:
    text = bench.said("sh", "-c", "env; hostname; cat /etc/hosts", fields={"Env": ["A=b"], "Hostname": "here"})
    assert {"A=b", "FROM=image", "HOSTNAME=here", "HOME=/root", "here"} <= set(text.split("\n"))


def test_user_and_working_directory(bench: Bench) -> None:
    text = bench.said("sh", "-c", "id -u; id -g; pwd", fields={"User": "7:9", "WorkingDir": "/tmp/made"})
    assert text.split() == ["7", "9", "/tmp/made"]


def test_docker_silent_defaults(bench: Bench) -> None:
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; df -k /dev/shm | tail -1; ls /.dockerenv"
    words = bench.said("sh", "-c", script).split()
    assert words[0] == "0"
    assert "65536" in words
    assert words[-1] == "/.dockerenv"


def test_bind_read_only_and_tmpfs(bench: Bench, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("from the host")
    script = "cat /in/file; touch /in/x 2>/dev/null || echo read-only; "
    script += "touch /x 2>/dev/null || echo root; touch /t/y && echo t"
    text = bench.said("sh", "-c", script, Binds=[f"{tmp_path}:/in:ro"], ReadonlyRootfs=True, Tmpfs={"/t": ""})
    assert text == "from the hostread-only\nroot\nt\n"


def test_limits_reach_the_control_group(bench: Bench) -> None:
    identity = bench.start("sleep", "60", Memory=64 << 20, NanoCpus=500_000_000, PidsLimit=50)
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/cgroup") as file:
        groups = file.read()
    assert identity in groups
    for mount in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup"):
        for name in ("memory.limit_in_bytes", "memory.max"):
            path = f"{mount}/{bench.home.cgroup_base}/containers/{identity}/{name}"
            if os.path.exists(path):
                with open(path) as file:
                    assert int(file.read()) == 64 << 20
                return
    pytest.fail("no memory controller")


def test_command_not_found_leaves_nothing(bench: Bench) -> None:
    identity = bench.create("nosuch")
    message = refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity)))
    assert "executable file not found" in message
    state = bench.state(identity)
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert "nosuch" in state["Error"]
    assert not os.path.exists(bench.home.run_container(identity))


def test_not_executable_is_126(bench: Bench) -> None:
    identity = bench.create("/etc")
    refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity)))
    assert bench.state(identity)["ExitCode"] == 126


def test_names_and_prefixes(bench: Bench) -> None:
    identity = bench.create("true", name="first")
    message = refused(CONFLICT, lambda: bench.create("true", name="first"))
    assert message == (
        f'Conflict. The container name "/first" is already in use by container "{identity}". '
        "You have to remove (or rename) that container to be able to reuse that name."
    )
    assert bench.engine.containers.inspect(identity[:12])["Name"] == "/first"
    assert refused(NOT_FOUND, lambda: bench.engine.containers.inspect("nope")) == "No such container: nope"
    bench.run(bench.engine.containers.rename("first", "second"))
    assert bench.engine.containers.inspect("second")["Id"] == identity
    assert bench.create("true", name="first") != identity


def test_start_twice_and_remove_running(bench: Bench) -> None:
    identity = bench.start("sleep", "60", name="busy")
    refused(NOT_MODIFIED, lambda: bench.run(bench.engine.containers.start(identity)))
    message = refused(CONFLICT, lambda: bench.run(bench.engine.containers.remove("busy")))
    assert message == (
        'cannot remove container "busy": container is running: stop the container before removing or force remove'
    )
    bench.run(bench.engine.containers.remove(identity, force=True))
    refused(NOT_FOUND, lambda: bench.engine.containers.inspect(identity))


def test_stop_by_signal_and_by_force(bench: Bench) -> None:
    obeys = bench.start("sh", "-c", "trap 'exit 5' TERM; while :; do sleep 0.05; done")
    ignores = bench.start("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    for identity, code in ((obeys, 5), (ignores, 137)):
        bench.run(asyncio.sleep(0.1))
        bench.run(bench.engine.containers.stop(identity, timeout=1))
        assert bench.state(identity)["ExitCode"] == code
    refused(NOT_MODIFIED, lambda: bench.run(bench.engine.containers.stop(obeys)))


def test_auto_remove_answers_removed(bench: Bench) -> None:
    identity = bench.create("sh", "-c", "exit 3", AutoRemove=True)

    async def run() -> dict[str, Any]:
        ended = bench.engine.containers.wait(identity, "removed")
        await bench.engine.containers.start(identity)
        return await ended

    assert bench.run(run()) == {"StatusCode": 3}
    refused(NOT_FOUND, lambda: bench.engine.containers.inspect(identity))
    assert not os.path.exists(bench.home.container(identity))


def test_attach_before_start_loses_no_byte(bench: Bench) -> None:
    identity = bench.create("cat", fields={"OpenStdin": True, "StdinOnce": True, "AttachStdin": True})
    ours, theirs = socket.socketpair()
    session = bench.engine.containers.attach(identity, AttachOptions(stdin=True, stdout=True, stderr=True))
    bench.run(session.hand_over(theirs.detach(), b"early "))
    ours.sendall(b"late")
    ours.shutdown(socket.SHUT_WR)
    bench.run(bench.engine.containers.start(identity))
    assert bench.finish(identity) == 0
    ours.settimeout(5)
    frames = b""
    while chunk := ours.recv(4096):
        frames += chunk
    ours.close()
    text = b""
    while frames:
        size = int.from_bytes(frames[4:8], "big")
        text, frames = text + frames[8 : 8 + size], frames[8 + size :]
    assert text == b"early late"


def test_exec(bench: Bench) -> None:
    identity = bench.start("sleep", "60")

    async def execute(command: list[str], **more: Any) -> tuple[bytes, int]:
        body = {"Cmd": command, "AttachStdout": True, "AttachStderr": True} | more
        made = (await bench.engine.execs.create(identity, body))["Id"]
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        await bench.engine.execs.start(made, {}).hand_over(theirs.detach(), b"")
        data = b""
        while chunk := await asyncio.get_running_loop().sock_recv(ours, 4096):
            data += chunk
        ours.close()
        return data[8:], bench.engine.execs.inspect(made)["ExitCode"]

    assert bench.run(execute(["sh", "-c", "hostname; exit 4"])) == (identity[:12].encode() + b"\n", 4)
    assert bench.run(execute(["id", "-u"], User="12"))[0] == b"12\n"
    with pytest.raises(WardianError, match="executable file not found"):
        bench.run(execute(["nosuch"]))
    bench.run(bench.engine.containers.stop(identity, timeout=0))
    message = refused(CONFLICT, lambda: bench.run(bench.engine.execs.create(identity, {"Cmd": ["true"]})))
    assert message == f"container {identity} is not running"


def test_logs_tail_since_and_follow(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "for i in 1 2 3 4 5; do echo $i; done; sleep 0.3; echo end")
    assert bench.output(identity, follow=True).split() == ["1", "2", "3", "4", "5", "end"]
    assert bench.output(identity, tail=2).split() == ["5", "end"]
    assert bench.output(identity, tail=0) == ""
    stamped = bench.output(identity, timestamps=True).splitlines()
    assert all(line.split()[0].endswith("Z") for line in stamped)


def test_a_new_engine_finds_what_runs(bench: Bench) -> None:
    running = bench.start("sh", "-c", "echo before; sleep 2; echo after; exit 9", name="survivor")
    gone = bench.start("sh", "-c", "exit 6")
    bench.run(bench.engine.close())
    bench.loop.run_until_complete(asyncio.sleep(0.2))
    bench.engine = Engine(bench.home)
    bench.run(bench.engine.start())
    assert bench.state("survivor")["Running"]
    assert bench.state(gone)["ExitCode"] == 6
    assert bench.finish(running) == 9
    assert bench.output(running).split() == ["before", "after"]


def test_a_lost_supervisor_takes_its_container_along(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    pid = bench.state(identity)["Pid"]
    with open(f"/proc/{pid}/stat") as file:
        supervisor = int(file.read().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    assert bench.finish(identity) == 137
    # dead, though the host's init may not have taken its status yet
    assert not os.path.exists(f"/proc/{pid}/status") or "State:\tZ" in procfs.read(f"/proc/{pid}/status")


def test_join_the_network_of_another(bench: Bench) -> None:
    first = bench.start("sleep", "60", NetworkMode="bridge")
    address = bench.engine.containers.inspect(first)["NetworkSettings"]["IPAddress"]
    assert address
    assert address in bench.said("ip", "a", NetworkMode=f"container:{first[:12]}")


def test_what_is_not_built_is_refused_by_name(bench: Bench) -> None:
    for field, value in (("DeviceRequests", [{}]), ("CpuCount", 2)):
        assert field in refused(NOT_IMPLEMENTED, lambda f=field, v=value: bench.create("true", **{f: v}))  # type: ignore[misc]
    assert "Fantasy" in refused(NOT_IMPLEMENTED, lambda: bench.create("true", fields={"Fantasy": 1}))
    assert "Memory" in refused(INVALID, lambda: bench.create("true", Memory="much"))


def test_plan_and_explain(bench: Bench) -> None:
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
    planned = bench.run(bench.engine.containers.plan(body))
    assert planned["Steps"][-1]["Description"] == "exec /bin/true"
    assert bench.engine.containers.list(all=True) == []
    identity = bench.start("true")
    bench.finish(identity)
    explained = bench.engine.containers.explain(identity)
    assert len(explained["Steps"]) == len(planned["Steps"])
    assert all(step["Nanoseconds"] is not None for step in explained["Steps"])


def test_events(bench: Bench) -> None:
    async def run() -> list[str]:
        events = bench.engine.events.subscribe(filters={"type": ["container"]})
        made = await bench.engine.containers.create({"Image": "busybox", "Cmd": ["true"]})
        ended = bench.engine.containers.wait(made["Id"], "next-exit")
        await bench.engine.containers.start(made["Id"])
        await ended
        await bench.engine.containers.remove(made["Id"])
        return [(await anext(events))["Action"] for _ in range(4)]

    assert bench.run(run()) == ["create", "start", "die", "destroy"]
