"""What crosses between Python and the launcher: the one table of numbers for both sides, and the bytes of it.

    engine                                              launcher (posix_spawn; fd 3 = SOCK_SEQPACKET, own session)
      │ HELLO {header; plan length, slots, attachers} + [plan memfd, slot fds …]   ──►  reads it, refuses a bad one
      │ MORE  {header} + [further slot fds …]            (past 250 descriptors)    ──►
      │ ATTACH{header; serial, flags, detach keys} + [its socket, memfd of early bytes]  (each)  ──►
      │ PUBLISH {…}                        published ports' sockets wait here until the supervisor reads  ──►
      │                                   HOST ops, clone, PARENT ops ‖ CHILD ops, exec
      │  ◄── DONE   {step, errno, ns} × n            what ran, in order of steps
      │  ◄── NOTE   {step, errno, ns, text}          an op that may fail did
      │  ◄── FAILED {step, errno, ns, text}          all undone; the launcher ends     │ exactly one of
      │  ◄── REFUSED{offset, errno, 0, text}         the plan is bad; nothing was done │ these three
      │  ◄── RUNNING{pid, start time, unix ns}       exec'd: now it is the supervisor  │

After RUNNING this socket and every connection to RUN_DIR/supervisor.sock (SOCK_SEQPACKET) speak the same:

      │ ATTACH, RESIZE, CLOSE_STDIN, LOG_SYNC, RELEASE {header; serial, two numbers}  ──►   ◄── ANSWER{serial, errno}
      │ LET_GO {header; serial, 0, 0}                                        ──►   ◄── ANSWER{serial, errno}
      │ PUBLISH {header; serial, n, sockets?; TARGET × n} + [n sockets]         ──►   ◄── ANSWER{serial, errno}
      │ UNPUBLISH {header; serial, key (NONE: all), 0}                       ──►   ◄── ANSWER{serial, errno}
      │ STATUS                                                               ──►   ◄── STATE {serial, 0, pid …}
      │ WAIT (the first socket waits unasked, with serial 0)                 ──►   ◄── ENDED {serial, 0; exit record}
      │                                                                            ◄── EXITED{serial, 0; exit record}
      │                                EOF with neither ENDED nor EXITED before: the supervisor was lost

An attacher that is HELD gets nothing, and nothing is read from the container, until RELEASE names the serial of its
ATTACH: what was written before is then in the log, and what comes after is in the stream. It ends with the connection
that holds it.

ENDED comes where the plan says TELLS_FIRST: the container has ended and its record is on disk, but its root and its
groups are there for a moment yet (LET_GO: no longer than it takes). EXITED: they are gone.

A published port is a bound socket of the host's, held under a key of the engine's choice. PUBLISH without sockets gives
those that are held under its keys another target.

A plan is `PLAN_HEADER` and then operations, each `OP_HEADER` and the fields that its row in `OPERATIONS` names:
    u  number, u64            s  text: u32 length, bytes, NUL (none within)      b  bytes: u32 length, bytes
    h  handle, u32 (NONE: none)        n  handle that this op makes, u32         l  list of s: u32 count
    H  list of h: u32 count            U  list of u: u32 count
Handles name descriptors: 0 … slots-1 came with HELLO, the others are made by ops; each is made once, before it is used.
All numbers are little-endian. `tools/protocol_header.py` writes launcher/protocol.gen.h from this module.
"""

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

VERSION: Final = 1
PLAN_MAGIC: Final = 0x4E4C5057  # "WPLN"
CONTROL_MAGIC: Final = 0x4C544357  # "WCTL"
NONE: Final = 0xFFFFFFFF

MAX_PLAN: Final = 16 << 20
MAX_OPS: Final = 4096
MAX_HANDLES: Final = 4096
MAX_FIELDS: Final = 9
MAX_TEXT: Final = 480
MAX_FDS: Final = 250

PLAN_HEADER = struct.Struct("<IHHIIIIII")  # magic, version, 0, total length, ops, slots, handles, fail step | NONE, 0
OP_HEADER = struct.Struct("<HBBI")  # number, phase, flags, length of the fields
CONTROL_HEADER = struct.Struct("<IHHI")  # magic, version, kind, length of what follows
HELLO = struct.Struct("<III")  # plan length, slots, attachers
RECORD = struct.Struct("<IiQ")  # step, errno, nanoseconds (then text to the end, where the kind has one)
RUNNING = struct.Struct("<IIQQ")  # pid, 0, start time (field 22 of /proc/PID/stat), unix nanoseconds
# serial, two numbers: ATTACH flags, detach keys (they follow); RESIZE rows, columns; PUBLISH targets (they follow),
# PUBLISH_FLAGS; UNPUBLISH key; RELEASE serial of an ATTACH
REQUEST = struct.Struct("<III")
TARGET = struct.Struct("<IHH16s")  # key, family (AF_*), port, address (IPv4 in the first four bytes, network order)
ANSWER = struct.Struct("<Ii")  # serial, errno (ENDED, EXITED: then the exit record's JSON to the end)
STATE = struct.Struct("<IiIIQQ")  # serial, errno, pid, attachers, log bytes written, container's bytes that no log took

HOST: Final = 0  # by the launcher, before clone
PARENT: Final = 1  # by the launcher, after clone, while the child waits
CHILD: Final = 2  # by the child

MAY_FAIL: Final = 1  # op flag: its failure is noted and the plan goes on

KINDS: Final = {
    "HELLO": 1, "MORE": 2, "ATTACH": 3, "RESIZE": 4, "STATUS": 5, "WAIT": 6, "CLOSE_STDIN": 7, "LOG_SYNC": 8,
    "PUBLISH": 9, "UNPUBLISH": 10, "RELEASE": 11, "LET_GO": 12,
    "DONE": 16, "NOTE": 17, "FAILED": 18, "REFUSED": 19, "RUNNING": 20,
    "ANSWER": 32, "STATE": 33, "EXITED": 34, "ENDED": 35,
}  # fmt: skip

# STREAMS_FIRST: attachers hear of the end a moment before the engine does, which finds it on record when they ask.
SUPERVISE_FLAGS: Final = {
    "TTY": 1, "OPEN_STDIN": 2, "STDIN_ONCE": 4, "SHARED_PID": 8, "TELLS_FIRST": 16, "STREAMS_FIRST": 32,
}  # fmt: skip

# EARLY: a second descriptor, a memfd with what the engine had already read from the attacher's socket.
ATTACHER_FLAGS: Final = {"STDIN": 1, "STDOUT": 2, "STDERR": 4, "FRAMED": 8, "EARLY": 16, "HELD": 32}
MAX_DETACH_KEYS: Final = 16

PUBLISH_FLAGS: Final = {"SOCKETS": 1}  # a descriptor travels for each target
MAX_TARGETS: Final = MAX_FDS  # of one PUBLISH

CREATE: Final = {"NOTHING": 0, "DIRECTORY": 1, "FILE": 2, "LIKE": 3}  # a missing mount target; LIKE: as what is mounted


class Row(NamedTuple):
    """One operation: its number (never used again for another), its name, its fields as "type:name"."""

    number: int
    name: str
    fields: tuple[str, ...]


def _row(number: int, name: str, fields: str = "") -> Row:
    return Row(number, name, tuple(fields.split()))


OPERATIONS: Final = (
    _row(1, "open", "n:handle s:path u:flags"),
    _row(2, "fs_open", "n:fs s:type"),
    _row(3, "fs_flag", "h:fs s:key"),
    _row(4, "fs_string", "h:fs s:key s:value"),
    _row(5, "fs_path", "h:fs n:held s:key s:path"),
    _row(6, "fs_handle", "h:fs s:key h:handle"),
    _row(7, "fs_mount", "h:fs n:mount u:attributes"),
    _row(8, "legacy_overlay", "n:mount s:directory s:target s:options h:over s:place"),
    _row(9, "tree", "n:mount s:path u:recursive"),
    _row(10, "set_mount", "h:mount u:set u:clear u:propagation u:recursive h:userns"),
    _row(11, "attach", "h:mount h:root s:target u:create"),
    _row(12, "mount", "h:root s:target s:type s:source l:options u:attributes u:create"),
    _row(13, "propagation", "u:flags"),
    _row(14, "attach_root", "h:mount"),
    _row(15, "pivot", "h:root"),
    _row(16, "mkdir", "h:root s:path u:mode u:uid u:gid"),
    _row(17, "mknod", "h:root s:path u:mode u:device u:uid u:gid"),
    _row(18, "symlink", "h:root s:path s:target"),
    _row(19, "write", "s:path b:data"),
    _row(20, "mask", "h:root s:path"),
    _row(21, "read_only", "h:root s:path"),
    _row(22, "cgroup_make", "n:directory s:path u:shared"),
    _row(23, "cgroup_inherit", "h:directory s:file"),
    _row(24, "cgroup_write", "h:directory s:file b:data"),
    _row(25, "cgroup_tasks", "n:tasks h:directory s:file"),
    _row(26, "cgroup_enter", "h:tasks"),
    _row(27, "cgroup_devices", "h:directory b:program"),
    _row(28, "pidfd", "n:pidfd u:pid u:start_time"),
    _row(29, "join", "h:namespace u:flags"),
    _row(30, "unshare", "u:flags"),
    _row(31, "clone", "u:flags h:cgroup h:userns"),
    _row(32, "id_map", "s:file b:data"),
    _row(33, "supervise", "u:flags h:run_dir h:log_dir u:log_size u:log_files H:cgroups h:root s:identity s:log_name"),
    _row(34, "stdio"),
    _row(35, "console", "h:root u:rows u:columns"),
    _row(36, "session"),
    _row(37, "loopback"),
    _row(38, "hostname", "s:name"),
    _row(39, "domainname", "s:name"),
    _row(40, "rlimit", "u:resource u:soft u:hard"),
    _row(41, "bounding", "u:keep"),
    _row(42, "user", "u:uid u:gid U:groups"),
    _row(43, "capabilities", "u:effective u:permitted u:inheritable u:ambient"),
    _row(44, "no_new_privileges"),
    _row(45, "seccomp", "u:flags b:program"),
    _row(46, "umask", "u:mask"),
    _row(47, "chdir", "s:path"),
    _row(48, "exec", "s:path l:arguments l:environment"),
    _row(49, "init"),
    _row(50, "timeout", "u:seconds"),
    _row(51, "tree_in", "n:mount h:namespace s:path"),
    _row(52, "log_attributes", "s:json"),
    _row(60, "subtree", "n:mount h:root s:path u:recursive"),
    _row(61, "open_in", "n:handle h:root s:path u:flags"),
    _row(62, "stdio_owner", "u:uid"),
    _row(63, "listener", "h:socket"),
    _row(64, "write_in", "h:directory s:path b:data"),
)


def field_names(row: Row) -> tuple[str, ...]:
    """The names of an operation's fields, in order."""
    return tuple(field.partition(":")[2] for field in row.fields)


def field_types(row: Row) -> str:
    """One letter for each field."""
    return "".join(field[0] for field in row.fields)


def encode_fields(types: str, values: tuple[object, ...]) -> bytes:
    """The bytes of an operation's fields."""
    return b"".join(_ENCODERS[kind](value) for kind, value in zip(types, values, strict=True))


def _number(value: object) -> bytes:
    assert isinstance(value, int)
    return struct.pack("<Q", value)


def _handle(value: object) -> bytes:
    assert isinstance(value, int)
    return struct.pack("<I", value)


def _text(value: object) -> bytes:
    assert isinstance(value, str)
    data = value.encode(errors="surrogateescape")
    if b"\0" in data:
        raise ValueError(f"NUL within {value!r}")
    return struct.pack("<I", len(data)) + data + b"\0"


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return struct.pack("<I", len(value)) + value


def _list(kind: str, value: object) -> bytes:
    assert isinstance(value, tuple)
    return struct.pack("<I", len(value)) + b"".join(_ENCODERS[kind](item) for item in value)


_ENCODERS: "dict[str, Callable[[object], bytes]]" = {
    "u": _number,
    "h": _handle,
    "n": _handle,
    "s": _text,
    "b": _bytes,
    "l": lambda value: _list("s", value),
    "H": lambda value: _list("h", value),
    "U": lambda value: _list("u", value),
}
