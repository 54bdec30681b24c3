"""`key=value` pairs: of words, and of the files of --env-file and --label-file, with the errors of docker's CLI."""

from __future__ import annotations

import os

from wardian.cli.command import plain_error
from wardian.cli.pflag import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def pairs(texts: Iterable[str]) -> dict[str, str]:
    """key=value words → a map; a bare key has the empty value."""
    return dict(text.partition("=")[::2] for text in texts)


def file_pairs(paths: Iterable[str], what: str, *, from_environment: bool) -> list[str]:
    """The lines `NAME=value` of files ("env" or "label" files). Raises ValueError.

    Comments and empty lines are skipped; a bare NAME is taken from our environment, or left out where it has none.
    """
    lines = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise ValueError(f"open {path}: {plain_error(error)}") from None
        try:
            for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
                lines += _pair(raw, number, from_environment)
        except ValueError as error:
            raise ValueError(f"invalid {what} file ({path}): {error}") from None
    return lines


def _pair(raw: bytes, number: int, from_environment: bool) -> list[str]:
    """What one line of such a file says: nothing, or one pair. Raises ValueError."""
    try:
        line = raw.decode().lstrip(" \t")
    except UnicodeDecodeError:
        raise ValueError(f"invalid utf8 bytes at line {number}: {go_quote(raw.decode('latin-1'))}") from None
    if not line or line.startswith("#"):
        return []
    name, equals, _ = line.partition("=")
    if not name:
        raise ValueError(f"no variable name on line '{line}'")
    if " " in name.rstrip(" ") or "\t" in name or name != name.rstrip():
        raise ValueError(f"variable '{name}' contains whitespaces")
    if equals:
        return [line]
    if not from_environment:
        return [name]
    return [f"{name}={os.environ[name]}"] if name in os.environ else []
