"""Where an engine lives: one `Home` value. Rootless is another `Home`; a test makes its own.

Nothing else in Wardian names these places, and nothing imports more than `os` here: the command line reads it too.
"""

import os
from collections import namedtuple

_Fields = namedtuple(
    "_Fields",
    "data_root run_root socket cgroup_base network_backend bridge address_pools respect_host_firewall "
    "ip_forward_no_drop init userns_remap subids log_driver log_options journal_socket",
)

DEFAULT_DATA_ROOT = "/var/lib/wardian"
DEFAULT_RUN_ROOT = "/run/wardian"


class Home(_Fields):
    """Absolute paths of one engine.

    `data_root` holds what a reboot must not lose, `run_root` what it may; `socket` is the API's unix socket;
    `cgroup_base` is a group path relative to each hierarchy's root ("wardian" or "wardian/TEST"), below which
    `containers/ID` and `supervisors` are made; `network_backend` is "nftables" or "iptables", and with
    `respect_host_firewall` nothing is added to chains of others that drop what is forwarded, with `ip_forward_no_drop`
    a host that was no router before is one between all its links; `bridge` names the default
    bridge link; `address_pools` are texts, base=…,size=…, from which networks take subnets (none: the built-in ones);
    `init`: a container that does not say has an init as process 1; `userns_remap` is whose subordinate ids those get
    that do not say, and `subids` the directory of the files that give them (subuid(5)); `log_driver` and `log_options`
    (pairs) are those of a container that does not say; `journal_socket` is where the journal is spoken to.
    """

    __slots__ = ()

    @property
    def database(self) -> str:
        return os.path.join(self.data_root, "wardian.db")

    @property
    def content(self) -> str:
        return os.path.join(self.data_root, "content")

    @property
    def layers(self) -> str:
        return os.path.join(self.data_root, "layers")

    @property
    def volumes(self) -> str:
        """NAME/_data of each volume."""
        return os.path.join(self.data_root, "volumes")

    @property
    def staging(self) -> str:
        """What is being written and has not its final name yet; whatever is here at a start is swept away."""
        return os.path.join(self.data_root, "staging")

    @property
    def run_staging(self) -> str:
        """The same for volatile directories, of containers and of execs."""
        return os.path.join(self.run_root, "staging")

    @property
    def trash(self) -> str:
        """What was removed (renamed to here) and is being deleted in the background."""
        return os.path.join(self.data_root, "trash")

    @property
    def events(self) -> str:
        """What happened, bounded."""
        return os.path.join(self.data_root, "events")

    @property
    def turned_forwarding(self) -> str:
        """What says that this host forwards by our doing."""
        return os.path.join(self.run_root, "forwarding.json")

    @property
    def borrowed_bridges(self) -> str:
        """What bridges that were there before had, until networks of ours were put on them."""
        return os.path.join(self.run_root, "bridges.json")

    def container(self, identity: str) -> str:
        """Durable directory of one container: config.json, plan.json, upper, work, log."""
        return os.path.join(self.data_root, "containers", identity)

    def run_container(self, identity: str) -> str:
        """Volatile directory of one container: supervisor.sock, exit."""
        return os.path.join(self.run_root, "containers", identity)


def make_home(
    data_root: str = DEFAULT_DATA_ROOT,
    run_root: str = DEFAULT_RUN_ROOT,
    socket: str = "",
    cgroup_base: str = "wardian",
    network_backend: str = "nftables",
    bridge: str = "wardian0",
    address_pools: tuple[str, ...] = (),
    respect_host_firewall: bool = False,
    ip_forward_no_drop: bool = False,
    init: bool = False,
    userns_remap: str = "",
    subids: str = "/etc",
    log_driver: str = "json-file",
    log_options: tuple[tuple[str, str], ...] = (),
    journal_socket: str = "/run/systemd/journal/socket",
) -> Home:
    """A Home from absolute paths; `socket` is `RUN_ROOT/wardian.sock` unless given. ValueError on a relative path."""
    for name, path in (("data root", data_root), ("run root", run_root)):
        if not os.path.isabs(path):
            raise ValueError(f"{name} must be an absolute path: {path!r}")
    socket = socket or os.path.join(run_root, "wardian.sock")
    return Home(
        data_root,
        run_root,
        socket,
        cgroup_base,
        network_backend,
        bridge,
        address_pools,
        respect_host_firewall,
        ip_forward_no_drop,
        init,
        userns_remap,
        subids,
        log_driver,
        log_options,
        journal_socket,
    )
