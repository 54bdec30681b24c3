"""Requests about links beyond bridges and veths, as values for `Netlink.send`: linux/if_link.h, ip-link(8).

A link with `netns` is born in that namespace, so its name never stands on the host.
"""

import socket
import struct

from wardian.kernel.attributes import NLA_F_NESTED, attribute, byte, link_header, mac_bytes, number, short, text
from wardian.kernel.netlink import (
    IFF_UP,
    IFLA_ADDRESS,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_NET_NS_FD,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    RTM_NEWLINK,
    RTM_SETLINK,
    Message,
)

IFLA_PROTINFO = 12
RTM_NEWNEIGH, NDA_LLADDR, NUD_REACHABLE, NTF_MASTER = 28, 2, 0x02, 0x04  # linux/neighbour.h
RTM_NEWLINKPROP, IFLA_PROP_LIST, IFLA_ALT_IFNAME = 108, 52, 53
IFLA_BRPORT_MODE, IFLA_BRPORT_ISOLATED = 4, 33
IFLA_MACVLAN_MODE = 1
IFLA_IPVLAN_MODE, IFLA_IPVLAN_FLAGS = 1, 2
IFLA_VLAN_ID = 1
IFLA_AF_SPEC, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE = 26, 8, 1
MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # struct ndmsg
IPVLAN_FLAGS = {"bridge": 0, "private": 1, "vepa": 2}


def new_macvlan(name: str, parent: int, mode: str, netns: int, mac: str = "", mtu: int = 0) -> Message:
    """A link on `parent` with a MAC of its own, in the namespace of descriptor `netns`. `mode`: MACVLAN_MODES."""
    data = number(IFLA_MACVLAN_MODE, MACVLAN_MODES[mode])
    return _child("macvlan", name, parent, data, netns, mac, mtu)


def new_ipvlan(name: str, parent: int, mode: str, flag: str, netns: int, mtu: int = 0) -> Message:
    """A link on `parent` with the parent's MAC, in the namespace of descriptor `netns`."""
    data = short(IFLA_IPVLAN_MODE, IPVLAN_MODES[mode]) + short(IFLA_IPVLAN_FLAGS, IPVLAN_FLAGS[flag])
    return _child("ipvlan", name, parent, data, netns, "", mtu)


def probe_child(kind: str) -> Message:
    """A request that is always refused: by EOPNOTSUPP when the kernel has no such links, else as its parent is none."""
    return _child(kind, "wardian-probe", 0x7FFFFFFF, b"", -1, "", 0)


def new_vlan(name: str, parent: int, identifier: int) -> Message:
    """The 802.1Q link of VLAN `identifier` on `parent`, here."""
    return _child("vlan", name, parent, short(IFLA_VLAN_ID, identifier), -1, "", 0)


def new_dummy(name: str) -> Message:
    """A link that leads nowhere: the parent of a network that stays on this host."""
    info = attribute(IFLA_INFO_KIND, b"dummy")
    payload = link_header(0, 0, 0) + text(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, info)
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload, f"create dummy {name}")


def set_master(index: int, name: str, master: int, alias: str = "") -> Message:
    """Make a link a port of the bridge `master`; 0 takes it out of its bridge."""
    payload = link_header(index, 0, 0) + number(IFLA_MASTER, master)
    if alias:
        payload += attribute(IFLA_IFALIAS, alias.encode())
    return Message(RTM_NEWLINK, 0, payload, f"set master of link {name}")


def set_port_flags(index: int, name: str, isolated: bool, hairpin: bool) -> Message:
    """Flags of a bridge's port: an isolated one reaches no other isolated one; a hairpin gets back what it sent."""
    flags = byte(IFLA_BRPORT_ISOLATED, isolated) + byte(IFLA_BRPORT_MODE, hairpin)
    payload = link_header(index, 0, 0, socket.AF_BRIDGE) + attribute(IFLA_PROTINFO | NLA_F_NESTED, flags)
    return Message(RTM_SETLINK, 0, payload, f"set port flags of link {name}")


def set_forwarding(index: int, name: str, mac: str) -> Message:
    """The bridge sends what is for `mac` by this port of its, until it learns better or forgets (`bridge fdb replace …
    master dynamic`). EPERM: the port does not forward."""
    header = _NEIGHBOUR.pack(socket.AF_BRIDGE, index, NUD_REACHABLE, NTF_MASTER, 0)
    payload = header + attribute(NDA_LLADDR, mac_bytes(mac))
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, payload, f"say that {mac} is behind link {name}")


def rename(index: int, name: str, new: str) -> Message:
    """Before Linux 6.2 only while the link is down."""
    return Message(RTM_NEWLINK, 0, link_header(index, 0, 0) + text(IFLA_IFNAME, new), f"rename link {name} to {new}")


def also_named(index: int, name: str, other: str) -> Message:
    """A second name, by which the link is looked up as by its first (`ip link property add`, Linux 5.5)."""
    names = attribute(IFLA_PROP_LIST | NLA_F_NESTED, text(IFLA_ALT_IFNAME, other))
    payload = link_header(index, 0, 0) + names
    return Message(RTM_NEWLINKPROP, NLM_F_CREATE | NLM_F_EXCL, payload, f"name link {name} {other} as well")


def set_mtu(index: int, name: str, mtu: int) -> Message:
    return Message(RTM_NEWLINK, 0, link_header(index, 0, 0) + number(IFLA_MTU, mtu), f"set MTU of link {name} to {mtu}")


def set_alias(index: int, name: str, alias: str) -> Message:
    """A text for people, which `ip link` shows."""
    payload = link_header(index, 0, 0) + attribute(IFLA_IFALIAS, alias.encode())
    return Message(RTM_NEWLINK, 0, payload, f"set alias of link {name}")


def settle_port(name: str, alias: str = "") -> Message:
    """The host's end of a veth: no link-local address, and so no IPv6 at all. (The kernel takes neither this nor an
    alias with the request that makes a link.)"""
    family = attribute(socket.AF_INET6, byte(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE))
    payload = link_header(0, 0, 0) + text(IFLA_IFNAME, name) + attribute(IFLA_AF_SPEC, family)
    if alias:
        payload += attribute(IFLA_IFALIAS, alias.encode())
    return Message(RTM_NEWLINK, 0, payload, f"settle link {name}")


def link_down(index: int, name: str) -> Message:
    return Message(RTM_NEWLINK, 0, link_header(index, 0, IFF_UP), f"set link {name} down")


def _child(kind: str, name: str, parent: int, data: bytes, netns: int, mac: str, mtu: int) -> Message:
    info = attribute(IFLA_INFO_KIND, kind.encode()) + attribute(IFLA_INFO_DATA, data)
    payload = link_header(0, 0, 0) + text(IFLA_IFNAME, name) + number(IFLA_LINK, parent)
    if netns >= 0:
        payload += number(IFLA_NET_NS_FD, netns)
    if mac:
        payload += attribute(IFLA_ADDRESS, mac_bytes(mac))
    if mtu:
        payload += number(IFLA_MTU, mtu)
    return Message(
        RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, payload + attribute(IFLA_LINKINFO, info), f"create {kind} {name}"
    )
