"""CVE-2019-10152, CVE-2019-18466: a link in a container led `podman cp` out of it, for reading and for writing."""

import os
import tarfile
from pathlib import Path

import pytest

from copied import Copied, member, tar_of
from engines import TestEngine


@pytest.mark.parametrize("running", [True, False])
def test_links_of_a_container_end_at_its_root(engine: TestEngine, tmp_path: Path, running: bool) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_text("host\n")
    container = Copied(engine, ["sleep", "1000"])
    links = {
        "absolute": str(outside),
        "up": "../" * 30 + str(outside).lstrip("/"),
        "file": str(outside / "f"),
        "process": f"/proc/{os.getpid()}/root{outside}",
        "self": f"/proc/self/root{outside}",
        "first": f"/proc/1/root/../../../..{outside}",
    }
    made = [member(name, kind=tarfile.SYMTYPE, link=link) for name, link in links.items()]
    try:
        assert container.upload("/", tar_of(*made)) == 200
        if running:
            container.start()
        for name in links:
            for path in (f"/{name}", f"/{name}/", f"/{name}/f", f"/{name}/.", f"/{name}/../outside/f"):
                assert b"host\n" not in container.download(path).values(), path
                container.upload(path, tar_of(member("f", b"overwritten\n"), member("new", b"made\n")))
            container.upload("/", tar_of(member(f"{name}/f", b"overwritten\n"), member(f"{name}/new", b"made\n")))
    finally:
        container.remove()
    assert os.listdir(outside) == ["f"]
    assert (outside / "f").read_text() == "host\n"


@pytest.mark.parametrize("name", ["../f", "a/../../f", "/../../f", ".."])
def test_names_that_lead_out_are_refused(engine: TestEngine, name: str) -> None:
    container = Copied(engine, ["true"])
    try:
        assert container.upload("/tmp", tar_of(member(name, b"x"))) == 500
        assert "f" not in container.download("/f")
    finally:
        container.remove()
