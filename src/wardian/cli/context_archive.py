"""The file that `context export` writes and `import` reads: a tar archive (or a zip) of meta.json and tls/docker/*.pem.

Read by names that are known, into memory; nothing of an archive becomes a path.
"""

from __future__ import annotations

from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 512
MOST = 10 << 20  # docker's limit of a context's file


def write_archive(meta: bytes, tls: dict[str, bytes]) -> bytes:
    """A tar archive as docker's, POSIX ustar."""
    parts = [_entry("meta.json", meta, 0o644), _entry("tls", b"", 0o700, "5")]
    if tls:
        parts.append(_entry("tls/docker", b"", 0o700, "5"))
        parts += [_entry(f"tls/docker/{name}", content, 0o600) for name, content in sorted(tls.items())]
    return b"".join(parts) + bytes(2 * _BLOCK)


def _entry(name: str, content: bytes, mode: int, kind: str = "0") -> bytes:
    head = bytearray(_BLOCK)
    head[0:100] = name.encode().ljust(100, b"\0")
    head[100:108] = b"%07o\0" % mode
    head[108:124] = b"0000000\x000000000\0"
    head[124:136] = b"%011o\0" % len(content)
    head[136:148] = b"%011o\0" % 0
    head[148:156] = b" " * 8
    head[156:157] = kind.encode()
    head[257:265] = b"ustar\x0000"
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + content + bytes(-len(content) % _BLOCK)


def read_archive(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """(meta.json, the files of tls/docker). Raises Failure in docker's words."""
    if len(data) > MOST:
        raise Failure(f"the context's file is longer than {MOST} bytes")
    files = dict(_zipped(data) if data[:4] == b"PK\x03\x04" else _tarred(data))
    if "meta.json" not in files:
        raise Failure("invalid context: no metadata found")
    tls = {name.removeprefix("tls/docker/"): content for name, content in files.items() if name != "meta.json"}
    unknown = sorted(set(tls) - {"ca.pem", "cert.pem", "key.pem"})
    if unknown:
        raise Failure(f"unexpected context file: {unknown[0]}")
    return files["meta.json"], tls


def _tarred(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + _BLOCK <= len(data) and any(data[at : at + _BLOCK]):
        head = data[at : at + _BLOCK]
        try:
            size = int(head[124:136].strip(b"\0 ") or b"0", 8)
            name = head[:100].rstrip(b"\0").decode()
        except ValueError:
            raise Failure("invalid context: it is no tar archive") from None
        content = data[at + _BLOCK : at + _BLOCK + size]
        if size < 0 or len(content) < size:
            raise Failure("invalid context: unexpected end of the archive")
        if head[156:157] in (b"0", b"\0"):
            yield name.removeprefix("./"), content
        at += _BLOCK + size + -size % _BLOCK


def _zipped(data: bytes) -> Iterator[tuple[str, bytes]]:
    import io
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.infolist():
                if member.file_size > MOST:
                    raise Failure(f"{member.filename} in the context's file is longer than {MOST} bytes")
                if not member.is_dir():
                    yield member.filename, archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Failure(f"invalid context: {error}") from None
