"""The keys that leave a container running, in Docker's spelling: "ctrl-p,ctrl-q", "a,b", "DEL"."""

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"  # by their byte


class UnknownKey(ValueError):
    """`key` is none that can be typed as one byte."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Unknown character: '{key}'")
        self.key = key


def read_detach_keys(text: str) -> bytes:
    """The bytes that are typed; those of the default for "". Raises UnknownKey."""
    keys = bytearray()
    for key in (text or DEFAULT_DETACH_KEYS).split(","):
        if len(key) == 1 and key.isascii():
            keys += key.encode()
        elif key == "DEL":
            keys.append(0x7F)
        elif key.startswith("ctrl-") and len(key) == 6 and key[5] in _CONTROL:
            keys.append(_CONTROL.index(key[5]))
        else:
            raise UnknownKey(key)
    return bytes(keys)
