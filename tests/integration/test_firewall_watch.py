"""The firewall's watch tells our own changes from those of others, however they fall together."""

import threading
import time
from collections.abc import Iterator

import pytest

from own_host import nft, own_host
from wardian.kernel.nftables import open_nftables
from wardian.network.firewall import Firewall, open_firewall
from wardian.network.values import NetworkRules, PortRule

SECONDS = 2.0
ONE = NetworkRules("wtfw1", ("172.30.1.0/24",))
PORT = PortRule("tcp", "0.0.0.0", 8080, "172.30.1.2", 80, ONE.link)


@pytest.fixture
def firewall() -> Iterator[Firewall]:
    with own_host():
        made = open_firewall("wtfw0")
        made.apply([ONE], [])
        yield made
        made.remove()
        made.close()


def _false_alarms(firewall: Firewall) -> int:
    """Ports come and go in this thread, as in the network's, while the loop's reads away what is told of it."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.is_set():
            firewall.settled()

    reader = threading.Thread(target=loop)
    reader.start()
    alarms, end = 0, time.monotonic() + SECONDS
    try:
        while time.monotonic() < end:
            firewall.add_ports([PORT])
            alarms += firewall.mend()
            firewall.remove_ports([PORT])
            alarms += firewall.mend()
    finally:
        ended.set()
        reader.join()
    return alarms


def test_what_we_change_ourselves_is_no_alarm(firewall: Firewall) -> None:
    assert _false_alarms(firewall) == 0


def test_nor_is_it_while_others_change_theirs(firewall: Firewall) -> None:
    """Another engine's table, in which rules come and go."""
    ended, other = threading.Event(), open_nftables()
    other.run("add table inet wtother\nadd chain inet wtother rules\n")

    def change() -> None:
        while not ended.is_set():
            other.run("add rule inet wtother rules counter\n")
            other.run("flush chain inet wtother rules\n")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        assert _false_alarms(firewall) == 0
    finally:
        ended.set()
        changing.join()
        other.close()
    nft("flush", "table", "inet", "wardian-wtfw0")
    assert firewall.mend(), "a change of others is still seen"
    assert not firewall.mend()
