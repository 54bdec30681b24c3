"""Attack: a container with NET_ADMIN renames its link, swaps it with another's name or moves it to a namespace of its
own, and is then disconnected: the network it left, and its address there, must be out of its reach.
"""

import pytest

from own_host import ip
from street import LINK, SILENT, UNREACHABLE, Box, Street, ask, until
from wardian.kernel import netns

CUT = {SILENT, UNREACHABLE}
_APART = "while [ $(readlink /proc/$!/ns/net) = $(readlink /proc/$$/ns/net) ]; do :; done"


def _run_inside(box: Box, script: str) -> None:
    code, output = box.container.exec_run(["sh", "-ec", script], privileged=False)
    assert code == 0, output


def _links(where: int) -> set[str]:
    found: set[str] = {one["ifname"] for one in netns.run_inside(where, lambda: ip("link"))}
    return found


def _port(host: int, box: Box, link: str) -> str:
    """The other end, on the host, of a container's link."""
    (inner,) = netns.run_inside(box.netns, lambda: ip("link", "show", link))
    (port,) = [one for one in netns.run_inside(host, lambda: ip("link")) if one["ifindex"] == inner["link_index"]]
    return str(port["ifname"])


def _renamed(link: str, name: str) -> str:
    return f"ip link set {link} down; ip link set {link} name {name}; ip link set {name} up"


@pytest.mark.parametrize("left", ["first", "second", "bridge"], ids=["from the pool", "connected", "default bridge"])
def test_a_renamed_link_is_cut(street: Street, left: str) -> None:
    first, second = ("bridge" if left == "bridge" else "first"), "second"
    nets = {name: street.network(name) for name in {first, second} - {"bridge"}}
    nets["bridge"] = street.docker.networks.get("bridge")
    box = street.run(network=first, cap_add=["NET_ADMIN"])
    nets[second].connect(box.container)
    others = {name: street.run(network=name) for name in (first, second)}
    for other in others.values():
        street.serve(other.netns)
    link = "eth1" if left == second else "eth0"
    _run_inside(box, _renamed(link, "foo"))
    target, kept = others[left].address(left), first if left == second else second
    assert until(lambda: ask(box.netns, target, 80) == box.address(left)), "it is the name alone that changed"
    nets[left].disconnect(box.container)
    assert left not in box.networks
    assert "foo" not in _links(box.netns)
    assert ask(box.netns, target, 80, seconds=0.5) in CUT
    assert ask(box.netns, others[kept].address(kept), 80) == box.address(kept), "and nothing else is cut"


def test_links_that_swapped_their_names_are_told_apart(street: Street) -> None:
    _, second = street.network("first"), street.network("second")
    box = street.run(network="first", cap_add=["NET_ADMIN"])
    second.connect(box.container)
    others = {name: street.run(network=name) for name in ("first", "second")}
    for other in others.values():
        street.serve(other.netns)
    _run_inside(box, "; ".join((_renamed("eth0", "x"), _renamed("eth1", "eth0"), _renamed("x", "eth1"))))
    target, own = others["first"].address("first"), box.address("first")
    assert until(lambda: ask(box.netns, target, 80) == own)
    second.disconnect(box.container)
    assert ask(box.netns, others["second"].address("second"), 80, seconds=0.5) in CUT
    assert ask(box.netns, target, 80) == own
    assert "second" not in box.networks


@pytest.mark.parametrize("link, left", [("eth0", "first"), ("eth1", "second")])
def test_a_link_in_another_namespace_of_the_container_is_cut(street: Street, link: str, left: str) -> None:
    nets = {name: street.network(name) for name in ("first", "second")}
    box = street.run(network="first", cap_add=["NET_ADMIN", "SYS_ADMIN"])
    nets["second"].connect(box.container)
    ports = {name: _port(street.host, box, name) for name in ("eth0", "eth1")}
    _run_inside(box, f"unshare -n sleep 1000 >/dev/null 2>&1 & {_APART}; ip link set {link} netns $!")
    assert link not in _links(box.netns)
    assert set(ports.values()) <= _links(street.host)
    nets[left].disconnect(box.container)
    gone = set(ports.values()) - _links(street.host)
    assert gone == {ports[link]}, "its port on the host, and so the link wherever it is"


def test_a_link_that_the_container_deleted_is_no_error(street: Street) -> None:
    second = street.network("second")
    box = street.run(cap_add=["NET_ADMIN"])
    second.connect(box.container)
    _run_inside(box, "ip link delete eth1")
    second.disconnect(box.container)
    assert "second" not in box.networks
    assert "eth0" in _links(box.netns)


def test_a_renamed_macvlan_is_cut(street: Street) -> None:
    street.engine  # noqa: B018  # a Docker goes by the name
    own = street.network("own", driver="macvlan", options={"parent": LINK})
    box = street.run(cap_add=["NET_ADMIN"])
    own.connect(box.container)
    _run_inside(box, _renamed("eth1", "foo"))
    own.disconnect(box.container)
    assert not {"foo", "eth1"} & _links(box.netns)
    assert "eth0" in _links(box.netns)
