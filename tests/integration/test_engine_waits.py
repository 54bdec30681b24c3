"""What the engine must not wait for: file systems that do not answer, clients that left, images being removed."""

import asyncio
import ctypes
import os
import socket
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benches import Bench, refused
from hanging import unread
from images_made import busybox_layer
from wardian.engine import AttachOptions, Engine, attach, deadline
from wardian.engine import engine as engine_module
from wardian.errors import CONFLICT, INVALID, NOT_FOUND, SYSTEM, WardianError
from wardian.storage import lock_root

_LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[str]:
    """A FUSE mount whose server reads no request (fuse(4)): whoever looks below it waits.

    It is let go after a few seconds in any case, so that an engine that waits with its loop fails, and does not hang.
    """
    with unread(tmp_path / "hanging") as answers:
        let_go = threading.Timer(5, answers.close)
        let_go.start()
        yield str(tmp_path / "hanging")
        let_go.cancel()
        let_go.join()


async def _longest_stall(operation: Awaitable[Any]) -> tuple[float, BaseException | None]:
    """How long the loop stood still at most while `operation` ran, and how that ended."""
    task = asyncio.ensure_future(operation)
    longest, last = 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    return longest, task.exception()


def _refused_in_time(bench: Bench, monkeypatch: pytest.MonkeyPatch, operation: Callable[[], Awaitable[Any]]) -> str:
    monkeypatch.setattr(deadline, "SECONDS", 0.5)
    stall, error = bench.run(_longest_stall(operation()))
    assert stall < 0.3
    assert isinstance(error, WardianError)
    assert error.kind == SYSTEM
    return error.message


def test_a_source_that_does_not_answer_stops_its_own_start_only(
    bench: Bench, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = bench.create("true", Binds=[f"{hanging}/data:/data"])
    message = _refused_in_time(bench, monkeypatch, lambda: bench.engine.containers.start(identity))
    assert f"{hanging}/data does not answer" in message
    assert bench.state(identity)["Status"] == "created"


def test_a_mount_that_does_not_answer_stops_its_own_create_only(
    bench: Bench, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = {"Type": "bind", "Source": f"{hanging}/data", "Target": "/data"}
    body = {"Image": "busybox", "HostConfig": {"Mounts": [mount], "NetworkMode": "none"}}
    message = _refused_in_time(bench, monkeypatch, lambda: bench.engine.containers.create(body, "unanswered"))
    assert f"{hanging}/data does not answer" in message
    refused(NOT_FOUND, lambda: bench.engine.containers.inspect("unanswered"))


def test_a_copy_waits_for_its_own_container_only(bench: Bench, hanging: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a container that does not run has bound is looked at before anything of it is held."""
    identity = bench.create("true", Binds=[f"{hanging}/data:/data"])
    other = bench.create("true")
    files = bench.engine.files

    async def both() -> dict[str, Any]:
        copied = asyncio.ensure_future(files.stat(identity, "/etc"))
        await asyncio.sleep(0.1)
        lock_root(bench.home, identity, "test").release()  # nobody has it
        found = await files.stat(other, "/etc")
        assert not copied.done()
        await copied
        return found

    assert f"{hanging}/data does not answer" in _refused_in_time(bench, monkeypatch, both)
    assert files._views._shared == {}
    bench.run(bench.engine.containers.remove(identity))


def test_copies_of_one_container_at_once_do_not_refuse_each_other(bench: Bench) -> None:
    """The one that is the last to go while the next one comes."""
    identity = bench.create("true")

    async def copies() -> None:
        for _ in range(10):
            await asyncio.gather(*(bench.engine.files.stat(identity, "/bin") for _ in range(8)))

    bench.run(copies())
    assert bench.engine.files._views._shared == {}


def test_an_exec_does_not_wait_for_what_is_mounted_on_etc(
    bench: Bench, hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = bench.start("sleep", "60")
    pid = bench.state(identity)["Pid"]
    _mount_on_etc(pid, hanging)
    created = bench.engine.execs.create(identity, {"Cmd": ["true"], "AttachStdout": True})
    session = bench.engine.execs.start(bench.run(created)["Id"], {})
    message = _refused_in_time(bench, monkeypatch, session.run_detached)
    assert f"the root of container {identity} does not answer" in message


def _mount_on_etc(pid: int, source: str) -> None:
    """In the container's mount namespace, by a child: setns(2) is for a process of one thread."""
    tree = _LIBC.syscall(428, -100, os.fsencode(source), 1 | os.O_CLOEXEC)  # open_tree(OPEN_TREE_CLONE)
    assert tree >= 0, os.strerror(ctypes.get_errno())
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    child = os.fork()
    if not child:
        entered = _LIBC.setns(namespace, 0) == 0
        os._exit(0 if entered and _LIBC.syscall(429, tree, b"", -100, b"/etc", 4) == 0 else 1)
    os.close(namespace)
    os.close(tree)
    assert os.waitpid(child, 0)[1] == 0


def test_attachers_that_left_make_room_and_too_many_are_refused(bench: Bench) -> None:
    identity = bench.create("echo", "hello")
    options = AttachOptions(stdout=True)

    def attach() -> socket.socket:
        ours, theirs = socket.socketpair()
        bench.run(bench.engine.containers.attach(identity, options).hand_over(theirs.detach(), b""))
        return ours

    for _ in range(200):
        attach().close()
    clients = [attach() for _ in range(64)]
    assert "64 clients" in refused(CONFLICT, lambda: bench.engine.containers.attach(identity, options))
    for client in clients[1:]:
        client.close()
    bench.run(bench.engine.containers.start(identity))
    bench.finish(identity)
    clients[0].settimeout(5)
    assert clients[0].recv(100)[8:] == b"hello\n"
    clients[0].close()


def test_who_left_before_a_start_that_never_comes_is_let_go(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "_LOOK", 0.05)
    container = bench.engine.containers._registry.find(bench.create("echo", "hello"))

    def client() -> socket.socket:
        ours, theirs = socket.socketpair()
        options = AttachOptions(stdout=True)
        bench.run(bench.engine.containers.attach(container.id, options).hand_over(theirs.detach(), b""))
        return ours

    async def until(left: int) -> None:
        while len(container.attachers) != left:
            await asyncio.sleep(0.01)

    stays, *others = [client() for _ in range(10)]
    for one in others:
        one.close()
    bench.run(until(1))
    stays.close()
    bench.run(until(0))
    assert container.departures is None


def test_an_engine_s_end_waits_for_no_step_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never() -> None:
        monkeypatch.setattr(engine_module, "_CLOSE_LEAST", 20)  # for the steps after this one
        await asyncio.Event().wait()

    monkeypatch.setattr(engine_module, "_CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(engine_module, "_CLOSE_LEAST", 0.1)
    monkeypatch.setattr(bench.engine._lifecycle, "end_restarts", never)
    with pytest.raises(WardianError, match="starts by restart policies did not end within"):
        bench.run(bench.engine.close())
    monkeypatch.undo()
    bench.engine = Engine(bench.home)  # the later steps were done: there is room for the next one
    bench.run(bench.engine.start())


def test_what_a_client_sent_before_it_left_is_read(bench: Bench) -> None:
    identity = bench.create("cat", fields={"OpenStdin": True, "StdinOnce": True})
    ours, theirs = socket.socketpair()
    bench.run(bench.engine.containers.attach(identity, AttachOptions(stdin=True)).hand_over(theirs.detach(), b""))
    ours.sendall(b"left behind\n")
    ours.close()
    bench.run(bench.engine.containers.start(identity))
    bench.finish(identity)
    assert bench.output(identity) == "left behind\n"


def test_attach_replays_nothing_of_a_container_without_a_log(bench: Bench) -> None:
    identity = bench.start("sh", "-c", "sleep 1; echo live", LogConfig={"Type": "none", "Config": {}})
    ours, theirs = socket.socketpair()
    session = bench.engine.containers.attach(identity, AttachOptions(stdout=True, logs=True))
    bench.run(session.hand_over(theirs.detach(), b""))
    bench.finish(identity)
    ours.settimeout(5)
    assert ours.recv(100)[8:] == b"live\n"
    ours.close()


def test_an_unknown_user_of_an_exec_is_refused_when_it_is_made(bench: Bench) -> None:
    identity = bench.start("sleep", "60")
    for user, words in (
        ("nosuchuser", "unable to find user nosuchuser: no matching entries in passwd file"),
        ("0:nosuchgroup", "unable to find group nosuchgroup: no matching entries in group file"),
    ):
        body = {"Cmd": ["true"], "User": user}
        call = bench.engine.execs.create(identity, body)
        assert refused(INVALID, lambda call=call: bench.run(call)) == words  # type: ignore[misc]


def test_a_joined_container_is_kept_by_its_id(bench: Bench) -> None:
    other = bench.start("sleep", "60", name="first")
    joined = bench.create("true", NetworkMode="container:first", PidMode=f"container:{other[:12]}")
    bench.run(bench.engine.containers.rename("first", "second"))
    bench.start("sleep", "60", name="first")
    host = bench.engine.containers.inspect(joined)["HostConfig"]
    assert (host["NetworkMode"], host["PidMode"]) == (f"container:{other}", f"container:{other}")
    bench.run(bench.engine.containers.start(joined))
    assert bench.finish(joined) == 0


def test_a_removal_names_the_container_as_the_caller_did(bench: Bench) -> None:
    identity = bench.start("sleep", "60", name="busy")
    for ref in ("busy", identity[:12]):
        message = refused(CONFLICT, lambda ref=ref: bench.run(bench.engine.containers.remove(ref)))  # type: ignore[misc]
        assert message.startswith(f'cannot remove container "{ref}": container is running')


def test_a_hostname_may_begin_with_a_dash(bench: Bench) -> None:
    assert bench.said("cat", "/etc/hostname", fields={"Hostname": "-x"}) == "-x\n"


def test_the_removal_of_an_image_leaves_the_loop_free(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a container that is made of it meanwhile waits, and then finds it gone."""
    images = bench.engine.images
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(busybox_layer())
        file.seek(0)
        bench.run(images.import_(file, "other", "latest", "", (), "", lambda message: None))
    store = bench.engine.images._store
    remove = store.remove

    def slowly(*args: Any, **options: Any) -> Any:
        time.sleep(0.5)
        return remove(*args, **options)

    monkeypatch.setattr(store, "remove", slowly)

    async def both() -> list[Any]:
        body = {"Image": "other", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        await asyncio.sleep(0.05)  # until the loop is watched
        removal = asyncio.create_task(images.remove("other"))
        await asyncio.sleep(0.1)
        return await asyncio.gather(removal, bench.engine.containers.create(body, "late"), return_exceptions=True)

    started = asyncio.ensure_future(both(), loop=bench.loop)
    stall, _ = bench.run(_longest_stall(started))
    assert stall < 0.3
    removed, created = started.result()
    assert {"Untagged": "other:latest"} in removed
    assert isinstance(created, WardianError)
    assert created.kind == NOT_FOUND
