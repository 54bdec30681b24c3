"""What crosses the seams of `network`, as values: networks, what is asked of them, and what was given.

Names and shapes are those of the Docker Engine API (1.51): Network, EndpointSettings, PortBinding.
"""

import ipaddress
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wardian.runtime import Publication

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> IPAddress:
    """An address that somebody gave. Raises ValueError, for one with a scope (fe80::1%eth0) too: that names a link of
    one namespace, means nothing in another, and is no text for a firewall's rule."""
    if "%" in text:
        raise ValueError(f"{text!r} has a scope")
    return ipaddress.ip_address(text)


_NOTHING: Mapping[str, str] = MappingProxyType({})
_BRIDGE = "com.docker.network.bridge."
_DRIVER = "com.docker.network.driver."
GATEWAY_MODES = ("nat", "nat-unprotected", "routed", "isolated")


_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def is_mac(text: str) -> bool:
    """Six octets of a single station: the lowest bit of the first would make it a group's."""
    mac = text.lower().replace("-", ":")
    return bool(_MAC.fullmatch(mac)) and not int(mac[:2], 16) & 1


class Subnet(NamedTuple):
    """One range of a network. Addresses are given from `ip_range` (the whole subnet without one).

    `auxiliary` are addresses that others have: a name and the address, never given to an endpoint. `chosen`: by the
    engine, because nobody asked for a subnet.
    """

    subnet: IPNetwork
    gateway: IPAddress | None
    ip_range: IPNetwork | None = None
    auxiliary: tuple[tuple[str, IPAddress], ...] = ()
    chosen: bool = False


class NetworkConfig(NamedTuple):
    """A network as it was asked for and completed at its creation; it never changes.

    `driver` is "bridge", "host", "null", "macvlan" or "ipvlan". `link` is the host's link: a bridge's own name, the
    parent of a macvlan or ipvlan ("" for none and host). `config_only`: it is no network, but what others are made of
    that name it (`config_from`).
    """

    id: str
    name: str
    driver: str
    created: str
    subnets: tuple[Subnet, ...] = ()
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    options: Mapping[str, str] = _NOTHING
    labels: Mapping[str, str] = _NOTHING
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = _NOTHING
    link: str = ""
    config_only: bool = False
    config_from: str = ""

    @property
    def v4(self) -> Subnet | None:
        """The first IPv4 subnet: where addresses are given from unless one is asked for."""
        return next((one for one in self.subnets if one.subnet.version == 4), None)

    @property
    def v6(self) -> Subnet | None:
        return next((one for one in self.subnets if one.subnet.version == 6), None)

    def holding(self, address: str) -> Subnet | None:
        """The subnet that an address of an endpoint lies in; None for ""."""
        found = ipaddress.ip_address(address) if address else None
        return next((one for one in self.subnets if found is not None and found in one.subnet), None)

    def around(self, address: str) -> Subnet | None:
        """The subnet that an address is of."""
        if not address:
            return None
        place = ipaddress.ip_address(address)
        return next((one for one in self.subnets if place in one.subnet), None)

    @property
    def icc(self) -> bool:
        """Whether containers of this network may reach each other."""
        return self.flag(_BRIDGE + "enable_icc", True)

    @property
    def masquerade(self) -> bool:
        return self.flag(_BRIDGE + "enable_ip_masquerade", True)

    @property
    def mtu(self) -> int:
        """0: the kernel's choice."""
        text = self.options.get(_DRIVER + "mtu", "")
        return int(text) if text.isdigit() else 0

    @property
    def gateway_mode4(self) -> str:
        return self.options.get(_BRIDGE + "gateway_mode_ipv4", "nat")

    @property
    def gateway_mode6(self) -> str:
        return self.options.get(_BRIDGE + "gateway_mode_ipv6", "nat")

    @property
    def host_binding(self) -> str:
        """The host's address that a port is published on when none is asked for; "" for all of both families."""
        return self.options.get(_BRIDGE + "host_binding_ipv4", "")

    @property
    def source4(self) -> str:
        """The host's address with which packets leave; "" for that of the link by which they do."""
        return self.options.get("com.docker.network.host_ipv4", "")

    @property
    def source6(self) -> str:
        return self.options.get("com.docker.network.host_ipv6", "")

    @property
    def interface_prefix(self) -> str:
        return self.options.get("com.docker.network.container_iface_prefix", "eth")

    def flag(self, name: str, default: bool) -> bool:
        """An option that is true or false, in the spellings of Go's ParseBool."""
        text = self.options.get(name, "")
        return text in ("1", "t", "T", "true", "TRUE", "True") if text else default


class EndpointWant(NamedTuple):
    """What a sandbox asks of one network. Empty means: the network chooses.

    `network` is an id. `driver_opts` knows com.docker.network.endpoint.ifname and com.docker.network.endpoint.sysctls.
    `links` are names of others there and what this sandbox alone calls them (NAME:ALIAS).
    """

    network: str
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""
    link_local: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    gw_priority: int = 0
    driver_opts: Mapping[str, str] = _NOTHING
    links: tuple[str, ...] = ()


class Endpoint(NamedTuple):
    """A sandbox's place on a network. Addresses without a prefix; "" where the family is not there.

    `familiar`: whoever on the network remembers the address remembers it at this MAC, so nobody need be told.
    """

    id: str
    sandbox: str
    network: NetworkConfig
    want: EndpointWant
    interface: str
    mac: str
    ipv4: str = ""
    prefix4: int = 0
    gateway4: str = ""
    ipv6: str = ""
    prefix6: int = 0
    gateway6: str = ""
    dns_names: tuple[str, ...] = ()
    familiar: bool = False

    def settings(self) -> dict[str, Any]:
        """The value of `NetworkSettings.Networks[NAME]` in `GET /containers/{id}/json` (EndpointSettings)."""
        return wanted_settings(self.want, self.dns_names) | {
            "MacAddress": self.mac,
            "NetworkID": self.network.id,
            "EndpointID": self.id,
            "Gateway": "" if self.network.internal else self.gateway4,  # no way leads out
            "IPAddress": self.ipv4,
            "IPPrefixLen": self.prefix4,
            "IPv6Gateway": "" if self.network.internal else self.gateway6,
            "GlobalIPv6Address": self.ipv6,
            "GlobalIPv6PrefixLen": self.prefix6,
        }


def wanted_settings(want: EndpointWant, dns_names: tuple[str, ...] = ()) -> dict[str, Any]:
    """EndpointSettings of an endpoint that is asked for, and is not there while its container does not run."""
    asked = {"IPv4Address": want.ipv4, "IPv6Address": want.ipv6, "LinkLocalIPs": list(want.link_local)}
    static = {key: value for key, value in asked.items() if value}
    return {
        "IPAMConfig": static or None,
        "Links": list(want.links) or None,
        "Aliases": list(want.aliases) or None,
        "MacAddress": want.mac,
        "DriverOpts": dict(want.driver_opts) or None,
        "GwPriority": want.gw_priority,
        "NetworkID": want.network,
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": list(dns_names) or None,
    }


class PortWant(NamedTuple):
    """One published port. `first` 0: any free port of the host; `first` to `last`: the first free one of these.

    `host_ip` "": every address of both families.
    """

    port: int
    protocol: str
    host_ip: str = ""
    first: int = 0
    last: int = 0


class HeldPort(NamedTuple):
    """A host's socket that reserves a published port. `fd` is the holder's to hand over or close (-1: handed over).

    `host_ip` is "0.0.0.0", "::" or one address.
    """

    fd: int
    protocol: str
    host_ip: str
    host_port: int
    port: int


class PortRule(NamedTuple):
    """One element of the firewall's port map: host address and port → container address and port, behind `link`."""

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int
    link: str


class ShortWay(NamedTuple):
    """A container that publishes ports, by its address on the network on which they lead to it, and a subnet on which
    it has another link: what it answers to a client there does not pass by the host, and the client knows it not."""

    address: str
    subnet: str


class NetworkRules(NamedTuple):
    """What the firewall must know of a network. Subnets in CIDR; modes are GATEWAY_MODES. `source4`, `source6`: the
    host's address with which packets leave; "" for that of the link by which they do."""

    link: str
    subnets: tuple[str, ...]
    internal: bool = False
    icc: bool = True
    masquerade: bool = True
    mode4: str = "nat"
    mode6: str = "nat"
    source4: str = ""
    source6: str = ""


class SandboxWant(NamedTuple):
    """What a sandbox asks: its networks (the first is NetworkMode's), published ports, names and resolver settings."""

    endpoints: tuple[EndpointWant, ...]
    ports: tuple[PortWant, ...] = ()
    names: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()


class Done(NamedTuple):
    """A step that was carried out, for `explain`. `kind`: link, address, route, sysctl, rule, port or name."""

    kind: str
    description: str
    nanoseconds: int


class Attachment(NamedTuple):
    """A sandbox on its networks. `netns_fd` and the fds of `published` are the caller's to hand over or close.

    `publishing` is what the supervisor holds from then on, by the same descriptors. `resolver`: names are answered at
    127.0.0.11, which the container's resolv.conf then names.
    """

    netns_fd: int
    endpoints: tuple[Endpoint, ...] = ()
    published: tuple[HeldPort, ...] = ()
    steps: tuple[Done, ...] = ()
    resolver: bool = False
    publishing: "tuple[Publication, ...]" = ()


class Changed(NamedTuple):
    """What follows from a connect or disconnect of a sandbox that lives.

    `publishing`: where its published ports lead now, with a socket for those that are new (`held`, the caller's to
    close once the supervisor has them). `released`: the supervisor is to let go of all that it holds.
    """

    publishing: "tuple[Publication, ...]" = ()
    held: tuple[HeldPort, ...] = ()
    released: bool = False
    steps: tuple[Done, ...] = ()
    resolver: bool = False


class Recalled(NamedTuple):
    """What an engine's start found: `gone`, whose endpoints were given back, and what holds for those that live and
    publish ports."""

    gone: list[str]
    standing: Mapping[str, Changed]
