"""The command line of the engine: what `python -m wardian.server`, and so `wardian serve`, understands."""

import argparse
from typing import Any

from wardian.home import DEFAULT_DATA_ROOT, DEFAULT_RUN_ROOT
from wardian.server.config_file import DEFAULT


def read(arguments: list[str] | None) -> argparse.Namespace:
    """Ends the process with 2 for what it does not understand, as argparse does."""
    return _parser().parse_args(arguments)


def explicit(arguments: list[str] | None) -> dict[str, Any]:
    """What the command line itself says, without defaults."""
    parser = _parser()
    parser.set_defaults(**dict.fromkeys(vars(parser.parse_args([]))))
    return {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wardian serve", description="Run a Wardian engine in the foreground.")
    parser.add_argument(
        "--config-file",
        default="",
        metavar="FILE",
        help=f"options by the names of Docker's daemon.json ({DEFAULT})",
    )
    parser.add_argument("--data-root", default=DEFAULT_DATA_ROOT, help="what a reboot must not lose (%(default)s)")
    parser.add_argument("--run-root", default=DEFAULT_RUN_ROOT, help="what it may (%(default)s)")
    parser.add_argument("--socket", default="", help="the API's unix socket (RUN_ROOT/wardian.sock)")
    parser.add_argument("--cgroup-base", default="wardian", help="group below which containers live (%(default)s)")
    _add_endpoints(parser)
    _add_network(parser)
    _add_containers(parser)
    _add_logging(parser)
    parser.add_argument("--debug", action="store_true", help="log what clients did wrong, too")
    return parser


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
    parser.add_argument(
        "--metrics-addr",
        default="",
        metavar="ADDRESS:PORT",
        help="answer GET /metrics there, on a loopback address, for Prometheus (127.0.0.1:9323 for example)",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
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


def _add_containers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--init",
        action="store_true",
        help="run an init as process 1 of containers that do not say whether they want one",
    )
    parser.add_argument(
        "--userns-remap",
        default="",
        metavar="default|USER[:GROUP]",
        help="give containers a user namespace with this user's subordinate ids",
    )
    parser.add_argument(
        "--default-ulimit",
        action="append",
        default=[],
        metavar="NAME=SOFT[:HARD]",
        help="limit of containers that do not say another",
    )
    parser.add_argument("--default-shm-size", default="", metavar="SIZE", help="size of their /dev/shm (64m)")
    parser.add_argument("--dns", action="append", default=[], metavar="ADDRESS", help="their name server")
    parser.add_argument("--dns-opt", action="append", default=[], metavar="OPTION", help="their resolver's option")
    parser.add_argument("--dns-search", action="append", default=[], metavar="DOMAIN", help="where they search names")
    parser.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="label of this engine, which `info` shows"
    )
    parser.add_argument("--subid-dir", default="/etc", help="where the files subuid and subgid are (%(default)s)")


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
