"""Names of images as people write them, as far as this side must know: what to pull, and how a name is shown."""

from __future__ import annotations

from wardian.cli.command import Failure
from wardian.reference_grammar import DEFAULT_TAG, BadReference, familiar_name, take_apart


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
        return familiar_name(self.domain, self.path)

    @property
    def shown(self) -> str:
        """The whole name as Docker shows it, with the tag that it means."""
        if self.digest:
            return f"{self.familiar}{':' + self.tag if self.tag else ''}@{self.digest}"
        return f"{self.familiar}:{self.tag or DEFAULT_TAG}"


def parse_name(text: str, said: str = "invalid reference format") -> Name:
    """Raises Failure, in docker's words, for what is no reference."""
    try:
        return Name(*take_apart(text))
    except BadReference as error:
        raise Failure(f"{said}: {error.reason}" if error.reason else said) from None


def platform_query(text: str) -> dict[str, str] | None:
    """linux/arm64/v8 as the API's queries hold it; None for none."""
    return dict(zip(("os", "architecture", "variant"), text.split("/"), strict=False)) if text else None
