"""Image references as values; their grammar is wardian.reference_grammar, which the command uses too."""

from typing import NamedTuple

from wardian.errors import INVALID, WardianError
from wardian.reference_grammar import (
    DEFAULT_DOMAIN,
    DEFAULT_TAG,
    BadReference,
    familiar_name,
    is_digest,
    is_identifier,
    is_tag,
    take_apart,
)

__all__ = ["DEFAULT_DOMAIN", "DEFAULT_TAG", "Reference", "is_digest", "name_to_make", "parse_reference"]


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
        return familiar_name(self.domain, self.path)

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
    try:
        if is_identifier(text):
            raise BadReference("cannot specify 64-byte hexadecimal strings")
        return Reference(*take_apart(text))
    except BadReference as error:
        raise WardianError(INVALID, str(error), operation="parse reference", subject=text) from None


def name_to_make(repo: str, tag: str) -> str:
    """What a new image is to be called, by the API's `repo` and `tag`, which is the one that counts; "" for nothing.
    Raises INVALID with Docker's words."""
    if not repo:
        return ""
    reference = parse_reference(repo)
    wrong = ""
    if reference.digest:
        wrong = "cannot import digest reference"
    elif tag and not is_tag(tag):
        wrong = "invalid tag format"
    elif reference.familiar_name == "sha256":
        wrong = "refusing to create an ambiguous tag using digest algorithm as name"
    if wrong:
        raise WardianError(INVALID, wrong, operation="name an image", subject=repo)
    return reference._replace(tag=tag or reference.tag).with_default_tag().familiar
