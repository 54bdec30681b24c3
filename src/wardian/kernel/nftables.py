"""Firewall rules: nft(8) commands as text, carried out in this process by libnftables(3).

One call of `run` is one transaction: all of its commands happen or none. A context is bound to the network namespace of
the thread that makes it. Where the library is missing, the `nft` program does the same, 20 times slower.
"""

import contextlib
import ctypes
import errno
import json
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from wardian.errors import SYSTEM, UNAVAILABLE, WardianError
from wardian.kernel.attributes import as_text, attributes

LIBRARY = "libnftables.so.1"
NFT_CTX_OUTPUT_JSON = 1 << 4
PROGRAM_SECONDS = 20

# linux/netfilter/nfnetlink.h, nf_tables.h: NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN, and its answer's attribute.
NETLINK_NETFILTER = 12
SUBSYS_NFTABLES = 10
_GET_GENERATION, _NEW_GENERATION = SUBSYS_NFTABLES << 8 | 16, SUBSYS_NFTABLES << 8 | 15
_NFTA_GEN_ID, _NFTA_GEN_PROC_PID = 1, 2

# The multicast group of changes, and what its messages say: NFTA_*_TABLE is attribute 1 of every kind of them,
# NFTA_CHAIN_NAME 3, NFTA_RULE_CHAIN 2.
SOL_NETLINK, NETLINK_ADD_MEMBERSHIP = 270, 1
NFNLGRP_NFTABLES = 7
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; Python does not name it
NEW_TABLE, DEL_TABLE, NEW_CHAIN, DEL_CHAIN, NEW_RULE, DEL_RULE = 0, 2, 3, 5, 6, 8
_NEW_GEN = 15
_CHAIN_ATTRIBUTE = {NEW_CHAIN: 3, DEL_CHAIN: 3, NEW_RULE: 2, DEL_RULE: 2}
_FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}
# A thousand elements in one transaction are a thousand messages; what overflows is told, and looked at as a whole.
_BUFFER = 4 << 20


class Nftables(Protocol):
    """What both ways offer. Any thread may call: one lock a context, and the interpreter's is free meanwhile."""

    def run(self, commands: str) -> str:
        """Carry out `commands` as one transaction; returns what they print. Raises WardianError with nft's words."""

    def query(self, command: str) -> list[dict[str, Any]]:
        """The objects that one `list` command names, as libnftables-json(5) writes them."""

    def close(self) -> None: ...


def open_nftables() -> Nftables:
    """The library's context in this thread's network namespace, or the program. Raises UNAVAILABLE without either."""
    _need_netfilter()
    try:
        return LibraryNftables()
    except OSError as missing:
        program = next((p for p in ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft") if os.access(p, os.X_OK)), None)
        if program is None:
            raise WardianError(
                UNAVAILABLE,
                f"no nftables here: {missing}",
                operation="open nftables",
                subject=LIBRARY,
                hint="install libnftables1 or nftables",
            ) from missing
        return ProgramNftables(program)


def _need_netfilter() -> None:
    """libmnl ends the whole process (exit 3) where the kernel has no such netlink: it is asked here first."""
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER).close()
    except OSError as error:
        raise WardianError(
            UNAVAILABLE,
            f"this kernel has no nftables: {error.strerror}",
            operation="open nftables",
            errno=error.errno or 0,
            hint="modprobe nfnetlink nf_tables",
        ) from error


class _LowDescriptors:
    """Numbers that are kept for libnftables: it waits for its socket with select(2), which ends the whole process for a
    descriptor of FD_SETSIZE (1024) or more, and an engine with hundreds of containers has that many.
    """

    SELECTABLE = 1024
    KEPT = 8  # other threads open files meanwhile, each taking the lowest number that is free

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[int] = []

    @contextlib.contextmanager
    def free(self) -> Iterator[None]:
        """What is opened first inside gets one of them. Raises OSError when there are none."""
        with self._lock:
            self._keep()
            if len(self._kept) < self.KEPT // 2:
                raise OSError(errno.EMFILE, "no descriptor below 1024 is left, and libnftables takes no other")
            for descriptor in self._kept:
                os.close(descriptor)
            self._kept.clear()
            try:
                yield
            finally:
                self._keep()

    def kept(self) -> frozenset[int]:
        with self._lock:
            return frozenset(self._kept)

    def _keep(self) -> None:
        while len(self._kept) < self.KEPT:
            descriptor = os.dup(self._kept[0]) if self._kept else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            if descriptor >= self.SELECTABLE:
                os.close(descriptor)
                return
            self._kept.append(descriptor)


_low_descriptors = _LowDescriptors()


def reserved_descriptors() -> frozenset[int]:
    """What this process keeps for libnftables, for as long as it lives."""
    return _low_descriptors.kept()


class LibraryNftables:
    """libnftables by ctypes: nft_run_cmd_from_buffer(3) and its buffers. Raises OSError when it cannot be loaded."""

    def __init__(self) -> None:
        library = ctypes.CDLL(LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_new.argtypes = [ctypes.c_uint32]
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(library, name).restype = ctypes.c_char_p
        for name in (
            "nft_ctx_buffer_output",
            "nft_ctx_buffer_error",
            "nft_ctx_get_output_buffer",
            "nft_ctx_get_error_buffer",
            "nft_ctx_free",
        ):
            getattr(library, name).argtypes = [ctypes.c_void_p]
        library.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._library = library
        with _low_descriptors.free():
            self._context = library.nft_ctx_new(0)
        if not self._context:
            raise OSError(f"{LIBRARY}: no context")
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)
        self._lock = threading.Lock()

    def run(self, commands: str) -> str:
        return self._run(commands, 0)

    def query(self, command: str) -> list[dict[str, Any]]:
        return _objects(self._run(command, NFT_CTX_OUTPUT_JSON))

    def close(self) -> None:
        with self._lock:
            if self._context:
                self._library.nft_ctx_free(self._context)
                self._context = None

    def _run(self, commands: str, flags: int) -> str:
        with self._lock:
            if not self._context:
                raise ValueError("this nftables context is closed")
            self._library.nft_ctx_output_set_flags(self._context, flags)
            failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
            # Both buffers are emptied by reading them; unread, the next call would add to them.
            said = self._library.nft_ctx_get_error_buffer(self._context) or b""
            printed: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if failed:
            raise _refusal(commands, said.decode("utf-8", "replace"))
        return printed.decode("utf-8", "replace")


class ProgramNftables:
    """The `nft` program, one process for each call."""

    def __init__(self, program: str) -> None:
        self._program = program

    def run(self, commands: str) -> str:
        return self._run(commands, ["-f", "-"])

    def query(self, command: str) -> list[dict[str, Any]]:
        return _objects(self._run(command, ["-j", command]))

    def close(self) -> None:
        pass

    def _run(self, commands: str, arguments: list[str]) -> str:
        done = subprocess.run(
            [self._program, *arguments],
            input=commands,
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
            check=False,
        )
        if done.returncode:
            raise _refusal(commands, done.stderr)
        return done.stdout


class Generation:
    """The number that the kernel raises with every change to a namespace's tables, whoever makes it.

    Reading it costs some microseconds, and tells whether anything needs to be looked at again. Stays in the network
    namespace of the thread that makes it; used by one thread at a time.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
        self._socket.settimeout(PROGRAM_SECONDS)

    def read(self) -> int:
        """The current number. Raises OSError."""
        self._socket.sendto(struct.pack("=IHHIIBBH", 20, _GET_GENERATION, 1, 0, 0, 0, 0, 0), (0, 0))
        data = self._socket.recv(4096)
        kind, offset = struct.unpack_from("=H", data, 4)[0], 20
        while kind == _NEW_GENERATION and offset + 8 <= len(data):
            length, attribute = struct.unpack_from("=HH", data, offset)
            if attribute & 0x3FFF == _NFTA_GEN_ID:
                return int(struct.unpack_from(">I", data, offset + 4)[0])
            offset += max(4, (length + 3) & ~3)
        raise OSError(f"nf_tables tells no generation: message {kind:#x}")

    def close(self) -> None:
        self._socket.close()


class Change(NamedTuple):
    """One message of a transaction. `chain` is "" where the message is not about one or a rule in it."""

    kind: int
    family: str
    table: str
    chain: str = ""


class Commit(NamedTuple):
    """The end of a transaction: the generation that it made, and the thread that did, as the first pid namespace counts
    it (0: not said)."""

    generation: int
    thread: int = 0


class Transaction(NamedTuple):
    """What one commit changed."""

    generation: int
    thread: int
    changes: tuple[Change, ...]


class Notifications:
    """What is changed in the tables of a network namespace, by whomever, as it happens: nfnetlink's NFNLGRP_NFTABLES.

    Stays in the network namespace of the thread that makes it.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_NETFILTER
        )
        try:
            with contextlib.suppress(PermissionError):  # what is lost is noticed; rootless it may be more
                self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
            self._socket.bind((0, 0))  # without a port of its own a socket hears no group: 0 is who is left out
            self._socket.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)
        except BaseException:
            self._socket.close()
            raise
        self._begun: list[Change] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def take(self) -> tuple[list[Transaction], bool]:
        """What was committed since the last call, without waiting; False: and some of it was lost."""
        found: list[Transaction] = []
        complete = True
        while True:
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return found, complete
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                complete = False
                self._begun.clear()
                continue
            for message in parse_changes(data):
                if isinstance(message, Commit):
                    found.append(Transaction(*message, tuple(self._begun)))
                    self._begun.clear()
                else:
                    self._begun.append(message)

    def close(self) -> None:
        self._socket.close()


def parse_changes(data: bytes) -> list[Change | Commit]:
    """The messages of one datagram."""
    found: list[Change | Commit] = []
    offset = 0
    while offset + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, offset)
        if length < 20 or offset + length > len(data):
            break
        if kind >> 8 == SUBSYS_NFTABLES:
            found.append(_parse_change(kind & 0xFF, data[offset + 16 : offset + length]))
        offset += (length + 3) & ~3
    return found


def _parse_change(kind: int, payload: bytes) -> Change | Commit:
    values = attributes(payload[4:])
    if kind == _NEW_GEN:
        generation, thread = (values.get(which, bytes(4)) for which in (_NFTA_GEN_ID, _NFTA_GEN_PROC_PID))
        return Commit(*struct.unpack(">II", generation + thread))
    chain = values.get(_CHAIN_ATTRIBUTE.get(kind, 0), b"")
    return Change(kind, _FAMILIES.get(payload[0], "?"), as_text(values.get(1, b"")), as_text(chain))


def _objects(text: str) -> list[dict[str, Any]]:
    if not text.strip():
        return []
    objects: list[dict[str, Any]] = json.loads(text)["nftables"]
    return [entry for entry in objects if "metainfo" not in entry]


def _refusal(commands: str, said: str) -> WardianError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    cause = next((line for line in lines if "rror" in line), lines[0] if lines else "refused without a word")
    first = commands.strip().splitlines()[0] if commands.strip() else ""
    code = next((number for number, text in _CAUSES if text in said), 0)
    return WardianError(SYSTEM, f"nft {first}: {cause}", operation="nftables", subject=first, errno=code)


_CAUSES = ((2, os.strerror(2)), (1, os.strerror(1)), (17, os.strerror(17)), (16, os.strerror(16)))
