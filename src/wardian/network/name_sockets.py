"""Where a sandbox asks for names: two sockets on a high port of 127.0.0.11 in its namespace, and the way to them.

What is sent to port 53 of that address is sent on to them. The port 53 itself stays free: a DNS server in the container
binds it. The rules rewrite ports and nothing else, each packet for itself, so that no question is an entry in a
connection table; they stand where the container's own rules see port 53 in both directions.
"""

import errno
import os
import secrets
import socket
from typing import NamedTuple

from wardian.errors import WardianError
from wardian.kernel import netlink
from wardian.kernel.nftables import open_nftables

ADDRESS = "127.0.0.11"
TABLE = "wardian_names"
# Above what the kernel gives to those who ask for any port (ip_local_port_range), and below nothing that is known.
_PORTS = range(61001, 65536)
_PORT_TRIES = 64
_BACKLOG = 64
_LO = 1  # ifindex: the first link of every namespace

_FORGET = "delete table ip {table}\n"
_RULES = """create table ip {table}
table ip {table} {{
  chain asked {{
    type filter hook output priority 300; policy accept;
    ip daddr {address} udp dport 53 udp dport set {port}
    ip daddr {address} tcp dport 53 tcp dport set {port}
  }}
  chain answered {{
    type filter hook output priority -300; policy accept;
    ip saddr {address} udp sport {port} udp sport set 53
    ip saddr {address} tcp sport {port} tcp sport set 53
  }}
}}
"""


class ResolverSockets(NamedTuple):
    """The two sockets of a namespace, whose redirect is in place. The holder hands them over or closes them."""

    udp_fd: int
    tcp_fd: int
    port: int

    def close(self) -> None:
        os.close(self.udp_fd)
        os.close(self.tcp_fd)


def prepare_inside() -> ResolverSockets:
    """Sockets and redirect in the calling thread's network namespace. Raises OSError or WardianError, leaves none.

    lo is brought up: before, its addresses are nobody's. (IP_FREEBIND binds to one, but a UDP socket that was bound so
    answers from 127.0.0.1: inet_bind takes an address that no table knows for a broadcast's.)
    """
    with netlink.Netlink() as inner:
        inner.send([netlink.link_up(_LO, "lo")])
    for _ in range(_PORT_TRIES):
        try:
            sockets = _open_sockets(secrets.choice(_PORTS))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        try:
            _redirect(sockets.port)
        except BaseException:
            sockets.close()
            raise
        return sockets
    raise OSError(errno.EADDRINUSE, f"no port of {ADDRESS} is free")


def remake_inside(port: int) -> ResolverSockets:
    """Sockets on the port that the namespace's redirect leads to; on another, with its redirect, when it is taken."""
    try:
        return _open_sockets(port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return prepare_inside()


def _open_sockets(port: int) -> ResolverSockets:
    opened = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            one = socket.socket(socket.AF_INET, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
            opened.append(one)
            if kind == socket.SOCK_STREAM:  # connections of sockets that were here before do not stand in the way
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((ADDRESS, port))
        opened[1].listen(_BACKLOG)
        return ResolverSockets(opened[0].detach(), opened[1].detach(), port)
    finally:
        for one in opened:
            one.close()


def _redirect(port: int) -> None:
    nft = open_nftables()
    try:
        rules = _RULES.format(table=TABLE, address=ADDRESS, port=port)
        try:
            nft.run(rules)
        except WardianError as refused:
            # One of an earlier engine's stands. Not deleted at a venture: the kernel takes 10 ms and more over that.
            if refused.errno != errno.EEXIST:
                raise
            nft.run(_FORGET.format(table=TABLE) + rules)
    finally:
        nft.close()
