"""What an image is to the rest of the engine: a value, read from a snapshot that no operation locks."""

import datetime
from typing import Any, NamedTuple

from wardian.images.runconfig import normal


class Image(NamedTuple):
    """An image that is here whole. `config` is its OCI image config as published: data, never settings of ours."""

    id: str  # "sha256:" + digest of the config's bytes
    config: dict[str, Any]
    layers: tuple[str, ...]  # layer ids (64 hex, the diff ids), TOP FIRST as overlay lowers
    size: int  # bytes in the files of all layers
    repo_tags: tuple[str, ...] = ()  # familiar: "busybox:latest"
    repo_digests: tuple[str, ...] = ()  # familiar: "busybox@sha256:…"
    parent: str = ""  # the id of the image that a commit was made of, while that is here
    tagged_at: int = 0  # unix nanoseconds of the last tag, 0 when never

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """ "sha256:…", bottom first, as in the config's rootfs."""
        return tuple(f"sha256:{layer}" for layer in reversed(self.layers))

    @property
    def created(self) -> str:
        """RFC 3339, as published; empty when the image does not say."""
        return str(self.config.get("created") or "")

    @property
    def created_unix(self) -> int:
        return unix_seconds(self.created)

    @property
    def os(self) -> str:
        return str(self.config.get("os") or "linux")

    @property
    def architecture(self) -> str:
        return str(self.config.get("architecture") or "")

    @property
    def variant(self) -> str:
        return str(self.config.get("variant") or "")

    @property
    def run_config(self) -> dict[str, Any]:
        """The config's own `config` object: Env, Cmd, Entrypoint, WorkingDir, User, Labels, Volumes, ExposedPorts …"""
        found = self.config.get("config")
        return normal(found) if isinstance(found, dict) else {}


def unix_seconds(rfc3339: str) -> int:
    """Seconds since 1970 of a timestamp with any number of fraction digits; 0 when it is none."""
    text = rfc3339.strip().replace("Z", "+00:00")
    head, dot, tail = text.partition(".")
    if dot:
        zone = max(tail.rfind("+"), tail.rfind("-"))
        text = head + (tail[zone:] if zone >= 0 else "+00:00")
    try:
        return int(datetime.datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return 0
