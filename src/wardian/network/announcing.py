"""Whose an address is now, told to the neighbours while the container starts.

Each port of a bridge gets such a frame, and each namespace behind one works on it: 3 ms where there are 500. So it is
no part of a start's way: a thread of its own sends what was handed over, in that order, so that of two owners of an
address the later one has the last word.
"""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from wardian.kernel import netns
from wardian.kernel.neighbours import announcement, send_frames

log = logging.getLogger(__name__)


class Announcement(NamedTuple):
    """`addresses`, IPv4 and IPv6, are at `mac`, behind `interface` of a namespace."""

    interface: str
    mac: str
    addresses: tuple[str, ...]


class Announcer:
    """Used from any thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network-announcer")

    def send(self, netns_fd: int, what: Sequence[Announcement]) -> None:
        """Soon. `netns_fd` stays the caller's. Raises RuntimeError when there is no thread for it, or none any more."""
        if not what:
            return
        own = os.dup(netns_fd)
        try:
            self._thread.submit(_send, own, what)
        except BaseException:
            os.close(own)
            raise

    def close(self) -> None:
        """What was handed over is sent first."""
        self._thread.shutdown()


def _send(netns_fd: int, what: Sequence[Announcement]) -> None:
    try:
        netns.run_inside(netns_fd, lambda: _send_all(what))
    except OSError as error:
        log.warning("a namespace whose addresses were to be announced cannot be entered: %s", error)
    finally:
        os.close(netns_fd)


def _send_all(what: Sequence[Announcement]) -> None:
    """Who lives there may have renamed a link by now, or set it down."""
    for one in what:
        try:
            send_frames(one.interface, [announcement(one.mac, address) for address in one.addresses])
        except OSError as error:
            log.info("%s of %s is not announced: %s", ", ".join(one.addresses), one.interface, error)
