"""GET /distribution/{name}/json: what a registry has under a name, without fetching it."""

from typing import Any

from wardian.images.auth import RegistryAuth
from wardian.images.manifests import CONFIG_LIMIT, Index, json_document, parse_manifest
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
            config = client.blob(parsed.config, CONFIG_LIMIT)
            platforms = [_platform(json_document(config, reference.familiar))]
    finally:
        client.close()
    stated = str(json_document(data, reference.familiar).get("mediaType") or media_type)
    return {
        "Descriptor": {"mediaType": stated, "digest": digest, "size": len(data)},
        "Platforms": [platform for platform in platforms if platform],
    }


def _platform(found: object) -> dict[str, Any]:
    return {key: found[key] for key in _PLATFORM if found.get(key)} if isinstance(found, dict) else {}
