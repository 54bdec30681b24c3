"""docker-py's own integration suite, of its newest source distribution that has one, against an engine of ours.

It is fetched when the test runs, with what it was written for, into a directory that stays for the next time. Engine
and suite have network and mount namespaces of their own: the suite publishes fixed ports and pulls from Docker Hub,
which here is a registry on loopback. docs/docker-py.md lists what does not pass, and why: the test fails when that page
says something else than what happens.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import needs
from certificates import Authority
from engines import TestEngine
from images_made import MadeImage, busybox_layer, docker_archive, layer_tar
from own_host import own_host
from registry import start_registry
from wardian.home import Home
from wardian.kernel.mounts import unshare_mounts

VERSION = "7.0.0"
KEPT = os.environ.get("WARDIAN_DOCKER_PY", f"/var/tmp/wardian-docker-py-{VERSION}")
PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/docker-py.md")
WITH = [
    f"docker=={VERSION}",
    "requests<2.32",
    "urllib3<2.3",
    "pytest<8",
    "pytest-timeout<2.3",
    "paramiko<4",
    "websocket-client<2",
]
LEFT_OUT = ("swarm", "service", "plugin", "secret", "config_test", "nodes", "credentials")
HUB = ("registry-1.docker.io", "auth.docker.io", "index.docker.io")

pytestmark = pytest.mark.soak


class Suite(NamedTuple):
    directory: str
    python: str


@pytest.fixture(scope="module")
def suite() -> Suite:
    found = Suite(f"{KEPT}/docker-{VERSION}", f"{KEPT}/venv/bin/python")
    if not os.path.isdir(KEPT):
        part = f"{KEPT}.part"
        shutil.rmtree(part, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
        fetch = [*pip, "download", "--no-binary", "docker", "--no-deps", "-d", part, f"docker=={VERSION}"]
        if subprocess.run(fetch).returncode:
            pytest.skip("the package registry is out of reach")
        subprocess.run(["tar", "-C", part, "-xf", f"{part}/docker-{VERSION}.tar.gz"], check=True)
        subprocess.run([sys.executable, "-m", "venv", f"{part}/venv"], check=True)
        subprocess.run([f"{part}/venv/bin/python", *pip[1:], "install", *WITH], check=True)
        shutil.rmtree(f"{part}/docker-{VERSION}/docker")  # what is installed is used
        os.rename(part, KEPT)
    return found


def _images() -> dict[str, MadeImage]:
    """Named like those that the suite uses, with what it looks for in them."""
    directories = "home/postgres mnt opt sbin usr usr/local usr/local/bin usr/sbin var var/log var/opt".split()
    users = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"
    more = layer_tar(
        {f"{name}/": None for name in directories}
        | {"etc/passwd": users.encode(), "etc/group": b"root:x:0:\npostgres:x:70:\nuser:x:1000:\n"}
    )
    base = [busybox_layer(), more]
    newer = MadeImage([*base, layer_tar({"etc/alpine-release": b"3.22.0\n"})])
    hello = MadeImage(base, {"Cmd": ["/bin/echo", "Hello from Docker!"], "Env": ["PATH=/bin"]})
    named = {"alpine:3.10": MadeImage(base), "alpine:latest": newer, "hello-world:latest": hello}
    return {**named, "busybox:latest": MadeImage(base, created="2024-09-26T21:31:42Z")}


def _serve_hub(directory: Path) -> list["subprocess.Popen[bytes]"]:
    """A registry that this mount namespace takes for Docker Hub."""
    (directory / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {name}\n" for name in HUB))
    subprocess.run(["mount", "--bind", str(directory / "hosts"), "/etc/hosts"], check=True)
    authority = Authority(directory / "authority")
    names = ",".join(f"DNS:{name}" for name in HUB)
    (authority.directory / "extensions").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\n")
    own = authority.sign("hub")
    plain, filling = start_registry(str(directory))
    for name, image in _images().items():
        plain.push_image(f"library/{name}", image)
    text = (directory / "config.yml").read_text()
    tls = f'"127.0.0.1:443", "tls": {{"certificate": "{own.certificate}", "key": "{own.key}"}}'
    (directory / "tls.yml").write_text(re.sub(r'"127\.0\.0\.1:\d+"', lambda _: tls, text))
    serving = subprocess.Popen(["docker-registry", "serve", str(directory / "tls.yml")], stderr=subprocess.DEVNULL)
    return [filling, serving]


def _run(suite: Suite, host: str, directory: Path) -> dict[str, tuple[str, str]]:
    """Each test's outcome and its message. One process for a file: a test of one replaces os.environ."""
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SSL_CERT_FILE")}
    environment |= {"DOCKER_HOST": host, "HOME": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
    environment["DOCKER_TEST_API_VERSION"] = "1.43"  # which it was written for
    (directory / ".docker").mkdir()
    (directory / ".docker/config.json").write_text("{}")
    found = {}
    for path in sorted(glob.glob(f"{suite.directory}/tests/integration/*_test.py")):
        if any(word in os.path.basename(path) for word in LEFT_OUT):
            continue
        report = str(directory / f"{os.path.basename(path)}.xml")
        command = [suite.python, "-m", "pytest", "-q", "--timeout=60", "-p", "no:cacheprovider", "--junitxml", report]
        with open(directory / "log", "ab") as log:
            subprocess.run([*command, path], cwd=suite.directory, env=environment, stdout=log, stderr=log, timeout=900)
        for case in ET.parse(report).getroot().iter("testcase"):
            name = f"{case.get('classname', '').removeprefix('tests.integration.')}::{case.get('name')}"
            bad = [one for one in case if one.tag in ("failure", "error", "skipped")]
            found[name] = (bad[0].tag, (bad[0].get("message") or "")[:300]) if bad else ("passed", "")
    return found


def _in_namespaces(work: Callable[[], None]) -> None:
    """In a thread, which ends: nobody else gets its mount namespace."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            with own_host():
                unshare_mounts()
                work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


@pytest.mark.timeout(1500)
def test_what_passes_is_what_the_page_says(
    suite: Suite, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs.program("docker-registry")
    outcomes: dict[str, tuple[str, str]] = {}

    def work() -> None:
        (tmp_path / "hub").mkdir()
        (tmp_path / "home").mkdir()
        registries = _serve_hub(tmp_path / "hub")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "hub/authority/ca.pem"))
        engine = TestEngine(home)
        try:
            with engine.client.stream("POST", "/images/load", docker_archive(_images()), {"quiet": True}) as stream:
                assert not [message for message in stream.objects() if "error" in str(message)]
            outcomes.update(_run(suite, engine.url, tmp_path / "home"))
            engine.remove_containers()
            engine.remove_networks()
        finally:
            engine.close()
            for process in registries:
                process.kill()
                process.wait()

    _in_namespaces(work)
    with open(PAGE) as page:
        known = set(re.findall(r"^\| `([^`]+)` \|", page.read(), re.M))
    failed = {name: said for name, (outcome, said) in outcomes.items() if outcome in ("failure", "error")}
    counts = {kind: sum(outcome == kind for outcome, _ in outcomes.values()) for kind in ("passed", "skipped")}
    print(f"{counts}, failed: {len(failed)} of {len(outcomes)}")
    for name in sorted(failed.keys() - known):
        print(f"{name}: {failed[name]}")
    assert failed.keys() - known == set()
    assert {name for name in known if outcomes.get(name, ("passed", ""))[0] == "passed"} == set()
    assert counts["passed"] > 200
