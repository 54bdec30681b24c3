"""What says that a host forwards by our doing, and which bridges are its own; without a kernel's links."""

import json
from pathlib import Path

import pytest

from wardian.kernel.netlink import Link
from wardian.kernel.procfs import boot_id
from wardian.network import forwarding
from wardian.network.forwarding import Turned


def _kept(path: Path, **changed: object) -> Turned:
    path.write_text(json.dumps({"boot": boot_id(), "families": [4], "redirects": "1", **changed}))
    return forwarding.read_turned(str(path))


def test_it_holds_for_one_boot(tmp_path: Path) -> None:
    file = tmp_path / "forwarding.json"
    assert _kept(file) == Turned(frozenset({4}), "1")
    assert _kept(file, boot="another") == Turned()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"boot": 1}', "\0"])
def test_what_nobody_can_read_says_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert forwarding.read_turned(str(tmp_path / "file")) == Turned()
    assert forwarding.read_turned(str(tmp_path / "none")) == Turned()


def test_a_bridge_on_a_card_is_the_hosts_and_others_are_somebodys() -> None:
    links = [
        *(Link(index, name, "bridge", 0, "", 1500, True) for index, name in ((2, "lan0"), (3, "docker0"), (4, "own0"))),
        Link(5, "eth0", "", 2, "", 1500, True),
        Link(6, "veth1", "veth", 3, "", 1500, True),
        Link(7, "tap0", "tun", 3, "", 1500, True),
    ]
    assert forwarding.outer_bridges(links) == ("lan0",)
    assert forwarding.others_bridges(links, ["own0"]) == ("docker0",)


def test_a_bridge_is_somebodys_only_once_he_is_on_it() -> None:
    card, bridge = Link(5, "eth0", "", 0, "", 1500, True), Link(2, "br0", "bridge", 0, "", 1500, True)
    veth = Link(6, "veth1", "veth", 2, "", 1500, True)
    none: frozenset[int] = frozenset()
    assert forwarding.inner_bridges([bridge, card], none) == none, "it may be about to get a card"
    assert forwarding.inner_bridges([bridge, card, veth], none) == {2}
    assert forwarding.inner_bridges([bridge, card], frozenset({2})) == {2}, "its containers ended"
    assert forwarding.inner_bridges([bridge, card._replace(master=2), veth], frozenset({2})) == none
    assert forwarding.inner_bridges([card], frozenset({2})) == none


def test_it_is_said_with_what_is_done() -> None:
    assert forwarding.said(Turned(), dropped=True) == []
    assert "--ip-forward-no-drop lets it pass" in forwarding.said(Turned(frozenset({4})), dropped=True)[0]
    assert "between all its links" in forwarding.said(Turned(frozenset({6})), dropped=False)[0]
