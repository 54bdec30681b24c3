"""Attack: a neighbour routes the bridge's own address to the host, to get at what is meant for containers alone.

Docker 28.5 answers: it refuses a neighbour the addresses of containers, and not that of their bridge.
"""

import pytest

from street import HOST4, REFUSED, SILENT, Street, ask


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_published_on_the_bridges_address_is_for_containers_and_the_host(street: Street, protocol: str) -> None:
    street.network("own")
    other = street.run(network="own")
    gateway = str(other.networks["own"]["Gateway"])
    box = street.run(ports={f"80/{protocol}": (gateway, 8080)})
    service = street.serve(box.netns, protocol=protocol)
    assert ask(street.host, gateway, 8080, protocol) not in (REFUSED, SILENT)
    known = len(service.seen)
    street.neighbour_routes(gateway)
    assert street.ask_all((gateway, 8080, protocol), (HOST4, 8080, protocol)) <= {REFUSED, SILENT}
    assert len(service.seen) == known
