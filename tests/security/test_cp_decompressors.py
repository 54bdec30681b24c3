"""CVE-2026-41567: a compressed upload was inflated by a program that was looked for inside the container."""

import bz2
import gzip
import lzma
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from copied import Copied, member, tar_of
from engines import TestEngine

_PROGRAMS = ("unpigz", "pigz", "gzip", "gunzip", "zcat", "bzip2", "bunzip2", "xz", "unxz", "zstd", "unzstd", "tar")
_PLACES = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin")


@pytest.mark.parametrize("running", [True, False])
def test_no_program_inflates_an_upload(engine: TestEngine, tmp_path: Path, running: bool) -> None:
    trap = f"#!/bin/sh\ntouch /ran\ntouch {tmp_path}/ran\ncat\n".encode()
    planted = [member(f"{place}/{name}", trap, mode=0o755) for place in _PLACES for name in _PROGRAMS]
    container = Copied(engine, ["sleep", "1000"])
    plain = tar_of(member("f", b"data\n"))
    packed = {"gzip": gzip.compress(plain), "bzip2": bz2.compress(plain), "xz": lzma.compress(plain)}
    if shutil.which("zstd"):
        packed["zstd"] = subprocess.run(["zstd", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout
    try:
        assert container.upload("/", tar_of(*planted)) == 200
        if running:
            container.start()
        for name, data in packed.items():
            assert container.upload("/", tar_of(member(f"{name}/there", b""))) == 200
            assert container.upload(f"/{name}", data) == 200
            assert container.download(f"/{name}/f") == {"f": b"data\n"}
        assert container.download("/ran") == {}
    finally:
        container.remove()
    assert os.listdir(tmp_path) == []
