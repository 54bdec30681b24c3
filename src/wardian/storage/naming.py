"""Whose turn it is to replace what a name stands for: one writer at a time on a file system, whoever's files those are.

Two containers may have the same volume, so this is no matter of one container's view. It is one of a file system's: a
hard link and what it links to are on the same one, and one that does not answer keeps nobody waiting elsewhere.
"""

import os
import threading
import weakref


class Naming:
    """Thread-safe. Shared by all who write the same files by names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: weakref.WeakValueDictionary[int, threading.Lock] = weakref.WeakValueDictionary()

    def turn(self, directory: int) -> threading.Lock:
        """To be held while names in this open directory are cleared and made anew."""
        device = os.fstat(directory).st_dev  # may have to wait for its file system: nobody else does with it
        with self._lock:
            return self._turns.setdefault(device, threading.Lock())
