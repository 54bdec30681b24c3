"""The three files that tell a container its names: resolv.conf(5), hosts(5), hostname(5). Texts in, texts out.

A name server on a loopback address is the host's own; inside a container that address is the container. So such servers
are left out. When none is left, the host runs a local stub, and the servers behind it stand in a file of that stub's:
systemd-resolved's or NetworkManager's. When those say nothing either, the container gets no server, and its file says
so; a public server is never put in silently, because names would leave the house that its owner kept in it.
"""

import ipaddress
import os
from collections.abc import Sequence

HOST_FILE = "/etc/resolv.conf"
BEHIND_A_STUB = ("/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf")
RESOLVER = "127.0.0.11"
NO_SERVER = "# The host has only loopback name servers, which a container cannot reach: name one with --dns.\n"

_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def read_host_resolv_conf(root: str = "/") -> str:
    """The text of the first file that names a server outside this host; that of /etc/resolv.conf when none does."""
    first = _read(os.path.join(root, HOST_FILE.lstrip("/")))
    if name_servers(first):
        return first
    behind = (_read(os.path.join(root, path.lstrip("/"))) for path in BEHIND_A_STUB)
    return next((text for text in behind if name_servers(text)), first)


def name_servers(text: str, ipv6: bool = False) -> list[str]:
    """The servers of a resolv.conf that a container can reach, in order."""
    servers = (words[1] for words in _lines(text) if words[0] == "nameserver" and len(words) > 1)
    return [server for server in servers if _reachable(server, ipv6)]


def resolv_conf(
    host_text: str,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    ipv6: bool = False,
    resolver: bool = False,
) -> str:
    """A container's resolv.conf from the host's. What is given (`--dns` and its like) replaces that part of it.

    A search list of "." means none. IPv6 servers are left out of a container without IPv6: each would cost a timeout.
    `resolver`: the engine's own answers at RESOLVER, and asks the servers itself; a name with a dot in it is asked for
    as it stands (ndots:0, as with Docker), unless the options say otherwise.
    """
    kept_search: list[str] = []
    kept_options: list[str] = []
    for words in _lines(host_text):
        if words[0] in ("search", "domain"):
            kept_search = words[1:]  # resolv.conf(5): the last one counts
        elif words[0] == "options":
            kept_options += words[1:]
    use_servers = [RESOLVER] if resolver else list(servers) or name_servers(host_text, ipv6)
    use_search = [] if list(search) == ["."] else list(search) or kept_search
    use_options = list(options) or kept_options
    if resolver and not any(option.startswith("ndots:") for option in use_options):
        use_options = [*use_options, "ndots:0"]
    text = "".join(f"nameserver {server}\n" for server in use_servers) or NO_SERVER
    if use_search:
        text += f"search {' '.join(use_search)}\n"
    if use_options:
        text += f"options {' '.join(use_options)}\n"
    return text


def hosts_file(addresses: Sequence[str], hostname: str, domain: str = "", extra: Sequence[tuple[str, str]] = ()) -> str:
    """A container's hosts: localhost, the pairs (name, address) of `--add-host`, itself by each of its addresses."""
    full = f"{hostname}.{domain}" if domain else hostname
    label, dot, _ = full.partition(".")
    names = f"{full} {label}" if dot and label else full
    return _HOSTS + "".join(f"{at}\t{name}\n" for name, at in (*extra, *((names, at) for at in addresses)))


def merged(edited: str, before: str, after: str) -> str:
    """A file that was written as `before`, was edited since, and would be `after` now: the edits with our changes.

    Lines of ours that are to go do; new ones come at the end; everything else is the editor's.
    """
    old, new = before.splitlines(), after.splitlines()
    gone = [line for line in old if line not in new]
    lines = [line for line in edited.splitlines() if line not in gone]
    lines += [line for line in new if line not in old and line not in lines]
    return "".join(f"{line}\n" for line in lines)


def hostname_file(hostname: str) -> str:
    return f"{hostname}\n"


def _lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#;"]


def _reachable(server: str, ipv6: bool) -> bool:
    """Not loopback, not unspecified (which means loopback), not on a link that only the host has (fe80::1%eth0)."""
    try:
        address = ipaddress.ip_address(server.partition("%")[0])
    except ValueError:
        return False
    if address.version == 6 and (not ipv6 or "%" in server or address.is_link_local):
        return False
    return not (address.is_loopback or address.is_unspecified)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:  # absent, or a link that points nowhere: it names no server
        return ""
