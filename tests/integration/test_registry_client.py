"""The registry client against a server that misbehaves: redirects, tokens, broken connections. Where credentials go."""

import concurrent.futures
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from images_made import MadeImage, digest, layer_tar, made_manifest
from wardian.errors import WardianError
from wardian.images.auth import RegistryAuth, auth_from_api
from wardian.images.distribution import describe
from wardian.images.manifests import Descriptor
from wardian.images.progress import Cancelled
from wardian.images.reference import parse_reference
from wardian.images.registry import RegistryClient
from wardian.images.tags import list_tags

MADE = MadeImage([layer_tar({"big": bytes(range(256)) * 4000})], {})
BLOBS, MANIFEST = made_manifest(MADE, compress=False)
LAYER = Descriptor(digest(MADE.layers[0]), len(MADE.layers[0]), "")


class Seen(NamedTuple):
    """A request as the server saw it."""

    port: int
    path: str
    authorization: str | None
    range: str | None


class Server:
    """A registry of one image whose answers a test bends; `other` is its CDN on another port."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.redirect = ""  # "": serve blobs; else where to send them
        self.challenge = ""  # WWW-Authenticate until the right Authorization comes
        self.accepted = ""
        self.cut = 0  # close the connection after so many bytes of a blob, while > 0, and halve it
        self.extra = b""
        self.endless = 0  # answer with this status, and a body that goes on until nobody takes it
        self.silent = threading.Event()  # set: a manifest's body stops after its first byte, until `gone` is
        self.gone = threading.Event()
        self.tags: list[str] = []  # on each page of a list of tags, and there is always one more
        self.manifest, self.blobs = MANIFEST, BLOBS
        self.servers = [ThreadingHTTPServer(("127.0.0.1", 0), self._handler()) for _ in range(2)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        self.address, self.other = (f"127.0.0.1:{server.server_port}" for server in self.servers)

    def close(self) -> None:
        self.gone.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def client(self, auth: RegistryAuth | None = None) -> RegistryClient:
        return RegistryClient(parse_reference(f"{self.address}/team/app:1"), auth)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        test = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                port = self.server.server_address[1]
                authorization = self.headers["Authorization"]
                test.seen.append(Seen(port, self.path, authorization, self.headers["Range"]))
                is_registry = f"127.0.0.1:{port}" == test.address
                if self.path.startswith("/token"):
                    return self._answer(200, json.dumps({"token": "T0KEN"}).encode())
                if is_registry and test.endless and (test.endless == 307 or authorization != test.accepted):
                    return self._endless()
                if is_registry and test.challenge and authorization != test.accepted:
                    return self._answer(401, b"{}", {"WWW-Authenticate": test.challenge})
                if "/manifests/" in self.path and test.silent.is_set():
                    return self._silent()
                if "/manifests/" in self.path:
                    return self._answer(200, test.manifest)
                if "/tags/list" in self.path:
                    return self._answer(200, json.dumps({"tags": test.tags}).encode(), {"Link": '<?n=1>; rel="next"'})
                if is_registry and test.redirect:
                    return self._answer(307, b"", {"Location": test.redirect + self.path})
                if not is_registry and test.challenge and "challenge" in self.path:
                    return self._answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="gimme"'})
                return self._blob(test.blobs[self.path.rpartition("/")[2]])

            def _endless(self) -> None:
                self.send_response(test.endless)
                self.send_header("WWW-Authenticate", test.challenge)
                self.send_header("Location", test.redirect + self.path)
                self.end_headers()
                self.close_connection = True
                with contextlib.suppress(OSError):
                    while not test.gone.is_set():
                        self.wfile.write(bytes(1 << 16))

            def _silent(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"{")
                test.silent.clear()
                test.gone.wait(30)
                self.close_connection = True

            def _blob(self, data: bytes) -> None:
                start = int((self.headers["Range"] or "bytes=0-")[6:-1])
                status = 206 if start else 200
                body = data[start:] + test.extra
                if not test.cut:
                    return self._answer(status, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: test.cut])
                test.cut = 0 if test.cut < 1000 else test.cut // 2
                self.close_connection = True
                return None

            def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


def read(client: RegistryClient) -> bytes:
    try:
        client.manifest("1")
        return b"".join(client.blob_chunks(LAYER))
    finally:
        client.close()


def within(seconds: float, work: Callable[[], object]) -> object:
    """What `work` returned or raised, in a thread of its own: a client that hangs fails the test, not the run."""
    found: list[object] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert found, f"nothing came of it in {seconds} s"
    return found[0]


@pytest.mark.parametrize("status", [307, 401])
def test_the_body_of_a_redirect_or_a_challenge_may_be_without_end(server: Server, status: int) -> None:
    server.endless, server.redirect = status, f"http://{server.other}"
    server.challenge, server.accepted = 'Basic realm="r"', "Basic dTpw"
    client = server.client(RegistryAuth("u", "p"))
    try:
        if status == 401:
            server.redirect = ""
        assert within(20, lambda: b"".join(client.blob_chunks(LAYER))) == MADE.layers[0]
    finally:
        server.gone.set()
        client.close()


def test_a_manifest_that_falls_silent_can_be_broken_off(server: Server) -> None:
    server.silent.set()
    client = server.client()

    def broken_off() -> object:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(client.manifest, "1")
            while server.silent.is_set():
                time.sleep(0.01)
            time.sleep(0.2)  # the client reads the body by now
            client.abort()
            return asked.exception(20)

    assert isinstance(within(20, broken_off), Cancelled)
    client.close()


def test_credentials_are_dropped_on_a_redirect_to_another_origin(server: Server) -> None:
    server.challenge, server.accepted = 'Basic realm="r"', "Basic dTpw"
    server.redirect = f"http://{server.other}/cdn"
    assert read(server.client(RegistryAuth("u", "p"))) == MADE.layers[0]
    cdn = [seen for seen in server.seen if f"127.0.0.1:{seen.port}" == server.other]
    assert len(cdn) == 1
    assert cdn[0].authorization is None


def test_a_challenge_of_the_cdn_gets_nothing(server: Server) -> None:
    server.challenge, server.accepted = 'Basic realm="r"', "Basic dTpw"
    server.redirect = f"http://{server.other}/challenge"
    with pytest.raises(WardianError):
        read(server.client(RegistryAuth("u", "p")))
    assert not any(seen.authorization for seen in server.seen if f"127.0.0.1:{seen.port}" == server.other)


def test_a_token_is_fetched_once_with_the_credentials_and_then_used(server: Server) -> None:
    server.challenge = f'Bearer realm="http://{server.other}/token",service="s",scope="repository:team/app:pull"'
    server.accepted = "Bearer T0KEN"
    assert read(server.client(RegistryAuth("u", "p"))) == MADE.layers[0]
    tokens = [seen for seen in server.seen if seen.path.startswith("/token")]
    assert len(tokens) == 1
    assert tokens[0].authorization == "Basic dTpw"
    assert tokens[0].path == "/token?service=s&scope=repository%3Ateam%2Fapp%3Apull"


def test_an_anonymous_token(server: Server) -> None:
    server.challenge, server.accepted = f'Bearer realm="http://{server.other}/token"', "Bearer T0KEN"
    assert read(server.client()) == MADE.layers[0]
    assert next(seen for seen in server.seen if seen.path.startswith("/token")).authorization is None


@pytest.mark.parametrize("realm", ["http://auth.example/token", "ftp://127.0.0.1/token", "/token"])
def test_a_token_server_without_tls_is_refused(server: Server, realm: str) -> None:
    server.challenge, server.accepted = f'Bearer realm="{realm}"', "Bearer T0KEN"
    with pytest.raises(WardianError, match="is not https: refused"):
        read(server.client(RegistryAuth("u", "p")))


def test_a_broken_download_goes_on_where_it_stopped(server: Server) -> None:
    server.cut = 300_000
    assert read(server.client()) == MADE.layers[0]
    ranges = [seen.range for seen in server.seen if "/blobs/" in seen.path]
    assert ranges[:2] == [None, "bytes=300000-"]
    assert len(ranges) > 5


def test_more_bytes_than_stated_are_not_read(server: Server) -> None:
    server.extra = bytes(100)
    with pytest.raises(WardianError, match="digest mismatch"):
        read(server.client())


def test_endless_redirects_end(server: Server) -> None:
    server.redirect = f"http://{server.address}"
    with pytest.raises(WardianError, match="redirects without end"):
        read(server.client())


def test_a_list_of_tags_without_end_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardian.images.tags._PAGES", 5)
    reference = parse_reference(f"{server.address}/team/app")
    with contextlib.closing(server.client()) as client:
        with pytest.raises(WardianError, match="has no tags"):
            list_tags(client, reference)
        server.tags = ["1", "2"]
        assert list_tags(client, reference) == ["1", "2"] * 5


@pytest.mark.parametrize("config", [b"{", b"[]", b"[" * 100_000])
def test_what_is_no_config_is_named(server: Server, config: bytes) -> None:
    described = {"mediaType": "", "digest": digest(config), "size": len(config)}
    server.manifest = json.dumps({"schemaVersion": 2, "config": described, "layers": []}).encode()
    server.blobs = {digest(config): config}
    with pytest.raises(WardianError, match="cannot be used"):
        describe(parse_reference(f"{server.address}/team/app:1"))


def test_auth_from_the_api_header() -> None:
    assert auth_from_api({}) is None
    assert auth_from_api({"username": "u", "password": "p", "serveraddress": "127.0.0.1:5001"}) == RegistryAuth(
        "u", "p", server="127.0.0.1:5001"
    )
    assert auth_from_api({"auth": "dTpw"}) == RegistryAuth("u", "p")
    assert auth_from_api({"identitytoken": "x"}) == RegistryAuth(identity_token="x")


@pytest.mark.parametrize(
    ("given", "domain", "right"),
    [
        ("https://index.docker.io/v1/", "docker.io", True),
        ("registry.example:5000", "registry.example:5000", True),
        ("registry.example", "registry.example:5000", False),
        ("https://registry.example/v2/", "registry.example", True),
        ("evil.example", "docker.io", False),
        ("", "anything.example", True),
    ],
)
def test_credentials_are_for_one_registry(given: str, domain: str, right: bool) -> None:
    assert RegistryAuth("u", "p", server=given).is_for(domain) is right
