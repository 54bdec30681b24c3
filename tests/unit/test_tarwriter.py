"""Headers that we write, read by our own reader and by Python's."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardian.storage import tar, tarwriter
from wardian.storage.tar import TarEntry, TarReader


def entry(name: bytes = b"f", kind: bytes = tar.REGULAR, **fields: object) -> TarEntry:
    plain = TarEntry(name, kind, 0o644, 0, 0, 0, 0, b"", 0, 0, ())
    return plain._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "written",
    [
        entry(),
        entry(b"d/", tar.DIRECTORY, mode=0o1777),
        entry(b"a/" * 2500 + b"end"),
        entry("ü".encode(), uid=1 << 30, gid=(1 << 32) - 2),
        entry(b"\xff\xfe"),
        entry(mtime=1_700_000_000_123_456_789),
        entry(mtime=-1_500_000_000),
        entry(b"l", tar.SYMLINK, link=b"x" * 4095),
        entry(b"h", tar.HARD_LINK, link=b"f"),
        entry(b"c", tar.CHAR, major=5, minor=1),
        entry(b"b", tar.BLOCK_DEVICE, major=8, minor=17),
        entry(b"p", tar.FIFO),
        entry(xattrs=((b"security.capability", bytes(range(20))), (b"user.a", b"=\n"))),
    ],
)
def test_what_is_written_is_read(written: TarEntry) -> None:
    data = tarwriter.header(written) + tarwriter.END
    assert len(data) % tar.BLOCK == 0
    assert list(TarReader([data])) == [written]


def test_a_size_past_eight_gigabytes() -> None:
    written = entry(size=1 << 34)
    reader = iter(TarReader([tarwriter.header(written)]))
    assert next(reader) == written


def test_python_reads_it() -> None:
    first = entry(b"x" * 150, size=3, uid=1000, mtime=1_500_000_000 * 10**9)
    second = entry(b"l", tar.SYMLINK, link=b"y" * 200)
    data = tarwriter.header(first) + tarwriter.padded(b"abc") + tarwriter.header(second) + tarwriter.END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        one, two = archive.getmembers()
        assert (one.name, one.uid, one.mtime) == ("x" * 150, 1000, 1_500_000_000)
        file = archive.extractfile(one)
        assert file is not None
        assert file.read() == b"abc"
        assert two.linkname == "y" * 200


@given(
    st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, 1 << 62),
)
def test_any_name_owner_and_time(name: bytes, owner: int, mtime: int) -> None:
    written = entry(name, tar.FIFO, uid=owner, mtime=mtime)
    assert list(TarReader([tarwriter.header(written) + tarwriter.END])) == [written]
