"""Operations on one container at the same time: each gets an answer that is true, and nobody waits in vain."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import tarfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from benches import Bench, refused
from launched import parent_of
from wardian.engine import AttachOptions, LogOptions
from wardian.engine.execs.launch import Exec, RunDirectory
from wardian.engine.execs.session import ExecSession
from wardian.engine.files.commit import Asked
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, NOT_MODIFIED, WardianError
from wardian.kernel import procfs


async def kind_of(operation: Any) -> str:
    try:
        await operation
    except WardianError as error:
        return error.kind
    return "done"


def test_a_forced_removal_does_not_wait_for_a_patient_stop(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "trap '' TERM; while :; do sleep 0.1; done")
    containers = bench.engine.containers

    async def run() -> float:
        stopping = asyncio.ensure_future(kind_of(containers.stop(identity, timeout=25)))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await containers.remove(identity, force=True)
        await stopping
        return time.monotonic() - began

    assert bench.run(run()) < 5


def test_restart_keeps_what_rm_would_take(bench: Bench) -> None:
    identity = bench.start("sleep", "60", AutoRemove=True)
    first = bench.state(identity)["Pid"]
    bench.run(bench.engine.containers.restart(identity, timeout=0))
    state = bench.state(identity)
    assert state["Running"] and state["Pid"] != first
    bench.run(bench.engine.containers.kill(identity))
    assert bench.engine.containers.list(all=True) == []


@pytest.mark.parametrize("operation", ["start", "restart", "rename"])
def test_whoever_waits_for_a_container_that_goes_hears_of_it(bench: Bench, operation: str) -> None:
    identity = bench.create("sleep", "60", name="going")
    containers = bench.engine.containers
    calls = {
        "start": lambda: containers.start(identity),
        "restart": lambda: containers.restart(identity),
        "rename": lambda: containers.rename(identity, "gone"),
    }

    async def run() -> str:
        removal = asyncio.ensure_future(containers.remove(identity))
        container = bench.engine.containers._registry.find(identity)
        async with container.lock:
            waiting = asyncio.ensure_future(kind_of(calls[operation]()))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await removal
        return await waiting

    assert bench.run(run()) == NOT_FOUND
    bench.create("true", name="gone")  # the name is free


def test_who_looks_at_the_files_of_a_container_that_goes_makes_none_anew(bench: Bench) -> None:
    """The threads of diff, commit and export come to their work when they come to it."""
    identity = bench.create("true")
    files, containers = bench.engine.files, bench.engine.containers
    container = containers._registry.find(identity)
    bench.run(containers.remove(identity))
    for look in (files.differences, lambda one: list(files.layer(one)), lambda one: list(files.all_of(one))):
        with pytest.raises(WardianError) as refusal:
            look(container)
        assert refusal.value.kind == NOT_FOUND
    assert not os.path.exists(bench.home.container(identity))


def test_many_clients_fight_over_a_few_names(bench: Bench) -> None:
    containers, names = bench.engine.containers, ["one", "two", "three"]
    allowed = {"done", CONFLICT, NOT_FOUND, NOT_MODIFIED}
    body = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "none"}}

    async def client(number: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        for turn in range(4):
            name = names[(number + turn) % len(names)]
            for operation in (
                lambda n=name: containers.create(body, n),
                lambda n=name: containers.start(n),
                lambda n=name: containers.stop(n, timeout=0),
                lambda n=name: containers.remove(n, force=True),
            ):
                seen[await kind_of(_call(operation))] += 1
        return seen

    async def run() -> tuple[Counter[str], list[tuple[str, str]]]:
        events = bench.engine.events.subscribe(filters={"type": ["container"]})
        results = await asyncio.gather(*(client(number) for number in range(20)))
        for line in containers.list(all=True):
            await containers.remove(line["Id"], force=True)
        seen = []
        while bench.engine.containers._registry or not seen or not _complete(seen):
            event = await asyncio.wait_for(anext(events), 5)
            seen.append((event["Actor"]["ID"], event["Action"]))
        return sum(results, Counter()), seen

    results, events = bench.run(run())
    assert set(results) <= allowed, results
    assert _complete(events)
    for identity in {identity for identity, _ in events}:
        told = [action for whose, action in events if whose == identity]
        lives = [action for action in told if action in ("create", "start", "die", "destroy")]
        assert lives[0] == "create" and lives[-1] == "destroy", told
        inner = lives[1:-1]
        assert inner == ["start", "die"] * (len(inner) // 2), told


async def _call(operation: Any) -> Any:
    return await operation()


def _complete(events: list[tuple[str, str]]) -> bool:
    made = {identity for identity, action in events if action == "create"}
    return made == {identity for identity, action in events if action == "destroy"}


def test_removal_ends_what_is_attached(bench: Bench) -> None:
    """An attach, an exec's stream and `logs -f` of a container that is removed by force all end."""
    identity = bench.start("sleep", "60")
    engine = bench.engine

    async def run() -> dict[str, Any]:
        logs = engine.containers.logs(identity, LogOptions(follow=True, stdout=True)).chunks
        following = asyncio.ensure_future(_all(logs))
        attached, theirs = _pair()
        await engine.containers.attach(identity, AttachOptions(stdout=True)).hand_over(theirs, b"")
        made = (await engine.execs.create(identity, {"Cmd": ["sleep", "50"], "AttachStdout": True}))["Id"]
        streamed, theirs = _pair()
        await engine.execs.start(made, {}).hand_over(theirs, b"")
        conditions = {name: engine.containers.wait(identity, name) for name in ("not-running", "next-exit", "removed")}
        loop = asyncio.get_running_loop()
        await engine.containers.remove(identity, force=True)
        with attached, streamed:
            assert await asyncio.wait_for(loop.sock_recv(attached, 10), 5) == b""
            assert await asyncio.wait_for(loop.sock_recv(streamed, 10), 5) == b""
        await asyncio.wait_for(following, 5)
        found: dict[str, Any] = engine.execs.inspect(made)
        assert found["ExitCode"] == 137 and not found["Running"]
        return {name: (await asyncio.wait_for(ended, 5))["StatusCode"] for name, ended in conditions.items()}

    assert bench.run(run()) == {"not-running": 137, "next-exit": 137, "removed": 137}


def _exec_that_fails(bench: Bench, made: str, session: ExecSession) -> tuple[str, int]:
    """What its stream says, and its exit code."""

    async def start() -> str:
        ours, theirs = _pair()
        with ours:
            with pytest.raises(WardianError) as caught:
                await session.hand_over(theirs, b"")
            assert caught.value.kind == CONFLICT
            return (await asyncio.get_running_loop().sock_recv(ours, 4096))[8:].decode()

    said = bench.run(start())
    found = bench.engine.execs.inspect(made)
    assert not found["Running"]
    return said, found["ExitCode"]


def test_an_exec_whose_container_ends_before_its_client_is_there_is_known(bench: Bench) -> None:
    """The head of the answer is out by then: its client asks for the exit code, and must not hear of none."""
    identity = bench.start("sleep", "60")
    made = bench.run(bench.engine.execs.create(identity, {"Cmd": ["true"], "AttachStdout": True}))["Id"]
    session = bench.engine.execs.start(made, {})
    bench.run(bench.engine.containers.remove(identity, force=True))
    said, code = _exec_that_fails(bench, made, session)
    assert said == f"container {identity} is not running\r\n" and code == 126


def test_an_exec_whose_container_ends_beneath_its_launch_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not which of its groups or namespaces was missed first."""
    identity = bench.start("sleep", "60")
    execs, keep, pid = bench.engine.execs, bench.engine.execs._keep, bench.state(identity)["Pid"]

    def ending(found: Exec) -> RunDirectory | None:
        os.kill(pid, signal.SIGKILL)
        while os.path.exists(f"/proc/{pid}"):
            time.sleep(0.001)
        return keep(found)

    monkeypatch.setattr(execs, "_keep", ending)
    made = bench.run(execs.create(identity, {"Cmd": ["true"], "AttachStdout": True}))["Id"]
    said, code = _exec_that_fails(bench, made, execs.start(made, {}))
    assert said == "OCI runtime exec failed: exec failed: cannot exec in a stopped container\r\n" and code == 128


def test_an_exec_whose_supervisor_is_lost_has_ended_when_its_stream_has(bench: Bench) -> None:
    """Its client asks at once, and makes 0 of an exit code that is not there."""
    identity = bench.start("sleep", "60")
    execs = bench.engine.execs
    made = bench.run(execs.create(identity, {"Cmd": ["sleep", "60"], "AttachStdout": True}))["Id"]
    ours, theirs = _pair()
    with ours:
        bench.run(execs.start(made, {}).hand_over(theirs, b""))
        pid = execs.inspect(made)["Pid"]
        supervisor = parent_of(pid)
        os.kill(supervisor, signal.SIGKILL)
        ours.setblocking(True)
        assert ours.recv(10) == b""  # no turn of the loop until here
    os.waitid(os.P_PID, supervisor, os.WEXITED | os.WNOWAIT)  # its sockets are closed one after the other
    found = execs.inspect(made)
    assert found["ExitCode"] == 137 and not found["Running"]

    async def gone() -> None:
        async with asyncio.timeout(10):
            while procfs.status(pid).get("State", "Z")[0] not in "ZX":
                await asyncio.sleep(0.01)

    bench.run(gone())


def test_who_attaches_while_the_container_starts_sees_what_comes(bench: Bench) -> None:
    identity = bench.create("sh", "-c", "sleep 0.3; echo here")
    engine = bench.engine

    async def run() -> bytes:
        starting = asyncio.ensure_future(engine.containers.start(identity))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ours, theirs = _pair()
        with ours:
            await engine.containers.attach(identity, AttachOptions(stdout=True)).hand_over(theirs, b"")
            await starting
            return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(ours, 100), 5)

    assert bench.run(run()).endswith(b"here\n")


def test_waiters_that_left_are_not_kept(bench: Bench) -> None:
    identity = bench.start("sleep", "60")

    async def run() -> int:
        for _ in range(50):
            asyncio.ensure_future(bench.engine.containers.wait(identity)).cancel()
            await asyncio.sleep(0)
        return len(bench.engine.containers._registry.find(identity).waiters)

    assert bench.run(run()) <= 2


def test_a_start_that_fails_gives_its_address_back(bench: Bench, tmp_path: Path) -> None:
    source = tmp_path / "gone"
    source.mkdir()
    mount = {"Type": "bind", "Source": str(source), "Target": "/x"}
    identity = bench.create("true", NetworkMode="bridge", Mounts=[mount])
    source.rmdir()
    assert "does not exist" in refused(INVALID, lambda: bench.run(bench.engine.containers.start(identity)))
    assert bench.engine.containers._parts.networks.endpoints(identity) == ()


def test_a_subscriber_that_does_not_read_is_let_go(bench: Bench) -> None:
    """Its stream ends without a hole; it does not fill the engine's memory."""
    events = bench.engine.events

    async def run() -> list[int]:
        stuck = events.subscribe(filters={"type": ["daemon"]})
        for number in range(6000):
            events.publish("daemon", "reload", str(number), {})
        return [int(event["Actor"]["ID"]) async for event in stuck]

    seen = bench.run(run())
    assert len(seen) < 6000 and seen == list(range(len(seen)))
    assert events.listeners() == 0


def test_following_a_log_ends_with_the_container_at_once(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "echo first; sleep 0.3; echo last")

    async def run() -> float:
        stream = bench.engine.containers.logs(identity, LogOptions(follow=True, stdout=True))
        ended = bench.engine.containers.wait(identity)
        chunks = await _all(stream.chunks)
        assert b"".join(chunks).endswith(b"last\n")
        late = time.monotonic()
        await ended
        return time.monotonic() - late

    assert bench.run(run()) < 0.1


def _pair() -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return ours, theirs.detach()


async def _all(chunks: Any) -> list[bytes]:
    return [chunk async for chunk in chunks]


def test_prune_goes_on_after_a_removal_that_fails(bench: Bench) -> None:
    stuck, other = bench.create("true"), bench.create("true")
    directory = bench.home.container(stuck)
    subprocess.run(["mount", "--bind", directory, directory], check=True)  # rename(2): EBUSY
    try:
        pruned = bench.run(bench.engine.containers.prune())
    finally:
        subprocess.run(["umount", directory], check=True)
    assert pruned["ContainersDeleted"] == [other]
    assert bench.state(stuck)["Status"] == "dead"
    assert bench.run(bench.engine.containers.prune())["ContainersDeleted"] == [stuck]


_FILES = 40  # the reader's thread is far from their end when the first are asked for


def _written(bench: Bench) -> str:
    identity = bench.create("true")
    data = os.path.join(bench.home.container(identity), "upper", "data")
    os.mkdir(data)
    for number in range(_FILES):
        Path(data, str(number)).write_bytes(bytes(128 << 10))
    return identity


async def _removed(bench: Bench, identity: str) -> None:
    await bench.engine.containers.remove(identity)
    while os.listdir(bench.home.trash):
        await asyncio.sleep(0.01)
    assert not os.path.exists(bench.home.container(identity))


@pytest.mark.parametrize("operation", ["export", "archive"])
def test_an_archive_of_a_container_that_goes_is_cut_off(bench: Bench, operation: str) -> None:
    identity, files = _written(bench), bench.engine.files

    async def run() -> bytes:
        archive = (
            await files.export(identity) if operation == "export" else (await files.download(identity, "/")).pieces
        )
        read = [await anext(archive)]
        await _removed(bench, identity)  # does not wait for who reads
        async for piece in archive:
            read.append(piece)
        return b"".join(read)

    refused(NOT_FOUND, lambda: bench.run(run()))


def test_a_commit_of_a_container_that_goes_makes_no_image(bench: Bench) -> None:
    identity = _written(bench)
    layer = bench.engine.files.layer(bench.engine.containers._registry.find(identity))
    next(layer)
    bench.run(_removed(bench, identity))
    refused(NOT_FOUND, lambda: list(layer))


def test_a_commit_beside_a_removal_is_whole_or_refused(bench: Bench) -> None:
    containers = bench.engine.containers

    async def both(identity: str) -> tuple[Any, Any]:
        committing = asyncio.ensure_future(bench.engine.commits.commit(Asked(identity)))
        await asyncio.sleep(0.02)
        await containers.remove(identity)
        return identity, (await asyncio.gather(committing, return_exceptions=True))[0]

    for _ in range(3):
        identity, image = bench.run(both(_written(bench)))
        assert not os.path.exists(bench.home.container(identity))
        if isinstance(image, WardianError):
            assert image.kind == NOT_FOUND
        else:
            said = bench.said("sh", "-c", "ls /data | wc -l", fields={"Image": image["Id"]})
            assert int(said) == _FILES


def test_an_upload_into_a_container_that_goes_is_refused(bench: Bench) -> None:
    identity, files = bench.create("true"), bench.engine.files
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as writer:
        writer.addfile(tarfile.TarInfo("made"))

    async def content(gone: asyncio.Event) -> AsyncIterator[bytes]:
        yield archive.getvalue()[:512]
        await gone.wait()
        yield archive.getvalue()[512:]

    async def run() -> None:
        gone = asyncio.Event()
        upload = files.upload(identity, "/", content(gone), owned_by_user=False, keep_kinds=False)
        uploading = asyncio.ensure_future(upload)
        while not files._views._shared:
            await asyncio.sleep(0.01)
        await bench.engine.containers.remove(identity)
        gone.set()
        await uploading

    refused(NOT_FOUND, lambda: bench.run(run()))
    assert not os.path.exists(bench.home.container(identity))
