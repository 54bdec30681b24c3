"""An engine without a server, and the loop that it lives in: for tests of what the API does not show.

def test_something(bench): assert bench.said("echo", "hi") == "hi\n"        # one engine for the module
"""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from images_made import MadeImage, busybox_layer, docker_archive
from wardian.engine import Engine, LogOptions
from wardian.errors import WardianError
from wardian.home import Home

T = TypeVar("T")


class Bench:
    """One engine and the loop that it lives in."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.loop = asyncio.new_event_loop()
        self.engine = Engine(home)
        self.run(self.engine.start())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 30))

    def restart(self) -> None:
        """Another engine on the same home, as after an upgrade."""
        self.run(self.engine.close())
        self.engine = Engine(self.home)
        self.run(self.engine.start())

    def create(self, *command: str, name: str | None = None, **host: Any) -> str:
        fields = host.pop("fields", {})
        body = {"Image": "busybox", "Cmd": list(command), "HostConfig": {"NetworkMode": "none"} | host} | fields
        return str(self.run(self.engine.containers.create(body, name))["Id"])

    def start(self, *command: str, name: str | None = None, **host: Any) -> str:
        identity = self.create(*command, name=name, **host)
        self.run(self.engine.containers.start(identity))
        return identity

    def finish(self, identity: str) -> int:
        async def wait() -> dict[str, Any]:
            return await self.engine.containers.wait(identity)

        return int(self.run(wait())["StatusCode"])

    def output(self, identity: str, **options: Any) -> str:
        """What `docker logs` would print."""

        async def read() -> bytes:
            stream = self.engine.containers.logs(identity, LogOptions(stdout=True, stderr=True, **options))
            return b"".join([chunk async for chunk in stream.chunks])

        data, text = self.run(read()), b""
        while data:
            size = int.from_bytes(data[4:8], "big")
            text, data = text + data[8 : 8 + size], data[8 + size :]
        return text.decode()

    def said(self, *command: str, **host: Any) -> str:
        identity = self.start(*command, **host)
        assert self.finish(identity) == 0, self.output(identity)
        return self.output(identity)

    def state(self, identity: str) -> dict[str, Any]:
        return dict(self.engine.containers.inspect(identity)["State"])

    def remove_all(self) -> None:
        for line in self.engine.containers.list(all=True):
            self.run(self.engine.containers.remove(line["Id"], force=True))

    def close(self) -> None:
        self.remove_all()
        self.run(self.engine.close())
        self.loop.close()


def load_busybox(bench: Bench) -> None:
    archive = docker_archive({"busybox:latest": MadeImage([busybox_layer()], {"Cmd": ["sh"], "Env": ["FROM=image"]})})
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(archive)
        file.seek(0)
        bench.run(bench.engine.images.load(file, lambda message: None))


@contextmanager
def bench_with_subids(home: Home, files: Path, *lines: str) -> Iterator[Bench]:
    """One whose /etc/subuid and /etc/subgid, in the directory `files`, have these `lines` (subuid(5))."""
    for name in ("subuid", "subgid"):
        (files / name).write_text("".join(f"{line}\n" for line in lines))
    bench = Bench(home._replace(subids=str(files)))
    load_busybox(bench)
    yield bench
    bench.close()


@pytest.fixture(scope="module")
def shared_bench(new_home: Callable[[], Home]) -> Iterator[Bench]:
    bench = Bench(new_home())
    load_busybox(bench)
    yield bench
    bench.close()


@pytest.fixture
def bench(shared_bench: Bench) -> Iterator[Bench]:
    yield shared_bench
    shared_bench.remove_all()


def refused(kind: str, action: Callable[[], Any]) -> str:
    with pytest.raises(WardianError) as caught:
        action()
    assert caught.value.kind == kind, caught.value
    return caught.value.message
