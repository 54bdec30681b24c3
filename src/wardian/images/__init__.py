"""References, registry, content store, manifests, archives: images from wherever they come to layers on disk.

`ImageStore` is what the engine uses; an `Image` is a value.
"""

from wardian.images import ask
from wardian.images.auth import RegistryAuth, auth_from_api
from wardian.images.changes import apply_changes
from wardian.images.committed import Commit
from wardian.images.describe import run_config, summary
from wardian.images.image import Image
from wardian.images.platforms import foreign, platform_of
from wardian.images.progress import Progress, Stop
from wardian.images.records import SCHEMA
from wardian.images.reference import Reference, name_to_make, parse_reference
from wardian.images.removal import ImageUse
from wardian.images.store import ImageStore
from wardian.images.streams import inflated as decompressed

__all__ = [
    "SCHEMA",
    "Commit",
    "Image",
    "ImageStore",
    "ImageUse",
    "Progress",
    "Reference",
    "RegistryAuth",
    "Stop",
    "apply_changes",
    "ask",
    "auth_from_api",
    "decompressed",
    "foreign",
    "name_to_make",
    "parse_reference",
    "platform_of",
    "run_config",
    "summary",
]
