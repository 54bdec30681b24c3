"""Whether this host is a router by our doing, and that others gain nothing by it.

A host that does not forward is no way from its one link to its other. Networks need it to forward, and the kernel has
one switch for all links. So where we are who turns it, what neither comes from nor goes to one of our networks is
dropped by our rules from that moment on (the firewall's `Transit`); docs/decisions/0011 says more. That it was us is
in a file of the run root, with the boot in which it was, written before the switch is turned.
"""

import contextlib
import json
import logging
import os
from collections.abc import Collection, Sequence
from typing import NamedTuple

from wardian.kernel import netns
from wardian.kernel.netlink import Link
from wardian.kernel.procfs import boot_id

log = logging.getLogger(__name__)

# Ends of what containers and virtual machines are on.
_INNER = ("veth", "tun")
# The kernel sets it with ip_forward (kernel's ip-sysctl: "changes all configuration parameters to their default").
_REDIRECTS = "ipv4/conf/all/accept_redirects"


class Turned(NamedTuple):
    """The families (4, 6) whose forwarding was off until we came, and accept_redirects of IPv4 as it was then."""

    families: frozenset[int] = frozenset()
    redirects: str = ""


def read_turned(path: str) -> Turned:
    """What was kept of this boot; nothing from a file that nobody can read."""
    try:
        with open(path) as file:
            kept = json.load(file)
        if kept["boot"] == boot_id():
            return Turned(frozenset(kept["families"]) & {4, 6}, str(kept["redirects"]))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("whether forwarding was turned on by an engine is not known: %s: %s", path, error)
    return Turned()


def _keep(path: str, turned: Turned) -> None:
    os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
    new = f"{path}.new"
    with open(new, "w") as file:
        json.dump({"boot": boot_id(), "families": sorted(turned.families), "redirects": turned.redirects}, file)
    os.rename(new, path)


def keep_turning(path: str, version: int) -> Turned:
    """Before the family's forwarding is turned on."""
    turned = read_turned(path)
    redirects = (netns.read_sysctl(_REDIRECTS) or "") if version == 4 else turned.redirects
    turned = Turned(turned.families | {version}, redirects)
    _keep(path, turned)
    return turned


def turn_back(path: str) -> None:
    """Off again what we turned on: while transit was forbidden, nobody but us had anything of it."""
    turned = read_turned(path)
    for version in sorted(turned.families):
        netns.write_sysctl(f"ipv{version}/conf/all/forwarding", "0")
    if turned.redirects:
        netns.write_sysctl(_REDIRECTS, turned.redirects)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def outer_bridges(links: Sequence[Link]) -> tuple[str, ...]:
    """Bridges that are on a link of the host's own (a network card, a bond, a VLAN): part of its world."""
    masters = {link.master for link in links if link.kind not in _INNER}
    return tuple(sorted(link.name for link in links if link.kind == "bridge" and link.ifindex in masters))


def inner_bridges(links: Sequence[Link], known: frozenset[int]) -> frozenset[int]:
    """The numbers of bridges that somebody has for containers or machines: none but those are on them. One that nothing
    is on stays what it was (`known`): a new one may be about to get a card."""
    used = {link.master for link in links}
    cards = {link.master for link in links if link.kind not in _INNER}
    bridges = frozenset(link.ifindex for link in links if link.kind == "bridge")
    return (bridges & (used - cards)) | ((bridges - used) & known)


def others_bridges(links: Sequence[Link], own: Collection[str]) -> tuple[str, ...]:
    """Bridges of others for their containers and machines, which may rely on the host's forwarding by now."""
    known = {*outer_bridges(links), *own}
    return tuple(link.name for link in links if link.kind == "bridge" and link.name not in known)


def said(turned: Turned, dropped: bool) -> list[str]:
    """For `info`."""
    if not turned.families:
        return []
    families = " and ".join(f"IPv{version}" for version in sorted(turned.families))
    if dropped:
        return [
            f"{families} forwarding was off on this host and Wardian turned it on for its networks: what is forwarded "
            "between other links is dropped (wardian serve --ip-forward-no-drop lets it pass)"
        ]
    return [
        f"{families} forwarding was off on this host and Wardian turned it on for its networks: as "
        "--ip-forward-no-drop asks, the host is a router between all its links"
    ]
