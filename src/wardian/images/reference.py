"""Image references: the grammar of the distribution project, and Docker's familiar short names.

    reference = [domain "/"] path [":" tag] ["@" digest]        (distribution/reference, "Grammar")

`busybox` is short for `docker.io/library/busybox:latest`. A first component is a domain only when it holds a dot or
a colon, is `localhost`, or has an upper-case letter (which no path may have).
"""

import re
from typing import NamedTuple

from wardian.errors import INVALID, WardianError

DEFAULT_DOMAIN = "docker.io"
OFFICIAL = "library"
DEFAULT_TAG = "latest"

_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_IS_DOMAIN = re.compile(_DOMAIN, re.ASCII)
_IS_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*", re.ASCII)
_IS_TAG = re.compile(r"[\w][\w.-]{0,127}", re.ASCII)
_IS_DIGEST = re.compile(r"sha256:[a-f0-9]{64}", re.ASCII)
_IS_OTHER_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}", re.ASCII)
_IS_IDENTIFIER = re.compile(r"[a-f0-9]{64}", re.ASCII)
_NAME_LIMIT = 255


class Reference(NamedTuple):
    """A parsed reference. `tag` is empty when none was written; `digest` is "sha256:…" or empty."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """The repository in full: `docker.io/library/busybox`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The repository as people write it: `busybox`, `user/app`, `registry:5000/app`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.name
        official, _, rest = self.path.partition("/")
        return rest if official == OFFICIAL and rest and "/" not in rest else self.path

    @property
    def familiar(self) -> str:
        """The whole reference as people write it."""
        return self.familiar_name + self._suffix

    def __str__(self) -> str:
        return self.name + self._suffix

    @property
    def _suffix(self) -> str:
        return (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")

    def with_default_tag(self) -> "Reference":
        """This reference, with `latest` when it has neither tag nor digest."""
        return self if self.tag or self.digest else self._replace(tag=DEFAULT_TAG)


def parse_reference(text: str) -> Reference:
    """Parse what a person wrote. Raises INVALID with Docker's words."""
    if _IS_IDENTIFIER.fullmatch(text):
        raise _invalid(text, "cannot specify 64-byte hexadecimal strings")
    rest, at, digest = text.partition("@")
    if at and not _IS_DIGEST.fullmatch(digest):
        known = _IS_OTHER_DIGEST.fullmatch(digest) is not None
        raise _invalid(text, "unsupported digest algorithm" if known else "invalid reference format")
    name, tag = _split_tag(rest)
    domain, path = _split_domain(name)
    if path != path.lower() and _IS_PATH.fullmatch(path.lower()):
        raise _invalid(text, f"repository name ({path}) must be lowercase")
    well_formed = _IS_DOMAIN.fullmatch(domain) and _IS_PATH.fullmatch(path)
    if not well_formed or (tag is not None and not _IS_TAG.fullmatch(tag)):
        raise _invalid(text, "invalid reference format")
    if len(domain) + 1 + len(path) > _NAME_LIMIT:
        raise _invalid(text, f"repository name must not be more than {_NAME_LIMIT} characters")
    return Reference(domain, path, tag or "", digest)


def is_digest(text: str) -> bool:
    """Whether `text` is a sha256 digest, and so safe to become a file name."""
    return _IS_DIGEST.fullmatch(text) is not None


def _split_tag(text: str) -> tuple[str, str | None]:
    """Name and tag (None when there is no colon): a colon before the last slash belongs to a port."""
    head, colon, tag = text.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (text, None)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    is_domain = "." in first or ":" in first or first == "localhost" or first != first.lower()
    if not slash or not is_domain:
        domain, path = DEFAULT_DOMAIN, name
    else:
        domain, path = first, rest
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"{OFFICIAL}/{path}"
    return domain, path


def _invalid(text: str, reason: str) -> WardianError:
    message = reason if reason.startswith("invalid reference format") else f"invalid reference format: {reason}"
    return WardianError(INVALID, message, operation="parse reference", subject=text)
