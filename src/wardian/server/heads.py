"""Heads of HTTP/1.1 messages (RFC 9112): a request's is read, an answer's fields are written. No I/O.

    POST /v1.51/containers/x/exec HTTP/1.1    the request line: an expression of ours, section 3's grammar and no more
    Host: api.moby.localhost                  its fields: llhttp, by httptools
    Content-Length: 140
                                              the empty line that ends it

llhttp's leniencies stay off: it takes no folded line, no line feed alone, no control character, one Content-Length and
none beside a Transfer-Encoding. It is shown the same request line each time, since it knows methods by a list and takes
more for a request line than is one: several blanks, other protocols, none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

HEAD_LIMIT = 1 << 20  # as Go's net/http, and so Docker
_REQUEST_LINE = re.compile(rb"([-!#$%&'*+.^_`|~0-9A-Za-z]+) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])(?=\r\n)")
_SHOWN_LINE = b"GET / HTTP/1.1"
# absolute-form, RFC 9112 section 3.2.2: the scheme, perhaps a user, the host, perhaps its port
_ABSOLUTE = re.compile(r"[A-Za-z][-+.0-9A-Za-z]*://(?:[^/?#@]*@)?(?:\[[^]/?#@]*\]|[^]:/?#@%[]*)(?::[0-9]*)?(?=[/?]|$)")
_NO_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")
_NEW, _OLD = b"1.1", b"1.0"
# Lists, which may be told in several lines (RFC 9110 section 5.3).
_LISTS = frozenset(("connection", "expect", "transfer-encoding", "upgrade"))
_UNKNOWN_CODING = re.compile(rb"\r\ntransfer-encoding:(?![ \t]*chunked[ \t]*\r\n)", re.IGNORECASE)
_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class Refused(Exception):
    """What a client sent is no HTTP, or too long: the status to answer, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Head(NamedTuple):
    """A request's: `fields` by their names in lower case, of several of one name the last; `new`: HTTP/1.1 and not
    HTTP/1.0."""

    method: str
    target: str
    fields: dict[str, str]
    new: bool

    def says(self, name: str, word: str) -> bool:
        """Whether `word` is in a field that is a list of words in any case."""
        value = self.fields.get(name)
        return value is not None and word in (one.strip() for one in value.lower().split(","))


class _Fields:
    """What llhttp calls."""

    __slots__ = ("ended", "pairs")

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        self.ended = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.pairs.append((name, value))

    def on_headers_complete(self) -> None:
        self.ended = True


def read_head(data: bytes) -> Head:
    """`data` ends with the empty line. Raises Refused."""
    line = _REQUEST_LINE.match(data)
    if line is None:
        raise Refused(400, "the request line is none of HTTP/1.1")
    method, target, version = line.groups()
    if version not in (_NEW, _OLD):
        raise Refused(505, "HTTP/1.1 is spoken here")
    fields = _named(_parsed(_SHOWN_LINE + data[line.end() :]))
    if version == _NEW and "host" not in fields:
        raise Refused(400, "the Host header is missing")
    coding = fields.get("transfer-encoding")
    if coding is not None and coding.lower() != "chunked":
        raise _unknown_coding()
    return Head(method.decode("ascii"), _origin_form(target.decode("ascii")), fields, version == _NEW)


def _origin_form(target: str) -> str:
    """Path and query: of an absolute-form, which every server takes (RFC 9112 section 3.2.2), what is behind its host;
    "*" stays. What is none of these is refused: who sends it (a client of CONNECT) means a proxy."""
    if not target.startswith("/") and target != "*":
        target = _behind_host(target)
    if "%" in target and (wrong := first_no_escape(target.partition("?")[0])):
        raise Refused(400, f'invalid URL escape "{wrong}"')
    return target


def _behind_host(target: str) -> str:
    found = _ABSOLUTE.match(target)
    if found is None:
        raise Refused(400, f"the target {target!r} is neither a path nor an absolute URL")
    rest = target[found.end() :]
    return rest if rest.startswith("/") else f"/{rest}"


def first_no_escape(text: str) -> str:
    """The first "%" without two hexadecimal digits, and the characters in their place; "" when there is none."""
    found = _NO_ESCAPE.search(text)
    return found[0] if found else ""


def _parsed(data: bytes) -> list[tuple[bytes, bytes]]:
    found = _Fields()
    try:
        HttpRequestParser(found).feed_data(data)
    except HttpParserUpgrade:
        pass  # the client offers another protocol: nothing more is given to this parser
    except HttpParserError as error:
        if _UNKNOWN_CODING.search(data):
            raise _unknown_coding() from None
        raise Refused(400, str(error)) from None
    if not found.ended:
        raise Refused(400, "the head has no end")
    return found.pairs


def _unknown_coding() -> Refused:
    return Refused(501, "no Transfer-Encoding but chunked is known here")  # RFC 9112 section 6.1


def _named(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, value in pairs:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip(" \t")
        if key in fields:
            if key == "host":
                raise Refused(400, "the Host header is there twice")
            if key in _LISTS:
                text = f"{fields[key]}, {text}"
        fields[key] = text
    return fields


def encode_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Lines of an answer's head. Raises ValueError for a value that would end its line: a label of an image must not be
    able to write the rest of an answer."""
    lines = []
    for name, value in fields:
        if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise ValueError(f"no header can say {name!r}: {value!r}")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")
