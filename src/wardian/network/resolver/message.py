"""DNS messages (RFC 1035, 6891): read the question, write answers. Pure; bytes in, bytes out, and no packet raises.

A name is kept as it stands in a message, in lower case: its labels, each after its length. A length is at most 63 and
so below every letter; `bytes.lower` changes letters only. To look such a name up is one dict lookup.
"""

import struct
from collections.abc import Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
INTERNET = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
BADVERS = 16  # RFC 6891, 6.1.3: the upper bits stand in the OPT record
DROP = -1  # not a question at all: an answer to it could be answered, and so on

PLAIN_LIMIT = 512  # bytes of an answer by UDP without EDNS (RFC 1035, 4.2.1)
STREAM_LIMIT = 65535
_OUR_PAYLOAD = 4096
# Clients that keep answers (nginx, the JVM) would go on with the address of a container that was replaced.
SECONDS_TO_LIVE = 5

_QR, _OPCODE, _AA, _TC, _RA, _RD, _CD = 0x8000, 0x7800, 0x0400, 0x0200, 0x0080, 0x0100, 0x0010
_HEADER = struct.Struct("!HHHHHH")
_QUESTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")
_TO_QUESTION = b"\xc0\x0c"  # a pointer to the name of the question (RFC 1035, 4.1.4)


class Question:
    """What is asked. `name` in lower case; `end` is the offset behind it; `payload` is EDNS's size, 0 without EDNS."""

    __slots__ = ("end", "flags", "kind", "name", "payload", "space", "version")

    def __init__(self, name: bytes, kind: int, space: int, end: int, flags: int, payload: int, version: int) -> None:
        self.name = name
        self.kind = kind
        self.space = space
        self.end = end
        self.flags = flags
        self.payload = payload
        self.version = version

    @property
    def datagram_limit(self) -> int:
        """How long an answer by UDP may be."""
        return max(PLAIN_LIMIT, min(self.payload, _OUR_PAYLOAD))


def parse(packet: bytes) -> Question | int:
    """The question of a packet, or the code to refuse it with (`refusal`), or DROP."""
    if len(packet) < 12:
        return DROP
    _, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    if flags & _QR:
        return DROP
    if flags & _OPCODE:
        return NOTIMP
    at = _name_end(packet, 12)
    if questions != 1 or at == 0 or at + 4 > len(packet):
        return FORMERR
    kind, space = _QUESTION.unpack_from(packet, at)
    payload = version = 0
    if additional and not answers and not authorities:
        payload, version = _extension(packet, at + 4, min(additional, 8))
    if payload < 0:
        return FORMERR
    return Question(packet[12:at].lower(), kind, space, at + 4, flags, payload, version)


def answer(packet: bytes, question: Question, records: Sequence[bytes], limit: int) -> bytes:
    """The answer to `packet` with as many `records` as fit into `limit` bytes; when some do not, it says so (TC)."""
    flags = _QR | _AA | _RA | question.flags & (_RD | _CD)
    option = b""
    if question.payload:
        option = b"\0" + _RECORD.pack(OPT, _OUR_PAYLOAD, (BADVERS >> 4) << 24 if question.version else 0, 0)
        if question.version:
            records = ()
    room = limit - question.end - len(option)
    if records and sum(map(len, records)) > room:
        flags |= _TC
        records = records[: max(0, room // len(records[0]))]
        while sum(map(len, records)) > room:
            records = records[:-1]
    head = _HEADER.pack(0, flags, 1, len(records), 0, 1 if option else 0)
    return b"".join((packet[:2], head[2:], packet[12 : question.end], *records, option))


def refusal(packet: bytes, code: int) -> bytes:
    """An answer that is only a code, with the question when it can be read. `packet` has a header."""
    flags = _HEADER.unpack_from(packet)[1]
    end = _name_end(packet, 12)
    readable = bool(end) and end + 4 <= len(packet) and packet[4:6] == b"\0\1"
    keep = flags & (_OPCODE | _RD | _CD)
    head = _HEADER.pack(0, _QR | _RA | keep | code, 1 if readable else 0, 0, 0, 0)
    return packet[:2] + head[2:] + (packet[12 : end + 4] if readable else b"")


def address_record(packed: bytes) -> bytes:
    """An A or AAAA record of the name in question: 4 bytes or 16."""
    return _record(A if len(packed) == 4 else AAAA, packed)


def pointer_record(name: bytes) -> bytes:
    return _record(PTR, name)


def code(packet: bytes) -> int:
    """The response code of an answer of 12 bytes or more."""
    return packet[3] & 15


def answers(packet: bytes, question: bytes) -> bool:
    """Whether `packet` answers exactly `question`, a packet that was sent: same id, same question (RFC 5452, 9.1).

    An answer without any question is one too: servers that refuse leave it out.
    """
    if len(packet) < 12 or packet[:2] != question[:2] or not packet[2] & 0x80:
        return False
    if packet[4:6] == b"\0\0":
        return code(packet) != NOERROR
    end = _name_end(question, 12) + 4
    return packet[4:6] == b"\0\1" and packet[12:end].lower() == question[12:end].lower()


def wire_name(text: str) -> bytes:
    """A dotted name as a message has it, in lower case; b"" when no message can hold it."""
    labels = text.strip(".").encode("utf-8", "replace").lower().split(b".")
    if not all(0 < len(label) < 64 for label in labels):
        return b""
    wire = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return wire if len(wire) <= 255 else b""


def dotted_name(wire: bytes) -> str:
    """The text of a name as `parse` gives it; "" for one that no text stands for (a dot within a label)."""
    labels, at = [], 0
    while wire[at]:
        labels.append(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    text = b".".join(labels)
    return text.decode("utf-8", "replace") if text.count(b".") == max(0, len(labels) - 1) else ""


def _record(kind: int, data: bytes) -> bytes:
    return _TO_QUESTION + _RECORD.pack(kind, INTERNET, SECONDS_TO_LIVE, len(data)) + data


def _name_end(packet: bytes, at: int) -> int:
    """The offset behind the name at `at`; 0 when there is none. A question has nothing before it to point to."""
    start, size = at, len(packet)
    while at < size:
        length = packet[at]
        at += 1 + length
        if not length:
            return at if at - start <= 255 else 0
        if length > 63:
            return 0
    return 0


def _extension(packet: bytes, at: int, count: int) -> tuple[int, int]:
    """Payload size and version of the OPT record among `count` records at `at`; 0, 0 without one; -1: malformed."""
    for _ in range(count):
        end = at + 2 if packet[at : at + 1] >= b"\xc0" else _name_end(packet, at)
        if not end or end + 10 > len(packet):
            return -1, 0
        kind, payload, extended, length = _RECORD.unpack_from(packet, end)
        if end + 10 + length > len(packet):
            return -1, 0
        if kind == OPT:
            return max(PLAIN_LIMIT, payload), extended >> 16 & 0xFF
        at = end + 10 + length
    return 0, 0
