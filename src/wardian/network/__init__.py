"""Networks: none, host and the default bridge; the addresses, the firewall rules and the files that name them.

What others use, all of it named here (the loop's thread only, as the database is):

    networks = Networks(home, database)         with SCHEMA among the database's schemas
    networks.recover(live_sandbox_ids)          before or after start: forgets the addresses of sandboxes that are gone
    await networks.start()                      bridge, ip_forward, firewall table, pool; idempotent, keeps what lives
    await networks.stop()                       closes the pool; removes bridge, rules and table unless somebody is on
                                                it; purge=True or False decides that
    networks.info() -> list[str]                warnings for `GET /info`
    networks.network(mode) -> NetworkConfig     "default" | "bridge" | "none" | "host" | an id; NOT_FOUND otherwise
    networks.list(filters) -> list[dict]        `GET /networks`
    networks.inspect(ref, attached) -> dict     `GET /networks/{id}`; attached: sandbox id -> (container id, name)
    await networks.create(body) -> (NetworkConfig, warning)
    await networks.remove(ref, names) -> NetworkConfig          names: sandbox id -> the name that an error says
    await networks.prune(filters, created_before) -> those that are gone

    endpoint = await networks.bridge.acquire(sandbox_id, EndpointWant())
                                                the caller owns endpoint.netns_fd and closes it after the launch
    await networks.bridge.release(sandbox_id)   when the sandbox's last process is gone; no error when it has none
    networks.bridge.endpoint(sandbox_id)        what it has, netns_fd -1, or None; survives an engine restart
    endpoint.settings()                         its EndpointSettings in the API's shape

    resolv_conf(read_host_resolv_conf(), servers, search, options) -> str
                                                the container's files, as text; with `host` the host's own serves
    hosts_file(address, hostname, domain, extra) -> str   extra: (name, address) pairs; address "" without a network
    hostname_file(hostname) -> str

In the container's namespace this package sets what belongs to the link: eth0's address, MAC, default route,
`disable_ipv6` and `arp_notify`, and lo up. The namespace-wide sysctls (`ip_unprivileged_port_start`,
`ping_group_range`) are part of the plan, as they are for a container that has no network of ours.
"""

from wardian.network.attachments import check_default_bridge
from wardian.network.bridge import BridgeNetwork
from wardian.network.config import check_addresses
from wardian.network.files import hostname_file, hosts_file, merged, read_host_resolv_conf, resolv_conf
from wardian.network.networks import Networks
from wardian.network.ports import close_ports, parse_bindings
from wardian.network.state import SCHEMA
from wardian.network.values import (
    Attachment,
    Changed,
    Done,
    Endpoint,
    EndpointWant,
    HeldPort,
    NetworkConfig,
    PortWant,
    SandboxWant,
    is_mac,
    wanted_settings,
)

__all__ = [
    "SCHEMA",
    "Attachment",
    "BridgeNetwork",
    "Changed",
    "Done",
    "Endpoint",
    "EndpointWant",
    "HeldPort",
    "NetworkConfig",
    "Networks",
    "PortWant",
    "SandboxWant",
    "check_addresses",
    "check_default_bridge",
    "close_ports",
    "hostname_file",
    "hosts_file",
    "is_mac",
    "merged",
    "parse_bindings",
    "read_host_resolv_conf",
    "resolv_conf",
    "wanted_settings",
]
