"""Whether somebody else changed the kernel's tables, and whether that concerns us.

The kernel numbers every commit (the generation) and tells what was in it. Those of our own are known by their number;
of the others, those matter that touch our tables, or base chains and the chains in which a marked rule of ours stands.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from wardian.kernel.nftables import DEL_RULE, NEW_RULE, NEW_TABLE, Change, Generation, Notifications

# Of what nf_tables numbers above its rules (sets, elements, objects), only our own tables' concern us.
_STRUCTURE = range(NEW_TABLE, DEL_RULE + 1)


class Touched(NamedTuple):
    """What others changed: rules of our own, or the chains of others in which they might be dropped."""

    own: bool
    foreign: bool


NOTHING, EVERYTHING = Touched(False, False), Touched(True, True)


def judge(change: Change, is_own: Callable[[Change], bool], is_watched: Callable[[Change], bool]) -> Touched:
    """What one change of somebody else means for us.

    A rule that was taken away may have been our marked one. One that was added matters where it may stop what we
    forward: in a base chain at the hook forward (`is_watched`); a busy Docker adds its own elsewhere.
    """
    if is_own(change):
        return Touched(True, False)
    return Touched(False, change.kind in _STRUCTURE and (change.kind != NEW_RULE or is_watched(change)))


class Changes:
    """Sockets to the kernel's notifications. `settled` is for any thread, all else for the firewall's."""

    def __init__(self, is_own: Callable[[Change], bool], is_watched: Callable[[Change], bool]) -> None:
        self._is_own = is_own
        self._is_watched = is_watched
        self._generation = Generation()
        try:
            self._notifications = Notifications()
        except BaseException:
            self._generation.close()
            raise
        self._lock = threading.Lock()
        self._own: set[int] = set()
        self._seen = -1  # the generation up to which all is as we want it
        self._doubt = True

    def fileno(self) -> int:
        return self._notifications.fileno()

    @contextmanager
    def ours(self, commits: int = 1) -> Iterator[None]:
        """Around transactions of our own, as many as `commits`. Where others came between, all count as theirs."""
        with self._lock:
            before = self._generation.read()
        yield
        with self._lock:
            after = self._generation.read()
            if (after - before) & 0xFFFFFFFF == commits:
                self._own.update(range(before + 1, after + 1))
                if before == self._seen:
                    self._seen = after

    @contextmanager
    def answered(self) -> Iterator[None]:
        """Around making everything anew: what others changed before is answered by it, unless it fails."""
        pending = self.take()
        try:
            yield
        except BaseException:
            if pending != NOTHING:
                self.doubt()
            raise

    def doubt(self) -> None:
        """Nothing is known to stand: the next `take` says so."""
        self._doubt = True

    def quiet(self) -> bool:
        """Whether nobody but us changed anything since the last `take`. Microseconds."""
        with self._lock:
            return not self._doubt and self._generation.read() == self._seen

    def settled(self) -> bool:
        """`quiet`, and what is told of our own changes is read away, so that the descriptor is not readable for it."""
        if not self.quiet():
            return False
        if self.take() != NOTHING:  # just now: it is not told again
            self.doubt()
            return False
        return True

    def take(self) -> Touched:
        """What others changed since the last time."""
        with self._lock:
            now = self._generation.read()
            transactions, complete = self._notifications.take()
            strangers = [one for one in transactions if one.generation not in self._own]
            # Numbers that were told are not told again.
            self._own.difference_update(one.generation for one in transactions)
            quiet, self._doubt, doubted = now == self._seen, False, self._doubt
            if doubted or (not complete and not quiet):
                self._seen = now
                return EVERYTHING
            if transactions:
                self._seen = max(self._seen, transactions[-1].generation)
            found = [judge(change, self._is_own, self._is_watched) for one in strangers for change in one.changes]
            return Touched(any(one.own for one in found), any(one.foreign for one in found))

    def close(self) -> None:
        self._generation.close()
        self._notifications.close()
