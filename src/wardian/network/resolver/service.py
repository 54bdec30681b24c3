"""The resolver as a whole: the sandboxes, what answers them, and the engine's requests about them."""

import array
import os
import socket
import struct

from . import protocol
from .forward import Forwarder
from .loop import GONE, OUT_OF, READ, Loop
from .sandbox import Sandbox, View
from .tables import Tables
from .upstream import HostServers

MOST_ENGINES = 8  # one, and for a moment the next one
_DESCRIPTORS = 2
_PEER = struct.Struct("=iII")  # struct ucred (unix(7), SO_PEERCRED)


class Service:
    """`control` listens for the engine; names are read from `directory`/networks."""

    def __init__(self, loop: Loop, directory: str, control: socket.socket, host: HostServers | None = None) -> None:
        self.loop = loop
        self.tables = Tables(directory)
        self.host = host or HostServers()
        self.forwarder = Forwarder(loop)
        self.sandboxes: dict[str, Sandbox] = {}
        self._control = control
        self._users = (0, os.geteuid())  # who started it, before it is nobody
        self._engines: set[socket.socket] = set()
        control.setblocking(False)
        loop.watch(control.fileno(), READ, self._accept)

    def _accept(self, events: int) -> None:
        try:
            engine, _ = self._control.accept()
        except OSError as error:
            if error.errno in OUT_OF:
                self.loop.pause(self._control, READ, self._accept)
            return
        _, user, _ = _PEER.unpack(engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if user not in self._users or len(self._engines) >= MOST_ENGINES:
            engine.close()
            return
        engine.setblocking(False)
        self._engines.add(engine)
        self.loop.watch(engine.fileno(), READ, lambda events: self._request(engine, events))

    def _request(self, engine: socket.socket, events: int) -> None:
        received: list[int] = []
        try:
            data, received = _receive(engine)
            if not data or (events & GONE and not events & READ):
                self._hang_up(engine)
                return
            version, kind, serial, body = protocol.unpack(data)
            outcome, said = self._carry_out(version, kind, body, received)
            engine.send(protocol.pack(outcome, serial, said))
            self.loop.running = kind != protocol.END
        except BlockingIOError:
            pass
        except (protocol.Malformed, OSError):
            self._hang_up(engine)
        finally:
            for descriptor in received:
                os.close(descriptor)

    def _hang_up(self, engine: socket.socket) -> None:
        self._engines.discard(engine)
        self.loop.forget(engine.fileno())
        engine.close()

    def _carry_out(
        self, version: int, kind: int, body: dict[str, object], received: list[int]
    ) -> tuple[int, dict[str, object]]:
        """The answer's kind and body. Descriptors that are taken over leave `received`."""
        if kind == protocol.END:
            return protocol.DONE, {}
        if version != protocol.VERSION:
            return _refused(f"version {version} of the protocol is not spoken, but {protocol.VERSION}")
        if kind == protocol.LIST:
            return protocol.DONE, self._listed(str(body.get("after", "")))
        identity = body.get("sandbox")
        if not isinstance(identity, str) or not identity:
            return _refused("no sandbox is named")
        if kind == protocol.REGISTER:
            return self._register(identity, View(body), received)
        if kind == protocol.UPDATE:
            return self._update(identity, View(body))
        if kind == protocol.FORGET:
            return self._forget(identity)
        return _refused(f"no such request: {kind}")

    def _listed(self, after: str) -> dict[str, object]:
        names = sorted(name for name in self.sandboxes if name > after)
        some = [self.sandboxes[name] for name in names[: protocol.LISTED_AT_ONCE]]
        rows = [{"sandbox": one.id, "port": one.port} for one in some]
        return {"pid": os.getpid(), "sandboxes": rows, "more": len(names) > len(some)}

    def _register(self, identity: str, view: View, received: list[int]) -> tuple[int, dict[str, object]]:
        """A sandbox that is known gets these sockets instead of those that it had."""
        if len(received) != _DESCRIPTORS:
            return _refused(f"{len(received)} descriptors instead of {_DESCRIPTORS}")
        held: list[socket.socket] = []
        try:
            for descriptor in tuple(received):
                held.append(socket.socket(fileno=descriptor))
                received.remove(descriptor)  # the socket's from here on: it was one
        except OSError:
            pass
        if [one.type for one in held] != [socket.SOCK_DGRAM, socket.SOCK_STREAM]:
            for one in held:
                one.close()
            return _refused("the descriptors are not a UDP socket and a TCP socket")
        for one in held:
            one.setblocking(False)
        earlier = self.sandboxes.pop(identity, None)
        if earlier is not None:
            earlier.close()
        self.sandboxes[identity] = Sandbox(self, identity, view, *held)
        return protocol.DONE, {}

    def _update(self, identity: str, view: View) -> tuple[int, dict[str, object]]:
        sandbox = self.sandboxes.get(identity)
        if sandbox is None:
            return _refused(f"no such sandbox: {identity}")
        sandbox.set_view(view)
        self._keep_tables()
        return protocol.DONE, {}

    def _forget(self, identity: str) -> tuple[int, dict[str, object]]:
        """No error when it is not known: an engine that is not sure says it twice."""
        sandbox = self.sandboxes.pop(identity, None)
        if sandbox is not None:
            sandbox.close()
            self._keep_tables()
        return protocol.DONE, {}

    def _keep_tables(self) -> None:
        self.tables.keep({network for sandbox in self.sandboxes.values() for network in sandbox.view.networks})


def _receive(engine: socket.socket) -> tuple[bytes, list[int]]:
    data, ancillary, _, _ = engine.recvmsg(
        protocol.MOST_BYTES, socket.CMSG_SPACE(_DESCRIPTORS * 4), socket.MSG_CMSG_CLOEXEC
    )
    received: list[int] = []
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received += array.array("i", raw[: len(raw) - len(raw) % 4])
    return data, received


def _refused(text: str) -> tuple[int, dict[str, object]]:
    return protocol.REFUSED, {"error": text}
