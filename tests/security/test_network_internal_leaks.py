"""Attack: a container of an internal network asks a name server outside (CVE-2024-29018), or sends packets there.

The names that it asks for are the message: whoever runs the domain's server reads them.
"""

import docker as docker_py
import pytest

from own_host import ip
from packets import Ears
from questions import AAAA, NOERROR, A, ask_name
from street import HOST4, LINK, NEIGHBOUR4, NEIGHBOUR6, SILENT, Street, ask, ask_all


@pytest.fixture
def internal(street: Street) -> Street:
    pool = docker_py.types.IPAMConfig(pool_configs=[docker_py.types.IPAMPool(subnet="fd00:5:1::/64")])
    street.network("inner", internal=True, enable_ipv6=True, ipam=pool)
    return street


@pytest.mark.parametrize("servers", [None, [NEIGHBOUR4], [NEIGHBOUR6]])
def test_no_query_leaves(internal: Street, servers: list[str] | None) -> None:
    box = internal.run(network="inner", **({"dns": servers} if servers else {}))
    with Ears(internal.host, LINK, sent=True) as ears, Ears(internal.host, "lo") as inside:
        for name, kind, tcp in (
            ("secret.example.org", A, False),
            ("secret.example.org", AAAA, True),
            ("secret", A, False),
        ):
            assert ask_name(box.netns, name, kind, tcp=tcp).code != NOERROR
        assert not ears.heard()
        assert not [one for one in inside.heard(0) if b"secret" in one.data], "nor to a resolver of the host's"


def test_its_own_names_are_known(internal: Street) -> None:
    box, other = internal.run(network="inner"), internal.run(network="inner", name="other")
    assert ask_name(box.netns, "other") == (NOERROR, [other.address("inner")])
    assert ask_name(box.netns, "other", AAAA) == (NOERROR, [other.address("inner", 6)])


def test_no_packet_leaves_or_enters(internal: Street) -> None:
    box = internal.run(network="inner")
    own4, own6 = box.address("inner"), box.address("inner", 6)
    first4, first6 = own4.rpartition(".")[0] + ".1", own6.rpartition(":")[0] + ":1"
    box.inside(lambda: _add_routes(first4, first6))
    world = internal.serve(internal.neighbour)
    with Ears(internal.host, LINK, sent=True) as ears:
        answers = ask_all(box.netns, (NEIGHBOUR4, 80), (NEIGHBOUR4, 53, "udp"), (NEIGHBOUR6, 80), (first4, 53, "udp"))
        assert world.seen == []
        assert not [one for one in ears.heard() if one.source in (HOST4, own4, own6)], answers
    own = internal.serve(box.netns)
    internal.neighbour_routes(own4, own6)
    assert internal.ask_all((own4, 80), (own6, 80)) == {SILENT}
    assert own.seen == []


def _add_routes(first4: str, first6: str) -> None:
    """The container gives itself default routes, by what could be its gateways."""
    ip("route", "replace", "default", "via", first4, "dev", "eth0")
    ip("-6", "route", "replace", "default", "via", first6, "dev", "eth0")


def test_members_reach_each_other_and_the_host_reaches_them(internal: Street) -> None:
    one, two = internal.run(network="inner"), internal.run(network="inner")
    internal.serve(two.netns)
    for family in (4, 6):
        assert ask(one.netns, two.address("inner", family), 80) == one.address("inner", family)


def test_a_published_port_of_an_internal_network_is_not_open(internal: Street) -> None:
    box = internal.run(network="inner", ports={"80/tcp": 8080})
    service = internal.serve(box.netns)
    assert HOST4 not in internal.ask_all((HOST4, 8080))
    assert service.seen == []
