"""Blocks of a log are rendered in one go, and to the very bytes that they give line by line."""

import random

from wardian.engine.logging.entries import Renderer, Rendering, entries

BOTH = frozenset((b"stdout", b"stderr"))
TEXTS = (b"abc\\n", b"x", b'\\"q\\"\\n', b"\\\\", b"", b'\\",\\"stream\\":\\"x', b"\xc3\xa9\\n", b'{\\"log\\":\\"')


def _line(chance: random.Random) -> bytes:
    stream = chance.choice((b"stdout", b"stdout", b"stdout", b"stderr"))
    attributes = chance.choice((b"", b"", b',"attrs":{"a":"b"}'))
    return b'{"log":"%b","stream":"%b"%b,"time":"2026-11-21T03:49:52.643422431Z"}\n' % (
        chance.choice(TEXTS), stream, attributes,
    )  # fmt: skip


def _broken(chance: random.Random, block: bytes) -> bytes:
    """As a power loss, or a hand, may leave it; up to the last line feed."""
    found = bytearray(block)
    for _ in range(chance.randint(0, 2)):
        at = chance.randrange(len(found) or 1)
        match chance.randrange(3):
            case 0:
                del found[at : at + chance.randint(1, 40)]
            case 1:
                found[at : at + 1] = chance.choice((b'"', b"\n", b"\\", b"{", b"x", b"\0"))
            case _:
                found[at:at] = chance.choice((b"\n", b'"', b'{"log":"', b'"}\n'))
    return bytes(found[: found.rfind(b"\n") + 1])


def test_whole_blocks_are_what_their_lines_are() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        block = _broken(chance, b"".join(_line(chance) for _ in range(chance.randint(1, 5))))
        renderer = Renderer(Rendering(BOTH, framed=False, each=False))
        one_by_one = b"".join(Renderer(Rendering(BOTH, framed=False))._lines(entries(block)))
        assert renderer.render(block) == one_by_one, block
