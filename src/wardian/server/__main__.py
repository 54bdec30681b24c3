"""`python -m wardian.server`: the engine in the foreground. `wardian` starts it so when none runs."""

import argparse
import logging
import os
import sqlite3
import sys
from typing import TYPE_CHECKING

from wardian.errors import INVALID, WardianError
from wardian.home import DEFAULT_DATA_ROOT, DEFAULT_RUN_ROOT, make_home

if TYPE_CHECKING:
    from wardian.server.listening import Tls


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="wardian serve", description="Run a Wardian engine in the foreground.")
    parser.add_argument("--data-root", default=DEFAULT_DATA_ROOT, help="what a reboot must not lose (%(default)s)")
    parser.add_argument("--run-root", default=DEFAULT_RUN_ROOT, help="what it may (%(default)s)")
    parser.add_argument("--socket", default="", help="the API's unix socket (RUN_ROOT/wardian.sock)")
    _add_endpoints(parser)
    parser.add_argument("--cgroup-base", default="wardian", help="group below which containers live (%(default)s)")
    parser.add_argument("--bridge", default="wardian0", help="link of the default bridge network (%(default)s)")
    parser.add_argument(
        "--default-address-pool",
        action="append",
        default=[],
        metavar="base=CIDR,size=N",
        help="where networks take their subnets from, several times if need be",
    )
    parser.add_argument(
        "--firewall-backend",
        choices=("nftables", "iptables"),
        default="nftables",
        help="a table of our own, or Docker's chains of iptables (%(default)s)",
    )
    parser.add_argument(
        "--respect-host-firewall",
        action="store_true",
        help="add no rule where another firewall's chain drops what is forwarded, only report it",
    )
    parser.add_argument(
        "--ip-forward-no-drop",
        action="store_true",
        help="let pass what is forwarded between other links, too, where forwarding was off before",
    )
    parser.add_argument(
        "--init",
        action="store_true",
        help="run an init as process 1 of containers that do not say whether they want one",
    )
    parser.add_argument(
        "--metrics-addr",
        default="",
        metavar="ADDRESS:PORT",
        help="answer GET /metrics there, on a loopback address, for Prometheus (127.0.0.1:9323 for example)",
    )
    parser.add_argument(
        "--userns-remap",
        default="",
        metavar="default|USER[:GROUP]",
        help="give containers a user namespace with this user's subordinate ids",
    )
    parser.add_argument("--subid-dir", default="/etc", help="where the files subuid and subgid are (%(default)s)")
    _add_logging(parser)
    parser.add_argument("--debug", action="store_true", help="log what clients did wrong, too")
    given = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if given.debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    from wardian.server.callers import read_policy
    from wardian.server.listening import read_endpoints
    from wardian.server.metrics_listener import read_address
    from wardian.server.serve import serve

    try:
        endpoints = read_endpoints(given.host, _tls(given), given.group)
        given.socket = given.socket or next(iter(endpoints.unix), "")
        home = make_home(
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
        serve(home, endpoints, read_policy(given.allow), read_address(given.metrics_addr))
    except (WardianError, OSError, sqlite3.Error) as error:
        print(f"wardian serve: {_sentence(error)}", file=sys.stderr)
        return 1
    return 0


def _add_endpoints(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-H",
        "--host",
        action="append",
        default=[],
        metavar="ENDPOINT",
        help="listen there, too: unix:///path, tcp://address:port (with TLS), fd:// (systemd's sockets)",
    )
    parser.add_argument("--group", default="", help="group that may use the unix sockets (wardian, where there is one)")
    parser.add_argument("--tlsverify", action="store_true", help="speak TLS to clients with a certificate, over TCP")
    parser.add_argument("--tls", action="store_true", help="TLS without client certificates, which is refused")
    parser.add_argument("--tlscacert", default="", metavar="FILE", help="authority that signed the clients'")
    parser.add_argument("--tlscert", default="", metavar="FILE", help="this engine's certificate")
    parser.add_argument("--tlskey", default="", metavar="FILE", help="and its key")
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME=CLASS,…",
        help="who may do what: NAME of a certificate or user or *, classes read, run, build, push, admin",
    )


def _add_logging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-driver", default="json-file", help="where the output of containers goes that do not say (%(default)s)"
    )
    parser.add_argument(
        "--log-opt",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of that driver, as often as need be",
    )
    parser.add_argument(
        "--journal-socket",
        default="/run/systemd/journal/socket",
        metavar="PATH",
        help="journal that the driver journald writes to (%(default)s)",
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
