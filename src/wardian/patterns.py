"""Regular expressions that clients write: names in a filter, and which labels and variables a log's lines carry.

They are Go's, as Docker takes them (https://github.com/google/re2/wiki/Syntax), matched by RE2: in time linear in the
text. They are matched in the event loop, and Python's `re` can take longer for one name than anybody lives
(docs/decisions/0020).
"""

import re
from collections.abc import Callable

Finds = Callable[[str], bool]

# What most filters are, Compose's among them: letters, and anchors around them. RE2 is not loaded for these.
_PLAIN = re.compile(r"(\^?)([A-Za-z0-9_/ -]*)(\$?)")
_MEMORY = 1 << 16  # bytes for one pattern: two thousand steps, each taken at most once for a letter: 1 ms for a name


def finder(pattern: str) -> Finds:
    """Whether `pattern` is found anywhere in a text. Raises ValueError, with why, for what is no pattern."""
    plain = _PLAIN.fullmatch(pattern)
    if plain is None:
        return _compiled(pattern)
    at_start, literal, at_end = plain.groups()
    if at_start and at_end:
        return lambda text: text == literal
    if at_start:
        return lambda text: text.startswith(literal)
    if at_end:
        return lambda text: text.endswith(literal)
    return lambda text: literal in text


def _compiled(pattern: str) -> Finds:
    import re2

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0] if error.args else "not a pattern"
        raise ValueError(why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)) from None
    finally:
        re2.purge()  # it would keep the last 128
    return lambda text: compiled.search(text) is not None
