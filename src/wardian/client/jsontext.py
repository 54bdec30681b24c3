"""JSON by the interpreter's own C functions, without the `json` package and the `re` that it imports (8 ms saved)."""

import _json

_WHITESPACE = " \t\n\r"


class _ScannerContext:
    """What `_json.make_scanner` reads its settings from (json.decoder.JSONDecoder has the same names)."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012


_scan = _json.make_scanner(_ScannerContext())  # type: ignore[arg-type]


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, False)


def decode(text: "str | bytes") -> object:
    """The value of one JSON text. Raises ValueError when it is none."""
    string = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    start = len(string) - len(string.lstrip(_WHITESPACE))
    try:
        value, end = _scan(string, start)
    except (StopIteration, SystemError):
        # SystemError: the C function wants json.decoder's exception, and finds that nobody imported it.
        raise ValueError(f"not JSON: {string[:80]!r}") from None
    if string[end:].strip(_WHITESPACE):
        raise ValueError(f"more than one JSON value: {string[end : end + 80]!r}")
    return value


def encode(value: object) -> bytes:
    """The shortest JSON text of a value made of dict, list, str, int, float, bool and None."""
    text = "".join(_encode(value, 0))
    if "\\ud" in text:
        text = "".join(_encode(_without_surrogates(value), 0))
    return text.encode("ascii")


def _without_surrogates(value: object) -> object:
    """The value with its texts as UTF-8 reads them: the command line's bytes are surrogates where the locale's charset
    has no such character (PEP 383). A byte that is no UTF-8 becomes U+FFFD, as in Go: JSON cannot carry it.
    """
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(item) for item in value]
    if not isinstance(value, str):
        return value
    try:
        value = value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        pass  # half a pair from a file of JSON: no byte stands for it
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in value)
