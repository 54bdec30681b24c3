"""`python -m wardian.server`: the engine in the foreground. `wardian` starts it so when none runs."""

import argparse
import gc
import logging
import os
import sqlite3
import sys
from typing import TYPE_CHECKING

from wardian.errors import INVALID, WardianError
from wardian.home import Home, make_home
from wardian.server import command_line
from wardian.server.config_file import apply_file
from wardian.server.reload import Reload, defaults_of, log_level

if TYPE_CHECKING:
    from wardian.server.listening import Tls


def main(arguments: list[str] | None = None) -> int:
    gc.disable()  # imports make what stays, and a collection finds nothing there: serve() has them again
    given = command_line.read(arguments)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    from wardian.server.callers import read_policy
    from wardian.server.listening import read_endpoints
    from wardian.server.metrics_listener import read_address
    from wardian.server.serve import serve

    try:
        settings = apply_file(given, lambda: command_line.explicit(arguments))
        log_level(given.debug)
        defaults = defaults_of(given)
        endpoints = read_endpoints(given.host, _tls(given), given.group)
        given.socket = given.socket or next(iter(endpoints.unix), "")
        home = _home(given)
        serve(
            home,
            endpoints,
            read_policy(given.allow),
            read_address(given.metrics_addr),
            defaults,
            Reload(arguments, settings),
        )
    except (WardianError, OSError, sqlite3.Error) as error:
        print(f"wardian serve: {_sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _home(given: argparse.Namespace) -> Home:
    return make_home(
        os.path.abspath(given.data_root),
        os.path.abspath(given.run_root),
        os.path.abspath(given.socket) if given.socket else "",
        cgroup_base=given.cgroup_base,
        network_backend=given.firewall_backend,
        bridge=given.bridge,
        address_pools=tuple(given.default_address_pool),
        respect_host_firewall=given.respect_host_firewall,
        ip_forward_no_drop=given.ip_forward_no_drop,
        init=given.init,
        userns_remap=given.userns_remap,
        subids=os.path.abspath(given.subid_dir),
        log_driver=given.log_driver,
        log_options=_log_options(given.log_opt),
        journal_socket=given.journal_socket,
    )


def _log_options(given: list[str]) -> tuple[tuple[str, str], ...]:
    for text in given:
        if "=" not in text:
            raise WardianError(INVALID, f"invalid logging option {text!r}: it is key=value", operation="serve")
    return tuple((key, value) for key, _, value in (text.partition("=") for text in given))


def _tls(given: argparse.Namespace) -> "Tls | None":
    """The files of TLS, if it was asked for. Raises WardianError for TLS that knows no clients."""
    from wardian.server.listening import Tls

    if given.tls and not given.tlsverify:
        message = "refused --tls alone: clients would not be known; give --tlsverify"
        raise WardianError(INVALID, message, operation="serve")
    if not given.tlsverify:
        return None
    missing = [name for name in ("tlscacert", "tlscert", "tlskey") if not getattr(given, name)]
    if missing:
        raise WardianError(INVALID, f"--tlsverify needs --{', --'.join(missing)}", operation="serve")
    return Tls(*(os.path.abspath(path) for path in (given.tlscacert, given.tlscert, given.tlskey)))


def _sentence(error: Exception) -> str:
    if isinstance(error, sqlite3.Error):
        return f"the state database cannot be used: {error}"
    if isinstance(error, PermissionError):
        return f"{error} (the engine needs root)"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
