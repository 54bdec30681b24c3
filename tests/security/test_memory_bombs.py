"""Archives that are small to send and large to remember: the engine's memory has a bound whatever comes.

Measured by a limit on this process' address space (setrlimit(2), RLIMIT_AS): past it Python raises MemoryError.
"""

import io
import resource
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wardian.errors import INVALID, WardianError
from wardian.home import make_home
from wardian.images.archives import Spool
from wardian.storage.unpack import unpack


@contextmanager
def memory(megabytes: int) -> Iterator[None]:
    """No more than so much on top of what the process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        have = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (have + (megabytes << 20), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def member(name: str, kind: bytes, link: str = "", records: bytes = b"") -> bytes:
    """A member without data after a pax header with `records`."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    head = info.tobuf(tarfile.USTAR_FORMAT)
    if not records:
        return head
    extension = tarfile.TarInfo("header")
    extension.type, extension.size = tarfile.XHDTYPE, len(records)
    padded = records.ljust(-(-len(records) // 512) * 512, b"\0")
    return extension.tobuf(tarfile.USTAR_FORMAT) + padded + head


def record(key: str, value: bytes) -> bytes:
    """A pax record, its length in seven digits."""
    line = b" %s=%s\n" % (key.encode(), value)
    return b"%07d" % (len(line) + 7) + line


LONG = 1_000_000


@pytest.mark.parametrize(
    "records",
    [
        lambda number: record("linkpath", b"x" * LONG),
        lambda number: record("path", b"./" * (LONG // 2) + b"%d" % number),
    ],
    ids=["a link", "a name of dots"],
)
def test_directories_keep_neither_link_nor_long_name(tmp_path: Path, records: Callable[[int], bytes]) -> None:
    stream = (member(f"d{number}", tarfile.DIRTYPE, records=records(number)) for number in range(300))
    with memory(100):
        assert unpack(stream, str(tmp_path / "layer")).entries == 300


def test_many_small_attributes_are_counted_as_what_they_take(tmp_path: Path) -> None:
    many = b"".join(record(f"SCHILY.xattr.user.{number:05d}", b"") for number in range(25_000))
    stream = (member(f"d{number}", tarfile.DIRTYPE, records=many) for number in range(200))
    with memory(300), pytest.raises(WardianError, match="more than 128 MiB") as error:
        unpack(stream, str(tmp_path / "layer"))
    assert error.value.kind == INVALID


def test_a_directory_that_comes_again_is_counted_once(tmp_path: Path) -> None:
    attribute = record("SCHILY.xattr.user.a", b"x" * LONG)
    stream = (member("d", tarfile.DIRTYPE, records=attribute) for _ in range(200))
    with memory(100), pytest.raises(WardianError, match="cannot be written"):  # at the end, by the file system
        unpack(stream, str(tmp_path / "layer"))


def spooled(tmp_path: Path, chunks: Iterator[bytes]) -> None:
    Spool(make_home(str(tmp_path / "data"), str(tmp_path / "run")), chunks).close()


@pytest.mark.parametrize("key", ["linkpath", "path"])
def test_names_of_a_loaded_archive_are_names(tmp_path: Path, key: str) -> None:
    stream = (
        member(f"l{number}", tarfile.SYMTYPE, "x", record(key, b"%d" % number + b"x" * LONG)) for number in range(300)
    )
    with memory(100), pytest.raises(WardianError, match="longer than 4096 bytes"):
        spooled(tmp_path, stream)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_loaded_archive_has_no_end_of_names(tmp_path: Path, kind: bytes) -> None:
    stream = (
        member("l", kind, "x", record("linkpath", b"x" * 4000) + record("path", b"%d" % number))
        for number in range(60_000)
    )
    with memory(100), pytest.raises(WardianError, match="more than 32 MiB"):
        spooled(tmp_path, stream)


def test_a_loaded_archive_has_no_end_of_files(tmp_path: Path) -> None:
    stream = (
        member("f", tarfile.REGTYPE, records=record("path", b"%d" % number + b"/x" * 2000)) for number in range(60_000)
    )
    with pytest.raises(WardianError, match="more than 32 MiB"):
        spooled(tmp_path, stream)
    assert list((tmp_path / "data").rglob("load.*")) == []


def test_a_file_that_comes_twice_is_the_later_one(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as written:
        for name, data in (("a", b"1"), ("a", b"2"), ("b", b"3"), ("c", b"4")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            written.addfile(info, io.BytesIO(data))
    spool = Spool(make_home(str(tmp_path / "data"), str(tmp_path / "run")), [out.getvalue()])
    try:
        assert [spool.read(name, 10) for name in "abc"] == [b"2", b"3", b"4"]
    finally:
        spool.close()
