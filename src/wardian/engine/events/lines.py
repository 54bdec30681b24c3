"""An event as its line in the journal, which has a bound: labels and commands may be megabytes, and a few of them would
be all of the history. Who hears an event when it happens hears all of it. Pure.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

LONGEST = 16 << 10  # bytes; far less than the end of a file that event_journal looks for its last line in
_WORDS = 256  # characters that are left of what is too long: a value, a command, an image's name
_ATTRIBUTES = LONGEST // 2


def line_of(event: Mapping[str, Any]) -> bytes:
    line = msgspec.json.encode(event)
    return (line if len(line) < LONGEST else msgspec.json.encode(_shortened(event))) + b"\n"


def _shortened(event: Mapping[str, Any]) -> dict[str, Any]:
    short = {key: _cut(value) if isinstance(value, str) else value for key, value in event.items()}
    actor = event["Actor"]
    return short | {"Actor": actor | {"Attributes": _shortened_attributes(actor["Attributes"])}}


def _shortened_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """The shortest of them, as many as there is room for, in their order: what the engine says of it is among them."""
    room, kept = _ATTRIBUTES, set()
    for name in sorted(attributes, key=lambda name: len(name) + len(attributes[name])):
        room -= len(msgspec.json.encode({name: _cut(attributes[name])}))
        if room < 0:
            break
        kept.add(name)
    return {name: _cut(value) for name, value in attributes.items() if name in kept}


def _cut(text: str) -> str:
    return text if len(text) <= _WORDS else text[:_WORDS] + "…"
