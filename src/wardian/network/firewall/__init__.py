"""The firewall: what may pass between networks, the host and the world, and where published ports lead.

What others use, in the network's thread:

    firewall = open_firewall(bridge, backend, respect)      backend "nftables" or "iptables"; the thread's namespace
    firewall.forbid_transit(Transit(…))                     what is forwarded between links that are not ours is dropped
    firewall.apply(networks, ports)                         everything anew; then add_network, add_ports, … by element
    watch = Watch(firewall, work); watch.start()            on the loop: what somebody flushes comes back; await stop()
    firewall.exposures(ports)                               what a host's firewall does not keep from others: warnings
    firewall.describe(port), .describe_network(link)        where the kernel holds it, for explain
"""

from wardian.errors import INVALID, WardianError
from wardian.kernel.nftables import open_nftables
from wardian.network.firewall.contract import ALL_PASSES, Firewall, Transit
from wardian.network.firewall.iptables import IptablesFirewall
from wardian.network.firewall.nft import NftFirewall
from wardian.network.firewall.table import table_name
from wardian.network.firewall.watch import Watch

__all__ = ["ALL_PASSES", "BACKENDS", "Firewall", "Transit", "Watch", "open_firewall"]

BACKENDS = ("nftables", "iptables")


def open_firewall(
    bridge: str, backend: str = "nftables", respect: bool = False, transit: Transit = ALL_PASSES
) -> Firewall:
    """The firewall of the engine whose default bridge is `bridge`, in the calling thread's network namespace.

    `respect`: chains of others that drop forwarded packets are reported, and nothing is added to them. `transit` is
    forbidden from the first `apply` on.
    """
    if backend not in BACKENDS:
        raise WardianError(INVALID, f"unknown firewall backend {backend!r}", operation="open the firewall")
    _clear_other(bridge, backend)
    if backend == "nftables":
        return NftFirewall(bridge, respect, transit=transit)
    return IptablesFirewall(bridge, transit)


def _clear_other(bridge: str, backend: str) -> None:
    """An engine that was served with the other backend before has left its rules for the living containers."""
    nft = open_nftables()
    try:
        listed = [entry["chain"] for entry in nft.query("list chains") if "chain" in entry]
    finally:
        nft.close()
    if backend == "iptables" and any(chain["table"] == table_name(bridge) for chain in listed):
        _remove(NftFirewall(bridge))
    if backend == "nftables" and any(chain["name"].startswith("WARDIAN-") for chain in listed):
        _remove(IptablesFirewall(bridge))


def _remove(other: Firewall) -> None:
    try:
        other.remove()
    finally:
        other.close()
