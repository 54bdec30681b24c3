"""Whether somebody else changed the kernel's tables, and whether that concerns us.

The kernel numbers every commit (the generation) and tells what was in it and which thread did it. Those of our own are
known by their number, and where others came between, by the thread, whose number is learnt from the former (an engine
in a container does not know how the kernel counts it); of the others, those matter that touch our tables, or base
chains and the chains in which a marked rule of ours stands.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from wardian.kernel.nftables import DEL_RULE, NEW_RULE, NEW_TABLE, Change, Generation, Notifications, Transaction

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
        self._mixed: set[int] = set()  # our own, and others' that came between
        self._thread = 0
        self._changing = False
        self._seen = -1  # the generation up to which all is as we want it
        self._doubt = True
        self._found = NOTHING  # what was told, and is not answered yet

    def fileno(self) -> int:
        return self._notifications.fileno()

    @contextmanager
    def ours(self, commits: int = 1) -> Iterator[None]:
        """Around transactions of our own, as many as `commits`. What is told meanwhile is left for later: it may be
        of one that is not known as ours yet."""
        with self._lock:
            before = self._generation.read()
            self._changing = True
        try:
            yield
        finally:
            with self._lock:
                self._changing = False
                after = self._generation.read()
                if (after - before) & 0xFFFFFFFF == commits:
                    self._own.update(range(before + 1, after + 1))
                    if before == self._seen:
                        self._seen = after
                else:
                    self._mixed.update(range(before + 1, after + 1))

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
            return self._quiet()

    def settled(self) -> bool:
        """`quiet`, and what is told of our own changes is read away, so that the descriptor is not readable for it."""
        with self._lock:
            if self._changing or not self._quiet():
                return False
            self._found = self._take()  # what came just now is not told again
            return self._found == NOTHING

    def take(self) -> Touched:
        """What others changed since the last time."""
        with self._lock:
            return self._take()

    def _quiet(self) -> bool:
        return not self._doubt and self._found == NOTHING and self._generation.read() == self._seen

    def _take(self) -> Touched:
        before, self._found = self._found, NOTHING
        now = self._generation.read()
        transactions, complete = self._notifications.take()
        strangers = [one for one in transactions if not self._is_ours(one)]
        # Numbers that were told are not told again.
        for told in (self._own, self._mixed):
            told.difference_update(one.generation for one in transactions)
        quiet, self._doubt, doubted = now == self._seen, False, self._doubt
        if doubted or (not complete and not quiet):
            self._seen = now
            return EVERYTHING
        if transactions:
            self._seen = max(self._seen, transactions[-1].generation)
        found = [judge(change, self._is_own, self._is_watched) for one in strangers for change in one.changes]
        return Touched(any(one.own for one in (before, *found)), any(one.foreign for one in (before, *found)))

    def _is_ours(self, one: Transaction) -> bool:
        if one.generation in self._own:
            self._thread = one.thread
            return True
        return one.generation in self._mixed and one.thread == self._thread != 0

    def close(self) -> None:
        self._generation.close()
        self._notifications.close()
