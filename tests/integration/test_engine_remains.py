"""What is left of a container for a moment after its end is told: nobody meets it."""

import asyncio
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from benches import Bench
from wardian.engine import Engine
from wardian.engine.life.remains import Remains
from wardian.errors import UNAVAILABLE, WardianError
from wardian.runtime import protocol, supervisor

LASTING = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 60 & wait; done")


@pytest.fixture
def ended(bench: Bench) -> Iterator[tuple[str, socket.socket]]:
    """A stopped container whose supervisor has not let go of it, as far as an engine can tell: we are that one."""
    identity = bench.start("sh", "-c", "exit 5")
    assert bench.finish(identity) == 5
    bench.run(bench.engine.close())
    run_dir = bench.home.run_container(identity)
    with supervisor.listen(run_dir) as listener:
        bench.engine = Engine(bench.home)
        bench.run(bench.engine.start())
        ours, _ = listener.accept()
    with ours:
        ours.settimeout(20)
        yield identity, ours
    bench.run(bench.engine.containers.remove(identity))


def kind_of(message: bytes) -> int:
    return int(protocol.CONTROL_HEADER.unpack_from(message)[2])


def record_of(bench: Bench, identity: str) -> bytes:
    with open(os.path.join(bench.home.run_container(identity), "exit"), "rb") as file:
        return file.read()


def tell_exited(ours: socket.socket, record: bytes) -> None:
    ours.send(supervisor.message("EXITED", protocol.ANSWER.pack(1, 0) + record))


def test_a_start_waits_for_the_root_of_the_last_run(bench: Bench, ended: tuple[str, socket.socket]) -> None:
    identity, ours = ended
    assert bench.state(identity)["Status"] == "exited" and bench.state(identity)["ExitCode"] == 5

    async def test() -> None:
        started = asyncio.ensure_future(bench.engine.containers.start(identity))
        asked = [kind_of(await asyncio.to_thread(ours.recv, 4096)) for _ in range(2)]
        assert asked == [protocol.KINDS["WAIT"], protocol.KINDS["LET_GO"]]
        assert not started.done()
        tell_exited(ours, record_of(bench, identity))
        await started

    bench.run(test())
    assert bench.finish(identity) == 5


def test_so_does_a_copy(bench: Bench, ended: tuple[str, socket.socket]) -> None:
    identity, ours = ended
    container = bench.engine._parts.registry.find(identity)

    async def test() -> None:
        copying = asyncio.ensure_future(asyncio.to_thread(look, bench, identity))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(copying), 0.2)
        assert container.remains is not None
        tell_exited(ours, record_of(bench, identity))
        assert "bin" in await copying
        assert container.remains is None

    bench.run(test())


def look(bench: Bench, identity: str) -> list[str]:
    container = bench.engine._parts.registry.find(identity)
    with bench.engine.files._views.view(container, "cp") as view:
        fd = view.open("/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)


def test_a_supervisor_that_does_not_let_go_keeps_a_start_waiting_not_for_ever(
    bench: Bench, ended: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity, _ = ended
    monkeypatch.setattr("wardian.engine.life.remains._DEADLINE", 0.1)
    with pytest.raises(WardianError, match="is not let go") as caught:
        bench.run(bench.engine.containers.start(identity))
    assert caught.value.kind == UNAVAILABLE
    assert bench.state(identity)["Status"] == "exited"


def test_it_may_be_removed_meanwhile(bench: Bench) -> None:
    """And an engine that ends waits for it: its groups are gone with it."""
    identity = bench.start(*LASTING)
    group = f"{bench.home.cgroup_base}/containers/{identity}"
    assert groups_named(group)

    async def test() -> None:
        await bench.engine.containers.stop(identity)
        await bench.engine.containers.remove(identity)

    bench.run(test())
    bench.restart()
    assert not groups_named(group)
    assert not os.path.exists(bench.home.run_container(identity))


def groups_named(group: str) -> list[str]:
    with open("/proc/self/mountinfo") as file:
        mounts = [line.split(" ")[4] for line in file if " cgroup" in line]
    return [mount for mount in mounts if os.path.isdir(os.path.join(mount, group))]


def test_restarts_in_a_row_make_no_second_overlay_on_one_upper(bench: Bench) -> None:
    """The kernel says so, and does it for all that (overlayfs.rst): each start waits until the last root is gone."""
    identity = bench.start(*LASTING)
    before: Any = Remains.gone
    waited = []

    async def gone(remains: Remains, container: Any) -> None:
        waited.append(container.remains is not None)
        await before(remains, container)
        assert container.remains is None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Remains, "gone", gone)
        for _ in range(5):
            bench.run(bench.engine.containers.restart(identity, timeout=5))
    assert len(waited) == 5 and any(waited), "a start right after an end finds something left"
    bench.run(bench.engine.containers.remove(identity, force=True))


def test_of_one_whose_user_may_take_away_what_it_stood_in_nothing_is_left(bench: Bench) -> None:
    parent = f"/{bench.home.cgroup_base}/parent-of-{os.getpid()}"
    identity = bench.start(*LASTING, CgroupParent=parent)
    assert groups_named(f"{parent[1:]}/{identity}")
    bench.run(bench.engine.containers.stop(identity))
    assert bench.engine._parts.registry.find(identity).remains is None
    assert not groups_named(f"{parent[1:]}/{identity}")
    bench.run(bench.engine.containers.remove(identity))
