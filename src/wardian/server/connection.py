"""One client's connection: HTTP/1.1, one request at a time, a handler in a task of its own.

    bytes ─▶ Http1 ─▶ Head ──▶ task: router → handler → reply ─▶ Http1 ─▶ bytes
                      bytes ─▶ Body (bounded: past its mark the socket is not read)

A route that is handed over (handover.py) stops reading at the end of its request, so that nothing of what follows
enters this process but what came in the same read: what then waits in Http1.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from wardian.caller import calling
from wardian.errors import NOT_IMPLEMENTED, STATUS, WardianError
from wardian.server.body import Body
from wardian.server.callers import Caller, Told, peer
from wardian.server.errors import explain_error, log_error
from wardian.server.handover import ClientGone, detach
from wardian.server.heads import Head, Refused, encode_fields
from wardian.server.http1 import END, LEFT, WITHOUT_CONTENT, Http1
from wardian.server.messages import JSON_BODY_LIMIT, Answer, Handover, Reply, Request, Streamed, Upgraded, json_answer
from wardian.server.query import Query
from wardian.server.refusals import reason
from wardian.server.routes import HANDED_OVER, PLAIN, READ, STREAM, UPGRADED, Route
from wardian.server.routing import clean_path

if TYPE_CHECKING:
    from wardian.server.application import Application

log = logging.getLogger("wardian.server")

_PIPELINE_LIMIT = 64 << 10
_DISCARD_SECONDS = 2.0
_INTERNAL = Route("GET", "", "", "read")


class Connection(asyncio.Protocol):
    """What asyncio calls. `application` has the routes, the handlers and the engine; `caller` is who is known to be at
    the other end (of a relay's socket it is not the peer)."""

    def __init__(self, application: Application, caller: Caller | None = None) -> None:
        self._application = application
        self._caller = caller
        self._told: Told | None = None
        self._loop = asyncio.get_running_loop()
        self._http = Http1()
        self._task: asyncio.Task[None] | None = None
        self._body: Body | None = None
        self._kind = PLAIN
        self._pauses: set[str] = set()
        self._client_left = False
        self._handed_over = False
        self._writable: asyncio.Future[None] | None = None
        self._discarding: asyncio.TimerHandle | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._caller is None:
            self._caller = peer(transport.get_extra_info("socket"))
        self._application.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._http.receive(data)
        self._advance()

    def eof_received(self) -> bool:
        """True keeps the transport: a client may end its side and still read its answer."""
        self._http.receive_end()
        self._advance()
        return not self._transport.is_closing()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        self._wake_writer()

    def connection_lost(self, error: Exception | None) -> None:
        self._application.connections.discard(self)
        self._wake_writer()
        if not self._handed_over:
            self._leave()

    # Reading.

    def _advance(self) -> None:
        """Takes what there is, as far as it goes."""
        while True:
            try:
                event = self._http.next_event()
            except Refused as error:
                self._refuse(error)
                return
            if isinstance(event, Head):
                self._begin(event)
            elif isinstance(event, bytes):
                if self._body is not None:
                    self._body.feed(event)
            elif event is END:
                self._end_of_request()
            elif event is LEFT:
                self._leave()
                return
            else:
                self._pause("pipeline", self._http.waiting > _PIPELINE_LIMIT)
                return

    def _begin(self, head: Head) -> None:
        self._body = Body(self._continue, lambda on: self._pause("body", on))
        path, mark, query = head.target.partition("?")
        self._kind = PLAIN
        try:
            if (decoded := unquote(path)) != (cleaned := clean_path(decoded)):
                self._start(self._redirect(quote(cleaned) + mark + query))
                return
            match = self._application.router.match(head.method, decoded)
        except WardianError as error:
            self._start(self._answer_error(error, f"{head.method} {path}"))
            return
        self._kind = match.route.kind
        assert self._caller is not None
        request = Request(
            self._application.engine,
            match.route,
            match.parameters,
            Query(query),
            head.fields,
            match.version,
            self._caller,
            self._body,
            self._application.shut_down,
            self._application.times,
        )
        self._start(self._serve(request))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A cancelled answer (the client left a stream, the engine closes) has no end: the connection goes."""
        if task.cancelled():
            self._transport.abort()

    def _end_of_request(self) -> None:
        if self._body is not None:
            self._body.feed_end()
        if self._kind in (HANDED_OVER, UPGRADED) and self._task is not None:
            self._pause("handover", True)
        if self._task is None:  # the rest of an upload whose answer is already out
            self._next_request()

    def _leave(self) -> None:
        """The client is gone, or has ended its side."""
        self._client_left = True
        if self._task is None:
            self._transport.close()
            return
        if self._body is not None and not self._body.ended:
            self._body.feed_end(broken=True)
        if self._kind == STREAM:
            self._task.cancel()

    def _refuse(self, error: Refused) -> None:
        """Not HTTP, or too long: one answer, of the operation under way if there is one, then the end."""
        if self._task is not None:
            if self._body is not None and not self._body.ended:
                self._body.feed_end(broken=True)
            self._client_left = True
            return
        if not self._http.begun:
            told = json_answer({"message": f"bad request: {error}"}, error.status)
            self._write_answer(told.encoded(_INTERNAL, (1, 51)))
        self._transport.close()

    def _pause(self, reason: str, on: bool) -> None:
        (self._pauses.add if on else self._pauses.discard)(reason)
        if self._transport.is_closing():
            return
        if self._pauses:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _continue(self) -> None:
        if said := self._http.go_on():
            self._transport.write(said)

    # Answering.

    async def _serve(self, request: Request) -> None:
        route = request.route
        what = f"{route.method} {route.template}"
        try:
            await self._admit(request)
            if not route.handler:
                message = f"{what} is not built yet in Wardian"
                raise WardianError(NOT_IMPLEMENTED, message, operation=what, hint=reason(route))
            reply = await self._reply(request)
            await self._send_reply(request, reply)
        except (ConnectionError, ClientGone):
            self._transport.abort()
        except Exception as error:  # the boundary: everything a handler raises becomes an answer
            await self._answer_error(error, what)
        else:
            self._finish()

    async def _reply(self, request: Request) -> Reply:
        """What the handler says, timed."""
        times, begun = self._application.times, time.perf_counter()
        try:
            reply = await self._application.handler(request.route)(request)
        except Exception as error:
            times.add(request.route, time.perf_counter() - begun, STATUS[explain_error(error).kind])
            raise
        status = reply.status if isinstance(reply, Answer) else 200
        times.add(request.route, time.perf_counter() - begun, status)
        return reply

    async def _admit(self, request: Request) -> None:
        """The caller is known to the operation from here on. Raises WardianError when they may not ask for it."""
        policy, caller = self._application.policy, request.caller
        user = await self._application.users.name(caller.uid) if policy.asks_for_user(caller) else ""
        policy.check(caller, request.route, user)
        heard = log.isEnabledFor(logging.DEBUG)
        if request.route.access == READ and not heard:
            return  # nobody asks who looked
        if self._told is None:
            self._told = Told(caller)
        calling(self._told)
        if heard:
            named = " ".join(request.parameters.values())
            log.debug("%s %s %s by %s", request.route.method, request.route.template, named, self._told)

    async def _answer_error(self, error: Exception, what: str) -> None:
        log_error(what, error)
        if self._handed_over:
            return
        if self._http.begun:
            # The head is out: a body without its end says that something went wrong.
            self._transport.abort()
            return
        told = explain_error(error)
        self._write_answer(json_answer({"message": str(told)}, STATUS[told.kind]).encoded(_INTERNAL, (1, 51)))
        self._finish()

    async def _redirect(self, target: str) -> None:
        self._write_answer(Answer(301, headers=(("Location", target),)))
        self._finish()

    async def _send_reply(self, request: Request, reply: Reply) -> None:
        if isinstance(reply, Answer):
            self._write_answer(reply.encoded(request.route, request.version))
            await self._drain()
        elif isinstance(reply, Streamed):
            await self._send_stream(reply)
        else:
            await self._give_away(reply)

    def _write_answer(self, answer: Answer) -> None:
        """A whole response in one write."""
        fields = self._application.fields
        if answer.headers:
            fields += encode_fields(answer.headers)
        if answer.content_type and answer.status not in WITHOUT_CONTENT:
            fields += _content_type(answer.content_type)
        self._transport.write(self._http.answer(answer.status, fields, answer.content))

    async def _send_stream(self, reply: Streamed) -> None:
        pieces, write = reply.pieces, self._transport.write
        try:
            first = b"" if reply.eager else await anext(pieces, b"")
            fields = self._application.fields + encode_fields(reply.headers) + _content_type(reply.content_type)
            write(self._http.start(200, fields))
            if first:
                write(self._http.piece(first))
            async for piece in pieces:
                if piece:
                    write(self._http.piece(piece))
                    await self._drain(reply.patience)
            write(self._http.finish())
            await self._drain(reply.patience)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def _give_away(self, reply: Handover | Upgraded) -> None:
        """The socket itself goes to others, or another protocol has the transport for as long as it talks."""
        assert self._body is not None
        await self._body.read(JSON_BODY_LIMIT)
        early = self._http.take_waiting()
        if self._transport.is_closing():
            raise ClientGone
        if isinstance(reply, Handover):
            duplicate = await detach(self._transport, reply, self._http.offers_upgrade, self._drain)
            self._handed_over = True
            self._transport.close()
            await reply.take(duplicate, early)
            return
        self._transport.write(reply.head)
        self._handed_over = True
        try:
            await reply.talk(self._transport, early)
        finally:
            self._application.connections.discard(self)

    async def _drain(self, patience: float = 0.0) -> None:
        """Waits while the client reads slower than we write. Raises ClientGone when it left, or read nothing for
        `patience` seconds (0: it may take its time)."""
        if self._writable is not None:
            try:
                await asyncio.wait_for(asyncio.shield(self._writable), patience or None)
            except TimeoutError:
                self._transport.abort()
                raise ClientGone from None
        if self._transport.is_closing():
            raise ClientGone

    def _wake_writer(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _finish(self) -> None:
        """The answer is out: the next request, or the end."""
        self._task = None
        if self._handed_over:
            return
        if self._http.in_body and not self._client_left:
            # An answer that came before the end of an upload: closing now would take the answer from the client.
            self._body = None
            self._pauses.clear()
            self._transport.resume_reading()
            self._discarding = self._loop.call_later(_DISCARD_SECONDS, self._transport.close)
            return
        self._next_request()

    def _next_request(self) -> None:
        if self._discarding is not None:
            self._discarding.cancel()
            self._discarding = None
        self._body = None
        if self._client_left or not self._http.next_request():
            self._transport.close()
            return
        self._pauses.clear()
        self._transport.resume_reading()
        self._advance()

    def stop(self) -> None:
        """The engine closes: idle connections and streams end, a short operation is left to finish."""
        if self._task is None:
            self._transport.close()
        elif self._kind in (STREAM, UPGRADED):
            self._task.cancel()

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()


@functools.lru_cache(maxsize=64)
def _content_type(value: str) -> bytes:
    return encode_fields((("Content-Type", value),))
