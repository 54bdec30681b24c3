"""The firewall: what may pass between networks, the host and the world, and where published ports lead.

What others use, in the network's thread:

    firewall = open_firewall(bridge, backend, respect)      backend "nftables" or "iptables"; the thread's namespace
    firewall.apply(networks, ports)                         everything anew; then add_network, add_ports, … by element
    watch = Watch(firewall, work); watch.start()            on the loop: what somebody flushes comes back; await stop()
    exposed(ports, host_firewalls())                        what a host's firewall does not keep from others: warnings
"""

from wardian.errors import INVALID, WardianError
from wardian.network.firewall.contract import Firewall
from wardian.network.firewall.nft import NftFirewall
from wardian.network.firewall.watch import Watch

__all__ = ["BACKENDS", "Firewall", "Watch", "open_firewall"]

BACKENDS = ("nftables", "iptables")


def open_firewall(bridge: str, backend: str = "nftables", respect: bool = False) -> Firewall:
    """The firewall of the engine whose default bridge is `bridge`, in the calling thread's network namespace.

    `respect`: chains of others that drop forwarded packets are reported, and nothing is added to them.
    """
    if backend == "nftables":
        return NftFirewall(bridge, respect)
    raise WardianError(
        INVALID, f"unknown firewall backend: {backend!r}", operation="open the firewall", subject=backend
    )
