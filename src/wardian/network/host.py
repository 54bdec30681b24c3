"""This host's network as the drivers change it: links, sysctls, forwarding."""

import errno
from collections.abc import Callable

from wardian.kernel import links, netlink, netns
from wardian.network.borrowed import Borrowed


class Host:
    """This host's network as the drivers change it, by a socket of the thread that made this (and uses it)."""

    def __init__(self) -> None:
        self.netlink = netlink.Netlink()
        # called with the family (4, 6) before the host, which is no router, becomes one by us
        self.before_forwarding: Callable[[int], None] = lambda version: None
        # links that a driver made, by number: what makes them as they were, and their name when it had to
        self.kept: dict[int, Callable[[], str]] = {}
        self.borrowed = Borrowed()

    def close(self) -> None:
        self.netlink.close()

    def link(self, name: str) -> netlink.Link:
        """Raises ENODEV with its name."""
        link = self.netlink.link(name)
        if link is None:
            raise netlink.NetlinkError(errno.ENODEV, f"no link {name}")
        return link

    def sysctl(self, name: str, value: str) -> None:
        """Below /proc/sys/net, written when it is another. A kernel that has no such file (no IPv6) needs none."""
        if netns.read_sysctl(name) not in (None, value):
            netns.write_sysctl(name, value)

    def set_borrowed(self, link: netlink.Link, name: str, value: str) -> None:
        """As `sysctl`, on a link that is not ours: what it was is kept. "mtu" is the link's."""
        before = self._read(link, name)
        if before not in (None, value):
            self.borrowed.change(link.ifindex, name, str(before), value)
            self._write(link, name, value)

    def give_back(self, link: netlink.Link) -> None:
        """What `set_borrowed` changed is as it was."""
        self.borrowed.give_back(
            link.ifindex, lambda name: self._read(link, name), lambda name, value: self._write(link, name, value)
        )

    def _read(self, link: netlink.Link, name: str) -> str | None:
        return str(link.mtu) if name == "mtu" else netns.read_sysctl(name)

    def _write(self, link: netlink.Link, name: str, value: str) -> None:
        if name == "mtu":
            self.netlink.send([links.set_mtu(link.ifindex, link.name, int(value))])
        else:
            netns.write_sysctl(name, value)

    def forward(self, version: int) -> None:
        """See `forwarding`, which takes it back. A host on which a link forwards already is a router by somebody's
        will."""
        if netns.read_sysctl(f"ipv{version}/conf/all/forwarding") != "0":
            return
        links_there = self.netlink.links()
        if all(netns.read_sysctl(f"ipv{version}/conf/{one.name}/forwarding") != "1" for one in links_there):
            self.before_forwarding(version)
        if version == 6:
            self._listen_to_routers(links_there)
            netns.write_sysctl("ipv6/conf/default/forwarding", "1")
        netns.write_sysctl(f"ipv{version}/conf/all/forwarding", "1")

    def _listen_to_routers(self, links_there: list[netlink.Link]) -> None:
        """A host that forwards takes no router advertisements (RFC 4861, 6.2.8): links that did before shall go on
        (accept_ra=2), else it loses its own default route minutes later."""
        for link in links_there:
            at = f"ipv6/conf/{link.name}"
            if netns.read_sysctl(f"{at}/accept_ra") == "1" and netns.read_sysctl(f"{at}/forwarding") == "0":
                netns.write_sysctl(f"{at}/accept_ra", "2")

    def put_back(self, index: int) -> str:
        """The link's name when it was not as it should be, else ""."""
        return self.kept[index]() if index in self.kept else ""

    def join_again(self, alias: str, master: int, isolated: bool) -> None:
        """The ports of a bridge that somebody deleted, found by what they say of themselves, join its successor.

        All get the hairpin: which of them have published ports is not known here.
        """
        for link in self.netlink.links():
            if link.kind == "veth" and link.alias == alias and not link.master:
                self._join(link, master, isolated)

    def _join(self, link: netlink.Link, master: int, isolated: bool) -> None:
        """One whose namespace is just ending goes meanwhile, and is no loss."""
        try:
            self.netlink.send(
                [
                    links.set_master(link.ifindex, link.name, master),
                    links.set_port_flags(link.ifindex, link.name, isolated, hairpin=True),
                ]
            )
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise
