"""`serve`: this process becomes the engine, in the foreground."""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wardian.cli.command import Invocation

FLAGS = (
    Flag(
        "allow", "", "list", "", "Who may do what: NAME=read,run,build,push,admin (a user, a certificate's name, or *)"
    ),
    Flag("bridge", "", "string", "", "Link of the default network"),
    Flag("cgroup-base", "", "string", "", "Group below which the containers' cgroups are made"),
    Flag("config-file", "", "string", "", "Options by the names of Docker's daemon.json (/etc/wardian/daemon.json)"),
    Flag("default-shm-size", "", "string", "", "Size of /dev/shm of containers that do not say (64m)"),
    Flag("default-ulimit", "", "list", "", "Limit of containers that do not say another (name=soft[:hard])"),
    Flag("dns", "", "list", "", "Name server of containers that do not say"),
    Flag("dns-opt", "", "list", "", "Option of their resolver"),
    Flag("dns-search", "", "list", "", "Domain in which they search short names"),
    Flag("label", "", "list", "", "Label of this engine, which info shows (key=value)"),
    Flag("default-address-pool", "", "list", "", "Where networks take subnets from (base=10.201.0.0/16,size=24)"),
    Flag("debug", "D", "bool", "", "Log each operation with its caller, and what clients did wrong"),
    Flag("data-root", "", "string", "", "Directory of images, containers and state"),
    Flag("firewall-backend", "", "string", "", 'Where the firewall rules go: "nftables" (default) or "iptables"'),
    Flag("group", "", "string", "", "Group that may use the unix sockets (wardian, where there is one)"),
    Flag("host", "H", "list", "", "Listen there, too: unix:///path, tcp://address:port, fd:// (systemd's sockets)"),
    Flag("init", "", "bool", "", "Run an init as process 1 of containers that do not say whether they want one"),
    Flag("ip-forward-no-drop", "", "bool", "", "Let other links' forwarding pass where Wardian turned it on"),
    Flag("metrics-addr", "", "string", "", "Answer GET /metrics there, on a loopback address (127.0.0.1:9323)"),
    Flag("respect-host-firewall", "", "bool", "", "Add no rule where another firewall's chain drops forwarded packets"),
    Flag("run-root", "", "string", "", "Directory of sockets and what a reboot may lose"),
    Flag("socket", "", "string", "", "Path of the API's socket"),
    Flag("subid-dir", "", "string", "", "Where the files subuid and subgid are (/etc)"),
    Flag("tls", "", "bool", "", "TLS without client certificates: refused", hidden=True),
    Flag("tlscacert", "", "string", "", "Authority that signed the clients' certificates"),
    Flag("tlscert", "", "string", "", "Certificate of this engine"),
    Flag("tlskey", "", "string", "", "Key of this engine"),
    Flag("log-driver", "", "string", "", "Where the output of containers goes that do not say"),
    Flag("log-opt", "", "list", "", "Option of that driver (key=value)"),
    Flag("journal-socket", "", "string", "", "Journal that the driver journald writes to"),
    Flag("userns-remap", "", "string", "", "User whose subordinate ids containers get: default, or USER[:GROUP]"),
    Flag("tlsverify", "", "bool", "", "Speak TLS over TCP, to clients with a certificate"),
)

_PATHS = ("config-file", "data-root", "run-root", "socket", "subid-dir", "tlscacert", "tlscert", "tlskey")


def serve(invocation: Invocation) -> int:
    words = server_words(invocation)
    try:
        os.execv(sys.executable, [sys.executable, "-m", "wardian.server", *words])
    except OSError as error:
        raise Failure(f"cannot run {sys.executable}: {error}") from None


def server_words(invocation: Invocation) -> list[str]:
    """The engine's own command line for these flags, and those before the verb."""
    words = [word for flag in FLAGS for word in _words(flag.name, invocation[flag.name])]
    if invocation.options.host:
        words += ["--host", invocation.options.host]
    if invocation.options.debug:
        words.append("--debug")
    for name, value in invocation.options.tls.items():
        words += _words(name, value)
    return words


def _words(name: str, value: object) -> list[str]:
    """A flag as the engine's own command line has it; nothing for one that was not given."""
    if not value:
        return []
    if value is True:
        return [f"--{name}"]
    texts = value if isinstance(value, list) else [os.path.abspath(str(value)) if name in _PATHS else str(value)]
    return [word for text in texts for word in (f"--{name}", text)]


SERVE = Command(serve, "[OPTIONS]", FLAGS, most=0)
