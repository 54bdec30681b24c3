"""Names of images as people write them, as far as this side must know: what to pull, and how a name is shown."""

from __future__ import annotations

from wardian.cli.command import Failure

_HUB = "docker.io"
_HEX = frozenset("0123456789abcdef")


class Name:
    """A reference taken apart: `domain/path`, and a tag or a digest."""

    __slots__ = ("digest", "domain", "path", "tag")

    def __init__(self, domain: str, path: str, tag: str, digest: str) -> None:
        self.domain = domain
        self.path = path
        self.tag = tag
        self.digest = digest

    @property
    def repository(self) -> str:
        """The full repository: docker.io/library/busybox."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar(self) -> str:
        """The repository as Docker shows it: busybox."""
        if self.domain != _HUB:
            return self.repository
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    @property
    def shown(self) -> str:
        """The whole name as Docker shows it, with the tag that it means."""
        if self.digest:
            return f"{self.familiar}{':' + self.tag if self.tag else ''}@{self.digest}"
        return f"{self.familiar}:{self.tag or 'latest'}"


def parse_name(text: str, said: str = "invalid reference format") -> Name:
    """Raises Failure, in docker's words, for what is no reference."""
    rest, at, digest = text.partition("@")
    head, colon, tail = rest.rpartition(":")
    name, tag = (head, tail) if colon and "/" not in tail else (rest, "")
    if not name or (at and not _is_digest(digest)) or (colon and "/" not in tail and not _is_tag(tag)):
        raise Failure(said)
    first, slash, path = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost" or first.lower() != first):
        first, path = _HUB, name
    if first in ("index.docker.io", _HUB):
        first = _HUB
        path = path if "/" in path else f"library/{path}"
    if path.lower() != path:
        raise Failure(f"{said}: repository name ({path}) must be lowercase")
    if not all(_is_component(part) for part in path.split("/")):
        raise Failure(said)
    return Name(first, path, tag, digest)


def platform_query(text: str) -> dict[str, str] | None:
    """linux/arm64/v8 as the API's queries hold it; None for none."""
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False)) if text else None


def _is_digest(text: str) -> bool:
    """algorithm:hex, of 32 digits at least; sha256 has 64 (OCI image specification, "Digests")."""
    algorithm, _, digits = text.partition(":")
    return bool(algorithm) and len(digits) >= (64 if algorithm == "sha256" else 32) and not set(digits) - _HEX


def _is_tag(text: str) -> bool:
    return 0 < len(text) <= 128 and text[0] not in ".-" and _made_of(text, "_.-")


def _is_component(text: str) -> bool:
    return bool(text) and text[0] not in "._-" and text[-1] not in "._-" and _made_of(text, "._-")


def _made_of(text: str, others: str) -> bool:
    return text.isascii() and all(c.isalnum() or c in others for c in text)
