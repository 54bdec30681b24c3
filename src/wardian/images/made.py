"""Images made here, not fetched: `import` of a root's archive, and the built-in `wardian/hello`."""

import datetime
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

from wardian.errors import SYSTEM, WardianError
from wardian.images.changes import apply_changes
from wardian.images.image import Image
from wardian.images.platforms import Platform, host_platform, parse_platform
from wardian.images.records import ImageRecords
from wardian.images.reference import Reference, parse_reference
from wardian.images.streams import inflated
from wardian.storage import LayerStore

HELLO = "wardian/hello:latest"
_BLOCK = 512


def import_root(
    chunks: Iterable[bytes],
    name: Reference | None,
    records: ImageRecords,
    layers: LayerStore,
    *,
    changes: Sequence[str] = (),
    message: str = "",
    platform: str = "",
) -> Image:
    """One layer out of a root's archive (gzip, zstd or plain), and a config with `changes`."""
    run_config = apply_changes({}, changes)
    target = parse_platform(platform) if platform else host_platform()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
    return _record(inflated(chunks), run_config, target, now, message, name, records, layers)


def make_hello(launcher: str, records: ImageRecords, layers: LayerStore) -> Image:
    """The image whose one file is the launcher's own static binary: a container of it prints what it sees of itself.

    The same binary gives the same image.
    """
    try:
        with open(launcher, "rb") as file:
            binary = file.read()
            changed = int(os.fstat(file.fileno()).st_mtime)
    except OSError as error:
        message = f"cannot make {HELLO}: {launcher}: {error.strerror}"
        raise WardianError(SYSTEM, message, operation="make image", subject=HELLO, errno=error.errno or 0) from error
    created = datetime.datetime.fromtimestamp(changed, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = {"Cmd": ["/hello"], "WorkingDir": "/", "Labels": {"org.opencontainers.image.title": "wardian/hello"}}
    name = parse_reference(HELLO)
    comment = "what a container sees of itself"
    return _record([_one_file("hello", binary)], config, host_platform(), created, comment, name, records, layers)


def _record(
    chunks: Iterable[bytes],
    run_config: dict[str, Any],
    target: Platform,
    created: str,
    message: str,
    name: Reference | None,
    records: ImageRecords,
    layers: LayerStore,
) -> Image:
    staged = layers.stage(chunks)
    with layers.pin([staged.diff_id]):
        if layers.has(staged.diff_id):
            layers.discard(staged)
        else:
            layers.commit([staged])
        comment = message or "Imported from -"
        document: dict[str, Any] = {
            "created": created,
            "architecture": target.architecture,
            "os": target.os,
            "config": run_config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{staged.diff_id}"]},
            "history": [{"created": created, "comment": comment}],
        }
        if target.variant:
            document["variant"] = target.variant
        encoded = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return records.add(encoded, staged.facts.size, b"", [name] if name else [], [])


def _one_file(name: str, data: bytes) -> bytes:
    """A ustar archive (POSIX pax(1), "ustar Interchange Format") of one executable file owned by root."""
    header = bytearray(_BLOCK)

    def put(at: int, text: str) -> None:
        header[at : at + len(text)] = text.encode()

    put(0, name)
    put(100, "0000755\0")
    put(108, "0000000\0")
    put(116, "0000000\0")
    put(124, f"{len(data):011o}\0")
    put(136, f"{0:011o}\0")
    put(148, " " * 8)
    put(156, "0")
    put(257, "ustar\00000")
    put(148, f"{sum(header):06o}\0 ")
    return bytes(header) + data + bytes(-len(data) % _BLOCK) + bytes(2 * _BLOCK)
