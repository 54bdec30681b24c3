"""SIGHUP: the configuration file is read again. What a running engine can take on it takes, the rest is named."""

import argparse
import logging
import os
from typing import TYPE_CHECKING

from wardian.errors import WardianError
from wardian.server import command_line
from wardian.server.config_file import Settings, apply_file

if TYPE_CHECKING:
    from wardian.engine import Defaults, Engine

log = logging.getLogger("wardian.server")

_TAKEN_ON = frozenset("debug labels default-ulimits default-shm-size dns dns-opts dns-search".split())


class Reload:
    """What the engine was started with."""

    def __init__(self, arguments: list[str] | None, settings: Settings) -> None:
        self._arguments = arguments
        self._settings = settings

    def __call__(self, engine: "Engine") -> None:
        """A file that cannot be used changes nothing."""
        given = command_line.read(self._arguments)
        try:
            found = apply_file(given, lambda: command_line.explicit(self._arguments))
            defaults = defaults_of(given)
        except (WardianError, OSError) as error:
            log.error("the configuration was not read again: %s", error)
            return
        changed = {key for key in (*self._settings, *found) if self._settings.get(key) != found.get(key)}
        log_level(given.debug)
        engine.redefine(defaults)
        if waits := sorted(changed - _TAKEN_ON):
            log.warning("configuration: what changed of %s takes effect when the engine is started again", waits)
        log.info("configuration read again: %s", ", ".join(sorted(changed & _TAKEN_ON)) or "nothing is new")
        self._settings = {**self._settings, **{key: found.get(key) for key in changed & _TAKEN_ON}}


def log_level(debug: bool) -> None:
    logging.getLogger().setLevel(logging.DEBUG if debug else logging.INFO)


def defaults_of(given: argparse.Namespace) -> "Defaults":
    """What containers have that do not say. Raises WardianError."""
    from wardian.engine import read_defaults

    return read_defaults(
        given.default_ulimit, given.default_shm_size, given.dns, given.dns_opt, given.dns_search, given.label
    )


def has_terminal() -> bool:
    """Whether a terminal controls this process, whose end SIGHUP tells then (credentials(7))."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
