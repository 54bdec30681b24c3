"""What a bridge that was the host's own had before a network of ours was put on it, so that it is given back.

Kept in a file by the link's number and by boot: a link that was made anew has nothing of ours.
"""

import json
import logging
import os
from collections.abc import Callable

from wardian.kernel.procfs import boot_id

log = logging.getLogger(__name__)

# by what was changed (a sysctl, "mtu"): before, and as we set it
Values = dict[str, tuple[str, str]]


class Borrowed:
    """Used in the network's thread. Without a path nothing outlives this."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._links: dict[str, Values] = _read(path) if path else {}

    def change(self, index: int, what: str, before: str, ours: str) -> None:
        """Before it is changed. What was first stays."""
        values = self._links.setdefault(str(index), {})
        values[what] = (values[what][0] if what in values else before, ours)
        self._keep()

    def give_back(self, index: int, read: Callable[[str], str | None], write: Callable[[str, str], None]) -> None:
        """What somebody has changed since is his."""
        values = self._links.pop(str(index), {})
        for what, (before, ours) in values.items():
            if read(what) == ours:
                write(what, before)
        if values:
            self._keep()

    def _keep(self) -> None:
        if not self._path:
            return
        os.makedirs(os.path.dirname(self._path), mode=0o711, exist_ok=True)
        new = f"{self._path}.new"
        with open(new, "w") as file:
            json.dump({"boot": boot_id(), "links": self._links}, file)
        os.rename(new, self._path)


def _read(path: str) -> dict[str, Values]:
    """Nothing from another boot, or from a file that nobody can read."""
    try:
        with open(path) as file:
            kept = json.load(file)
        if kept["boot"] != boot_id():
            return {}
        return {
            str(index): {str(what): (str(before), str(ours)) for what, (before, ours) in values.items()}
            for index, values in kept["links"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("what links of the host had before is not known, and stays as it is: %s: %s", path, error)
        return {}
