"""An event loop of the size that this process needs: epoll(7), a handler for each descriptor, and a heap of timers.

Readiness is level-triggered and every handler reads once: whoever asks much waits behind the others. A handler that
raises is reported once and its event dropped; the process goes on for all the others.
"""

import errno
import heapq
import select
import socket
import sys
import time
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
GONE = select.EPOLLHUP | select.EPOLLERR  # told unasked, again and again until the descriptor is closed
OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2): what may be there again later
_BATCH = 64
_LOOK_AGAIN_SECONDS = 1.0
_REPORTS = 20  # tracebacks written in a life: a log must not fill the run root, which may be memory

Handler = Callable[[int], None]


class Timer:
    """A call that is to come. `cancel` may be called at any time."""

    __slots__ = ("_order", "call", "due")

    def __init__(self, due: float, order: int, call: Callable[[], None]) -> None:
        self.due = due
        self._order = order
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None

    def __lt__(self, other: "Timer") -> bool:
        return (self.due, self._order) < (other.due, other._order)


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._timers: list[Timer] = []
        self._made = 0
        self._reports = 0
        self.running = True

    def watch(self, fd: int, events: int, handler: Handler) -> None:
        self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """To be called before `fd` is closed; no error when it is not watched."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def pause(self, listener: socket.socket, events: int, handler: Handler) -> None:
        """Watch `listener` again in a moment: what it could not accept stays in its queue, and this would spin."""
        self.forget(listener.fileno())

        def again() -> None:
            if listener.fileno() >= 0:  # not closed meanwhile
                self.watch(listener.fileno(), events, handler)

        self.after(_LOOK_AGAIN_SECONDS, again)

    def after(self, seconds: float, call: Callable[[], None]) -> Timer:
        self._made += 1
        timer = Timer(time.monotonic() + seconds, self._made, call)
        heapq.heappush(self._timers, timer)
        return timer

    def run(self) -> None:
        """Until `running` is set to False."""
        poll, handlers = self._epoll.poll, self._handlers
        while self.running:
            for fd, events in poll(self._patience(), _BATCH):
                handler = handlers.get(fd)
                if handler is not None:
                    try:
                        handler(events)
                    except Exception as error:
                        self._report(error)

    def _patience(self) -> float:
        """Makes the calls that are due; returns how long it is until the next."""
        timers = self._timers
        while timers and self.running:
            call = timers[0].call
            wait = timers[0].due - time.monotonic()
            if call is not None and wait > 0:
                return wait
            heapq.heappop(timers)
            if call is not None:
                try:
                    call()
                except Exception as error:
                    self._report(error)
        return -1 if self.running else 0

    def _report(self, error: Exception) -> None:
        """Without the module traceback: 0.5 MB that is hoped never to be needed, in a file that nobody may not read."""
        self._reports += 1
        if self._reports <= _REPORTS:
            sys.__excepthook__(type(error), error, error.__traceback__)
