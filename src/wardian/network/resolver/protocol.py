"""What the engine and the resolver say to each other: a unix socket of whole messages (unix(7), SOCK_SEQPACKET).

    engine                                   resolver
    LIST      {"after": id}              →
                                         ←   DONE {"pid", "sandboxes": [{"sandbox", "port"}, …], "more": bool}
    REGISTER  {"sandbox", view…}         →   with two descriptors: the UDP socket, and the listening TCP socket
    UPDATE    {"sandbox", view…}         →
    FORGET    {"sandbox"}                →   closes the sockets: they would keep the namespace alive
    END       {}                         →   answered, then the process ends
                                         ←   DONE {}, or REFUSED {"error": text}, with the request's serial

Each message: magic, version, kind, serial, then JSON. The header and END stay as they are in every version, so that an
engine of any version can end a resolver of any other; another request of a version that is not spoken is REFUSED, and
the header of that answer says which one is.
"""

import json
import struct

MAGIC = b"WRES"
VERSION = 2
LIST, REGISTER, UPDATE, FORGET, END, DONE, REFUSED = 1, 2, 3, 4, 5, 16, 17
MOST_BYTES = 65536
HEADER = struct.Struct("=4sHHI")
LISTED_AT_ONCE = 64


class Malformed(Exception):
    """Not a message of this protocol."""


def pack(kind: int, serial: int, body: dict[str, object]) -> bytes:
    return HEADER.pack(MAGIC, VERSION, kind, serial) + json.dumps(body).encode()


def unpack(data: bytes) -> tuple[int, int, int, dict[str, object]]:
    """Version, kind, serial and body; the body of another version is not looked at. Raises Malformed."""
    if len(data) < HEADER.size:
        raise Malformed("no header")
    magic, version, kind, serial = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Malformed("no magic")
    if version != VERSION:
        return version, kind, serial, {}
    try:
        body = json.loads(data[HEADER.size :])
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON") from error
    if not isinstance(body, dict):
        raise Malformed("no object")
    return version, kind, serial, body
