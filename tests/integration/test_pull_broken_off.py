"""Pulls that do not come to their end: a registry that falls silent, a client that leaves, an engine that is killed."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from engines import TestEngine
from images_made import MadeImage, layer_tar, made_manifest
from wardian.home import make_home
from wardian.images import Image, ImageStore
from wardian.storage import LayerStore, Trash

MADE = MadeImage([layer_tar({"first": os.urandom(1_000_000)}), layer_tar({"second": os.urandom(1_000_000)})], {})
BLOBS, MANIFEST = made_manifest(MADE, compress=False)


class SilentRegistry:
    """Serves one image as any name, each large blob up to its middle only, until `speaks` is set."""

    def __init__(self) -> None:
        self.speaks = threading.Event()
        self.fetched: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.speaks.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        test = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                data = BLOBS.get(name, MANIFEST)
                test.fetched[name] += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                half = len(data) // 2 if len(data) > 100_000 else len(data)
                self.wfile.write(data[:half])
                self.wfile.flush()
                if half < len(data):
                    test.speaks.wait(60)
                try:
                    self.wfile.write(data[half:])
                except OSError:
                    self.close_connection = True

        return Handler


@pytest.fixture
def silent() -> Iterator[SilentRegistry]:
    registry = SilentRegistry()
    yield registry
    registry.close()


def start_pull(engine: TestEngine, reference: str) -> Callable[[], None]:
    """A client that pulls and reads until it is told to leave; returns when a layer is being fetched."""
    name, _, tag = reference.rpartition(":")
    stream = engine.client.stream("POST", "/images/create", query={"fromImage": name, "tag": tag})
    opened = stream.__enter__()
    messages = iter(opened.objects())
    while "Downloading" not in str(next(messages)):
        pass
    return lambda: stream.__exit__(None, None, None)


def staged(engine: TestEngine) -> list[str]:
    return [name for name in os.listdir(engine.home.staging) if not name.startswith("spare.")]


def eventually(condition: Callable[[], bool], what: str, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def pull(engine: TestEngine, reference: str) -> str:
    name, _, tag = reference.rpartition(":")
    with engine.client.stream("POST", "/images/create", query={"fromImage": name, "tag": tag}) as stream:
        messages = list(stream.objects())
    assert not [message for message in messages if "error" in str(message)], messages
    return str(messages[-1])


def test_many_silent_pulls_hold_up_nothing_else(new_engine: Callable[[], TestEngine], silent: SilentRegistry) -> None:
    engine = new_engine()
    leave = [start_pull(engine, f"{silent.address}/app{number}:1") for number in range(10)]
    began = time.monotonic()
    root = layer_tar({"a": b"1"})
    with engine.client.stream("POST", "/images/create", root, {"fromSrc": "-", "repo": "imported"}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]
    assert time.monotonic() - began < 3
    for one in leave:
        one()
    eventually(lambda: not staged(engine), "what was staged is gone")


def test_a_client_that_leaves_ends_its_pull(new_engine: Callable[[], TestEngine], silent: SilentRegistry) -> None:
    """Without it, the next pull of the same name would wait for the silent one to run into its time limit."""
    engine = new_engine()
    start_pull(engine, f"{silent.address}/app:1")()
    eventually(lambda: not staged(engine), "what was staged is gone")
    silent.speaks.set()
    assert "Downloaded newer image" in pull(engine, f"{silent.address}/app:1")


def test_an_engine_ends_in_the_midst_of_a_pull(new_engine: Callable[[], TestEngine], silent: SilentRegistry) -> None:
    engine = new_engine()
    start_pull(engine, f"{silent.address}/app:1")
    began = time.monotonic()
    assert engine.terminate() == 0
    assert time.monotonic() - began < 8
    assert not staged(engine)
    engine.start()


def test_an_engine_killed_in_the_midst_of_a_pull(new_engine: Callable[[], TestEngine], silent: SilentRegistry) -> None:
    engine = new_engine()
    start_pull(engine, f"{silent.address}/app:1")
    assert staged(engine)
    engine.kill()
    engine.start()
    assert not staged(engine)
    assert [image["RepoTags"] for image in engine.client.call("GET", "/images/json")] == [["wardian/hello:latest"]]
    silent.speaks.set()
    assert "Downloaded newer image" in pull(engine, f"{silent.address}/app:1")
    facts = engine.client.call("GET", f"/images/{silent.address}/app:1/json")
    assert facts["Size"] == 2_000_000


def test_ten_pulls_of_one_image_fetch_each_blob_once(tmp_path: Path, silent: SilentRegistry) -> None:
    silent.speaks.set()
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"))
    trash = Trash(home.trash)
    images = ImageStore(home, LayerStore(home, trash))
    found: list[Image] = []
    threads = [threading.Thread(target=lambda: found.append(images.pull(f"{silent.address}/app:1"))) for _ in range(10)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [image.id for image in found] == [MADE.id] * 10
        assert [silent.fetched[name] for name in BLOBS] == [1] * len(BLOBS)
    finally:
        images.close()
        trash.close()


def test_a_config_that_the_disk_damaged_hides_one_image_and_a_pull_mends_it(
    tmp_path: Path, silent: SilentRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    silent.speaks.set()
    home = make_home(str(tmp_path / "data"), str(tmp_path / "run"))
    trash = Trash(home.trash)
    layers = LayerStore(home, trash)
    images = ImageStore(home, layers)
    images.pull(f"{silent.address}/app:1")
    other = images.import_image([layer_tar({"a": b"1"})], "other")
    images.close()
    Path(home.content, "blobs/sha256", MADE.id.partition(":")[2]).write_bytes(b"{}")
    images = ImageStore(home, layers)
    try:
        assert images.list_images() == [other]
        assert "config cannot be read" in caplog.text
        assert images.pull(f"{silent.address}/app:1").id == MADE.id
        assert len(images.list_images()) == 2
    finally:
        images.close()
        trash.close()
