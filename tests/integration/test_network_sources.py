"""With which address of the host a network's packets leave (com.docker.network.host_ipv4). Docker 28.5.2 does the same:
WARDIAN_STREET=docker."""

from own_host import ip
from street import HOST4, LINK, NEIGHBOUR4, Street, ask

OTHER4 = "192.0.2.77"
OPTION = "com.docker.network.host_ipv4"


def test_packets_leave_with_the_address_that_their_network_names(street: Street) -> None:
    ip("address", "add", f"{OTHER4}/32", "dev", LINK)
    try:
        named = street.network("named", options={OPTION: OTHER4})
        street.network("plain")
        assert named.attrs["Options"][OPTION] == OTHER4
        street.serve(street.neighbour, 8090)
        inside = {name: street.run(network=name) for name in ("named", "plain")}
        assert ask(inside["named"].netns, NEIGHBOUR4, 8090) == OTHER4
        assert ask(inside["plain"].netns, NEIGHBOUR4, 8090) == HOST4
        street.serve(street.host, 8091)
        assert ask(inside["named"].netns, HOST4, 8091) == inside["named"].address("named"), (
            "the host itself sees who asks"
        )
    finally:
        ip("address", "delete", f"{OTHER4}/32", "dev", LINK)
