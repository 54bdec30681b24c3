"""One sandbox's two sockets, in its namespace: questions come in, and are answered from its networks or passed on."""

import itertools
import socket
from collections.abc import Callable, Sequence

from . import message
from .forward import Asker, Reply
from .loop import OUT_OF, READ
from .stream import Stream

TYPE_CHECKING = False  # typing itself is 1 MB
if TYPE_CHECKING:
    from .service import Service

LONGEST_QUESTION = 4096  # EDNS options and all; nothing that asks is longer
MOST_STREAMS = 32
# Whole answers are kept for the packets that are asked again and again (but for the id, they are the same): after an
# idle moment, with cold caches, this halves the time of an answer.
_MOST_KEPT, _LONGEST_KEPT, _MOST_TURNS = 64, 512, 8
_OURSELVES = "127.0.0.11"  # in a sandbox this address is the resolver: it would ask itself


class View:
    """What one sandbox may know, as the engine said it.

    `networks`: ids, in the order in which names are looked up. `upstream`: servers, () for the host's. `inside`: they
    are asked from the sandbox's namespace. `internal`: nothing is passed on. `search`: domains that resolv.conf has.
    `links`: (network, name that is asked for, name that is looked up there instead).
    """

    __slots__ = ("inside", "internal", "links", "networks", "search", "upstream")

    def __init__(self, body: dict[str, object]) -> None:
        self.networks = _texts(body.get("networks"))
        self.upstream = _texts(body.get("upstream"))
        self.inside = body.get("inside") is True
        self.internal = body.get("internal") is True
        self.search = _texts(body.get("search"))
        links = body.get("links")
        self.links = tuple(filter(_is_link, map(_texts, links if isinstance(links, list) else ())))
        if self.inside:
            self.upstream = tuple(server for server in self.upstream if server != _OURSELVES)


class Sandbox:
    """Owns both sockets. `view` may be replaced."""

    def __init__(self, service: "Service", identity: str, view: View, datagrams: socket.socket, streams: socket.socket):
        self.id = identity
        self._service = service
        self._datagrams = datagrams
        self._listener = streams
        self._streams: set[Stream] = set()
        self._asker = Asker()
        self._kept: dict[bytes, Callable[[], bytes]] = {}
        self._kept_since = b""
        self.set_view(view)
        service.loop.watch(datagrams.fileno(), READ, self._datagram)
        service.loop.watch(streams.fileno(), READ, self._connection)

    @property
    def port(self) -> int:
        port: int = self._datagrams.getsockname()[1]
        return port

    def set_view(self, view: View) -> None:
        self.view = view
        self._kept.clear()
        self._asker.inside = self._datagrams if view.inside else None
        self._links: dict[bytes, list[tuple[str, bytes]]] = {}
        for network, asked, name in view.links:
            self._links.setdefault(message.wire_name(asked), []).append((network, message.wire_name(name)))
        self._search = tuple(wire for wire in map(message.wire_name, view.search) if len(wire) > 1)

    def close(self) -> None:
        for held in (self._datagrams, self._listener):
            self._service.loop.forget(held.fileno())
            held.close()
        for stream in tuple(self._streams):
            stream.close()

    def ask(self, packet: bytes, reply: Reply, stream: bool) -> bool:
        """Answer `packet`, or have it answered: `reply` is called once. False: it is no question and gets no reply."""
        question = message.parse(packet)
        if question == message.DROP:
            return False
        if isinstance(question, int):
            reply(message.refusal(packet, question))
        else:
            self._ask(packet, question, reply, stream)
        return True

    def _ask(self, packet: bytes, question: message.Question, reply: Reply, stream: bool) -> None:
        view = self.view
        if question.space == message.INTERNET:
            records = self._find(question.name, question.kind)
            if records is None and view.internal:
                records = self._without_search(question)
            if records is not None:
                limit = message.STREAM_LIMIT if stream else question.datagram_limit
                reply(message.answer(packet, question, records, limit))
                if not stream:
                    self._keep(packet, question, records)
                return
        if view.internal:
            reply(message.refusal(packet, message.SERVFAIL))
            return
        servers = view.upstream or (() if view.inside else self._service.host.read())
        self._service.forwarder.forward(self._asker, packet, servers, reply, stream)

    def _find(self, name: bytes, kind: int) -> Sequence[bytes] | None:
        """What this sandbox calls somebody comes before what others are called; a link may be on several networks, of
        which the other is on some."""
        known: Sequence[bytes] | None = None
        for network, linked in self._links.get(name, ()):
            found = self._service.tables.find((network,), linked, kind)
            if found:
                return found
            known = found if known is None else known
        return known if known is not None else self._service.tables.find(self.view.networks, name, kind)

    def _without_search(self, question: message.Question) -> Sequence[bytes] | None:
        """A known name with one of the search domains behind it, where nobody else could know it.

        musl ends its search at the first server failure, and would never ask for the bare name. Where questions are
        passed on, the domain's own servers are asked first: a name of theirs must not be hidden.
        """
        for domain in self._search:
            if question.name.endswith(domain) and len(question.name) > len(domain):
                bare = question.name[: -len(domain)] + b"\0"
                records = self._find(bare, question.kind)
                if records is not None:
                    return records
        return None

    def _keep(self, packet: bytes, question: message.Question, records: Sequence[bytes]) -> None:
        """The answers to this packet, one for each turn of its records."""
        if len(packet) > _LONGEST_KEPT or len(records) > _MOST_TURNS:
            return
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        turns = (tuple(records[at:]) + tuple(records[:at]) for at in range(1, max(1, len(records)) + 1))
        limit = question.datagram_limit
        answers = [message.answer(packet, question, turn, limit)[2:] for turn in turns]
        self._kept[packet[2:]] = itertools.cycle(answers).__next__

    def _datagram(self, events: int) -> None:
        datagrams, tables = self._datagrams, self._service.tables
        try:
            packet, client = datagrams.recvfrom(LONGEST_QUESTION)
            if self._kept_since == tables.generation():
                kept = self._kept.get(packet[2:])
                if kept is not None:
                    datagrams.sendto(packet[:2] + kept(), client)
                    return
            else:
                self._kept.clear()
                self._kept_since = tables.generation()
        except OSError:  # nothing there, or the asker has gone, or its buffer is full: as on any network, it asks again
            return

        def reply(answer: bytes) -> None:
            try:
                datagrams.sendto(answer, client)
            except OSError:
                pass

        self.ask(packet, reply, False)

    def _connection(self, events: int) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in OUT_OF:
                self._service.loop.pause(self._listener, READ, self._connection)
            return
        connection.setblocking(False)
        if len(self._streams) >= MOST_STREAMS:
            connection.close()
            return
        self._streams.add(Stream(self._service.loop, connection, self.ask, self._streams.discard, LONGEST_QUESTION))


def _is_link(link: tuple[str, ...]) -> bool:
    return len(link) == 3


def _texts(value: object) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
