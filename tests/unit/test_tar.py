"""Our tar reader against Python's tarfile as oracle, and against what no writer writes."""

import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.storage.tar import TarReader

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def written(members: list[tuple[tarfile.TarInfo, bytes]], archive_format: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=archive_format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def chunked(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def member(name: str, data: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


MEMBERS = [
    member("a", b"content", mode=0o4755, uid=1000, gid=1001, mtime=1_700_000_000),
    member("empty"),
    member("block", b"x" * 512),
    member("dir/", type=tarfile.DIRTYPE, mode=0o1777),
    member("link", type=tarfile.SYMTYPE, linkname="/absolute/target"),
    member("hard", type=tarfile.LNKTYPE, linkname="a"),
    member("char", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    member("block-device", type=tarfile.BLKTYPE, devmajor=8, devminor=1),
    member("fifo", type=tarfile.FIFOTYPE),
    member("d" * 90 + "/" + "n" * 90, b"prefix"),
]
LONG = [
    member("deep/" * 60 + "name", b"long"),
    member("long-link", type=tarfile.SYMTYPE, linkname="t" * 300),
    member("big-ids", b"1", uid=3_000_000, gid=2**31),
    member("ümläut/日本", b"2"),
]


def as_read(data: bytes, size: int = 700) -> list[tuple[object, ...]]:
    reader = TarReader(chunked(data, size))
    found = []
    for entry in reader:
        content = b"".join(reader.data())
        name = entry.name.decode().rstrip("/")
        found.append(
            (
                name,
                entry.kind,
                entry.mode,
                entry.uid,
                entry.gid,
                entry.mtime // 10**9,
                content,
                entry.major,
                entry.minor,
            )
            + ((entry.link.decode(),) if entry.kind in b"12" else ("",))
        )
    return found


def as_oracle(data: bytes) -> list[tuple[object, ...]]:
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            content = file.read() if file else b""
            kind = b"0" if info.isreg() else info.type
            found.append(
                (info.name.rstrip("/"), kind, info.mode, info.uid, info.gid, int(info.mtime), content)
                + ((info.devmajor, info.devminor) if info.ischr() or info.isblk() else (0, 0))
                + (info.linkname if info.issym() or info.islnk() else "",)
            )
    return found


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [1, 511, 512, 513, 1 << 20])
def test_reads_what_tarfile_reads(name: str, size: int) -> None:
    members = MEMBERS if name == "ustar" else MEMBERS + LONG
    data = written(members, FORMATS[name])
    assert as_read(data, size) == as_oracle(data)


_CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text(_CHARACTERS, min_size=1, max_size=300),
            st.binary(max_size=1500),
            st.integers(0, 2**32),
            st.floats(-(2.0**33), 2.0**33),
        ),
        max_size=5,
    ),
    st.sampled_from(sorted(FORMATS)),
    st.integers(1, 3000),
)  # fmt: skip
def test_reads_whatever_tarfile_writes(members: list[tuple[str, bytes, int, float]], name: str, size: int) -> None:
    try:
        data = written([member(n, d, uid=u, mtime=int(t)) for n, d, u, t in members], FORMATS[name])
    except ValueError:
        return  # this format cannot say it
    assert as_read(data, size) == as_oracle(data)


def test_nanoseconds_and_attributes_come_from_pax_headers() -> None:
    info, data = member("x", b"1")
    info.pax_headers = {"mtime": "1700000000.123456789", "SCHILY.xattr.user.k": "value=\n"}
    entry = next(iter(TarReader([written([(info, data)], tarfile.PAX_FORMAT)])))
    assert entry.mtime == 1_700_000_000_123_456_789
    assert entry.xattrs == ((b"user.k", b"value=\n"),)


def test_a_time_before_1970() -> None:
    info, data = member("x")
    info.pax_headers = {"mtime": "-1.5"}
    assert next(iter(TarReader([written([(info, data)], tarfile.PAX_FORMAT)]))).mtime == -1_500_000_000


def test_the_whole_stream_is_read_also_what_follows_the_end() -> None:
    seen = []

    def chunks() -> Iterator[bytes]:
        for chunk in chunked(written(MEMBERS, tarfile.PAX_FORMAT) + b"trailing" * 1000, 4096):
            seen.append(chunk)
            yield chunk

    assert len(list(TarReader(chunks()))) == len(MEMBERS)
    assert b"".join(seen).endswith(b"trailing")


def broken_archives() -> dict[str, bytes]:
    good = written([member("a", b"x" * 600)], tarfile.GNU_FORMAT)
    header = bytearray(good[:512])

    def bent(at: int, field: bytes) -> bytes:
        block = bytearray(header)
        block[at : at + len(field)] = field
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    pax = written([(member("b")[0], b"")], tarfile.PAX_FORMAT)
    return {
        "no tar": b"not a tar archive" * 100,
        "cut in a header": good[:300],
        "cut in data": good[:700],
        "wrong checksum": bytes([header[0] ^ 1]) + good[1:],
        "negative size": bent(124, b"\xff" * 12) + bytes(512),
        "huge size": bent(124, b"\x80" + b"\x7f" * 11),
        "size is no number": bent(124, b"12x4567890\0\0"),
        "size with a sign": bent(124, b"-0000000001\0"),
        "unknown type": bent(156, b"!") + bytes(512),
        "long name of a gigabyte": bent(124, b"10000000000\0" + header[136:156] + b"L"),
        "nothing after a long name": bent(156, b"L") + b"x" * 600 + bytes(424),
        "only a pax header": _pax_header(b"13 path=xyz\n") + bytes(1024),
        "pax record longer than its body": _pax_header(b"99 path=xyz\n") + pax,
        "pax record without a length": _pax_header(b"path=xyz\n") + pax,
        "pax record of length 0": _pax_header(b"0 path=xyz\n") + pax,
        "pax record without a length after another": _pax_header(b"10 path=x\n" + b"y" * 9) + pax,
        "pax record of length 0 after another": _pax_header(b"10 path=x\n0 path=xyz\n") + pax,
        "pax size that is no number": _pax_header(b"10 size=x\n") + pax,
        "pax size below zero": _pax_header(b"11 size=-5\n") + pax,
        "pax time that is none": _pax_header(b"13 mtime=nan\n") + pax,
    }


def _pax_header(body: bytes) -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


@pytest.mark.parametrize("name", broken_archives())
def test_what_is_no_tar_is_refused(name: str) -> None:
    with pytest.raises(WardianError) as error:
        for _ in TarReader([broken_archives()[name]]):
            pass
    assert error.value.kind == INVALID
    assert "not a valid tar archive" in error.value.message


def test_a_sparse_file_is_refused_by_name() -> None:
    info, data = member("holes", b"x")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "real-name"}
    with pytest.raises(WardianError, match="'real-name' is a GNU sparse file") as error:
        list(TarReader([written([(info, data)], tarfile.PAX_FORMAT)]))
    assert error.value.kind == NOT_IMPLEMENTED


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_damage_raises_anything_but_our_error(data: st.DataObject) -> None:
    archive = bytearray(written(MEMBERS + LONG, tarfile.PAX_FORMAT))
    for _ in range(data.draw(st.integers(1, 8))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    try:
        for _ in TarReader(chunked(bytes(archive), 1000)):
            pass
    except WardianError:
        pass
