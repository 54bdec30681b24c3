"""`commit`: an image made of another one and one layer more, with a run configuration of its own."""

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from wardian.images.image import Image
from wardian.images.records import ImageRecords
from wardian.images.reference import Reference
from wardian.storage import LayerStore


class Commit(NamedTuple):
    """What is said of the new image; of the container that it was made of, its id and the name of its image."""

    run_config: Mapping[str, Any]
    author: str = ""
    comment: str = ""
    created_by: str = ""
    container: str = ""
    container_image: str = ""


def commit(
    chunks: Iterable[bytes],
    parent: Image,
    said: Commit,
    name: Reference | None,
    records: ImageRecords,
    layers: LayerStore,
) -> Image:
    """Bring the layer's archive here and record the image."""
    staged = layers.stage(chunks)
    with layers.pin([staged.diff_id, *parent.layers]):
        if layers.has(staged.diff_id):
            layers.discard(staged)
        else:
            layers.commit([staged])
        document = _document(parent, said, staged.diff_id if staged.facts.entries else "")
        encoded = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
        return records.add(encoded, parent.size + staged.facts.size, b"", [name] if name else [], [], parent.id)


def _document(parent: Image, said: Commit, diff_id: str) -> dict[str, Any]:
    """OCI image-spec, config.md; a layer without entries is none, its step is in the history all the same."""
    created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
    step: dict[str, Any] = {"created": created, "created_by": said.created_by}
    if said.author:
        step["author"] = said.author
    if said.comment:
        step["comment"] = said.comment
    if not diff_id:
        step["empty_layer"] = True
    kept = ("architecture", "os", "variant", "os.version", "os.features")
    document: dict[str, Any] = {key: parent.config[key] for key in kept if key in parent.config}
    document["created"] = created
    if said.author:
        document["author"] = said.author
    document["config"] = dict(said.run_config)
    if said.container:  # no fields of the specification: Docker's, which clients of before 1.45 are told
        document["container"] = said.container
        document["container_config"] = {**said.run_config, "Image": said.container_image}
    diff_ids = [*parent.diff_ids, *([f"sha256:{diff_id}"] if diff_id else [])]
    document["rootfs"] = {"type": "layers", "diff_ids": diff_ids}
    document["history"] = [*(parent.config.get("history") or []), step]
    return document
