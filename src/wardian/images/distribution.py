"""GET /distribution/{name}/json: what a registry has under a name, without fetching it."""

import json
from typing import Any

from wardian.images.auth import RegistryAuth
from wardian.images.manifests import CONFIG_LIMIT, Index, parse_manifest
from wardian.images.reference import Reference
from wardian.images.refusals import INSPECT
from wardian.images.registry import RegistryClient

_PLATFORM = ("architecture", "os", "os.version", "os.features", "variant")


def describe(reference: Reference, auth: RegistryAuth | None = None) -> dict[str, Any]:
    """The API's answer (worker thread)."""
    client = RegistryClient(reference, auth, INSPECT)
    try:
        data, digest, media_type = client.manifest(reference.digest or reference.tag)
        parsed = parse_manifest(data, media_type, reference.familiar)
        if isinstance(parsed, Index):
            platforms = [_platform(entry.get("platform")) for entry in parsed.entries if entry.get("platform")]
        else:
            platforms = [_platform(json.loads(client.blob(parsed.config, CONFIG_LIMIT)))]
    finally:
        client.close()
    stated = str(json.loads(data).get("mediaType") or media_type)
    return {
        "Descriptor": {"mediaType": stated, "digest": digest, "size": len(data)},
        "Platforms": [platform for platform in platforms if platform],
    }


def _platform(found: object) -> dict[str, Any]:
    return {key: found[key] for key in _PLATFORM if found.get(key)} if isinstance(found, dict) else {}
