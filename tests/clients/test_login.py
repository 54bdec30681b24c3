"""login and logout, with the file and with a credential helper; what they keep is used by pull and push. Distribution
and search."""

import ctypes
import json
import os
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients_shared import IMAGE
from images_made import MadeImage, layer_tar
from registry import Registry, start_registry
from token_server import TokenServer

HELPER = """#!/bin/sh
# docker-credential-test: keeps one secret for each server in files
cd "$WARDIAN_TEST_HELPER" || exit 1
echo "$1" >> calls
case $1 in
store) cat > stored ;;
get) [ -f stored ] && cat stored || { echo "credentials not found in native keychain"; exit 1; } ;;
erase) rm -f stored ;;
esac
"""


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants user and secret."""
    directory = tmp_path_factory.mktemp("private")
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    hashed = crypt(b"secret", b"$2b$05$" + b"wardianwardianwardian.")
    (directory / "htpasswd").write_bytes(b"user:" + hashed + b"\n")
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}}
    registry, process = start_registry(str(directory), auth)
    yield registry
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, TokenServer]]:
    """A registry that wants a token of a server beside it."""
    directory = tmp_path_factory.mktemp("tokens")
    with TokenServer(directory, "user", "secret") as server:
        registry, process = start_registry(str(directory), {"auth": server.settings()})
        yield registry, server
        process.kill()
        process.wait()


def config(path: Path) -> dict[str, object]:
    found = json.loads((path / "config.json").read_text())
    assert isinstance(found, dict)
    return found


def test_login_push_pull_logout(docker, private: Registry, tmp_path: Path):
    name = f"{private.address}/private/app:1"
    docker("tag", IMAGE, name)
    done = docker("push", name, status=1)
    assert b"no basic auth credentials" in done.stderr
    done = docker("login", "-u", "user", "--password-stdin", private.address, stdin=b"wrong\n", status=1)
    assert f'Get "http://{private.address}/v2/": unauthorized: authentication required'.encode() in done.stderr
    assert not (tmp_path / "config.json").exists()
    (tmp_path / "config.json").write_text('{"psFormat": "{{.ID}}"}')
    (tmp_path / "config.json").chmod(0o600)
    done = docker("login", "-u", "user", "--password-stdin", private.address, stdin=b"secret\n")
    assert done.stdout == b"Login Succeeded\n"
    assert b"Your credentials are stored unencrypted" in done.stderr
    assert config(tmp_path) == {"psFormat": "{{.ID}}", "auths": {private.address: {"auth": "dXNlcjpzZWNyZXQ="}}}
    assert os.stat(tmp_path / "config.json").st_mode & 0o777 == 0o600
    docker("push", name)
    docker("rmi", name)
    docker("pull", name)
    docker("login", private.address)
    assert docker.out("logout", private.address) == f"Removing login credentials for {private.address}"
    assert config(tmp_path)["auths"] == {}
    docker("rmi", name)
    assert b"no basic auth credentials" in docker("pull", name, status=1).stderr


@pytest.mark.parametrize("key", ["credsStore", "credHelpers"])
def test_a_credential_helper(docker, private: Registry, tmp_path: Path, key: str):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker-credential-test").write_text(HELPER)
    (programs / "docker-credential-test").chmod(0o755)
    docker.environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "WARDIAN_TEST_HELPER": str(tmp_path)}
    helper = "test" if key == "credsStore" else {private.address: "test"}
    (tmp_path / "config.json").write_text(json.dumps({key: helper}))
    done = docker("login", "-u", "user", "--password-stdin", private.address, stdin=b"secret")
    assert b"unencrypted" not in done.stderr
    stored = json.loads((tmp_path / "stored").read_text())
    assert stored == {"ServerURL": private.address, "Username": "user", "Secret": "secret"}
    assert config(tmp_path)["auths"] == {private.address: {}}
    name = f"{private.address}/helped/app:1"
    docker("tag", IMAGE, name)
    docker("push", name)
    docker("rmi", name)
    docker("logout", private.address)
    assert not (tmp_path / "stored").exists()
    assert {"store", "get", "erase"} <= set((tmp_path / "calls").read_text().split())


def test_a_token_server(docker, tokens: tuple[Registry, TokenServer], tmp_path: Path):
    registry, server = tokens
    first, second = f"{registry.address}/team/app:1", f"{registry.address}/team/other:1"
    docker("import", "-", first, stdin=layer_tar({"name": tmp_path.name.encode() * 5000}))
    docker("tag", first, second)
    docker("login", "-u", "user", "--password-stdin", registry.address, stdin=b"secret")
    docker("push", first)
    server.asked.clear()
    assert "Mounted from team/app" in docker.out("push", second)
    scopes = {scope for query in server.asked for scope in urllib.parse.parse_qs(query).get("scope", [])}
    assert {"repository:team/other:pull,push", "repository:team/app:pull"} <= set(" ".join(scopes).split())
    docker("rmi", first, second)
    docker("pull", second)
    docker("rmi", second)
    docker("logout", registry.address)
    assert docker("pull", second, status=1).stderr


def test_wrong_use(docker):
    done = docker("login", "--password-stdin", "127.0.0.1:1", status=1)
    assert b"--password-stdin option requires --username to be set" in done.stderr
    done = docker("login", "127.0.0.1:1", status=1)
    assert b"Cannot perform an interactive login from a non TTY device" in done.stderr
    done = docker("login", "-u", "a", "--password-stdin", "127.0.0.1:1", stdin=b"b", status=1)
    assert b'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused' in done.stderr


def test_a_broken_file_is_left_as_it_is(wardian, private: Registry, tmp_path: Path):
    (tmp_path / "config.json").write_text("{oh")
    done = wardian("login", "-u", "user", "--password-stdin", private.address, stdin=b"secret", status=1)
    assert b"is left as it is, since it is no JSON" in done.stderr
    assert (tmp_path / "config.json").read_text() == "{oh"


def curl(socket: str, path: str) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        ["curl", "-s", "-w", "\n%{http_code}", "--unix-socket", socket, f"http://d{path}"], capture_output=True
    )
    body, _, status = done.stdout.decode().rpartition("\n")
    return int(status), json.loads(body)


def test_distribution(engine_socket: str, registry: Registry):
    made = [MadeImage([layer_tar({"a": b"b"})], {}, architecture) for architecture in ("amd64", "arm64")]
    one = registry.push_image("asked/one:1", made[0])
    several = registry.push_index("asked/several:1", made)
    status, found = curl(engine_socket, f"/distribution/{one}/json")
    assert status == 200
    assert found["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    assert set(found["Descriptor"]) == {"mediaType", "digest", "size"}  # type: ignore[call-overload]
    status, found = curl(engine_socket, f"/distribution/{several}/json")
    assert [one["architecture"] for one in found["Platforms"]] == ["amd64", "arm64"]  # type: ignore[attr-defined]
    status, found = curl(engine_socket, f"/distribution/{registry.address}/asked/one:2/json")
    assert (status, found) == (404, {"message": "manifest unknown: manifest unknown"})


def test_search(docker, engine_socket: str, registry: Registry):
    status, found = curl(engine_socket, "/images/search?term=x&limit=300")
    assert (status, found) == (400, {"message": "limit 300 is outside the range of [1, 100]"})
    status, found = curl(engine_socket, f"/images/search?term={registry.address}/x")
    assert (status, found) == (500, {"message": "Unexpected status code 404"})
    done = docker("search", "127.0.0.1:1/x", status=1)
    assert b'Get "http://127.0.0.1:1/v1/search?q=x&n=25": dial tcp 127.0.0.1:1' in done.stderr
