"""The three files that tell a container its names: hostname, hosts and resolv.conf, in its directory, bound over /etc.

Each start writes them, and connect and disconnect of a running container mend them in place: a bind mount shows one
inode, so nothing is renamed over it. What the container itself wrote there stays: beside the files lies what the engine
wrote last (`names.ours`), and only the difference between that and what it would write now is applied.
"""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence

from wardian.descriptors import write_all
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.endpoints import network_of
from wardian.network import Endpoint, hostname_file, hosts_file, merged, read_host_resolv_conf, resolv_conf

HostLines = Sequence[tuple[str, str]]
_OURS = "names.ours"
_NAMES = ("hostname", "hosts", "resolv.conf")
# A container may write what it likes into its files, more than anybody reads of them too.
_MOST = 1 << 20


def write_all_names(
    config: ContainerConfig,
    endpoints: Sequence[Endpoint],
    host_gateway: str,
    resolver: bool,
    linked: HostLines = (),
) -> None:
    """At a start, and after a connect or disconnect. `resolver`: names are answered at 127.0.0.11. `linked`: names and
    addresses of those that it is linked to."""
    texts = {
        "hostname": hostname_file(config.hostname()),
        "hosts": _hosts(config, endpoints, host_gateway, linked),
        "resolv.conf": _resolv_conf(config, endpoints, resolver),
    }
    _mend(config.directory, texts)


def timezone_file(zone: str) -> str:
    """The host's file for a time zone (tzfile(5), localtime(5)). `zone` is of letters and slashes (checks.timezone)."""
    return "/etc/localtime" if zone == "local" else os.path.join("/usr/share/zoneinfo", zone)


def write_timezone(config: ContainerConfig) -> None:
    """At a start: a copy, so that the container sees nothing of the host's file but what it says."""
    zone = config["Wardian.Timezone"]
    if not zone:
        return
    with open(timezone_file(zone), "rb") as file:
        data = file.read(_MOST)
    with open(os.path.join(config.directory, "localtime"), "wb") as file:
        file.write(data)


def write_hosts(
    config: ContainerConfig, endpoints: Sequence[Endpoint], host_gateway: str, linked: HostLines = ()
) -> None:
    """Only the file that says where it is, and those that it is linked to."""
    _mend(config.directory, {"hosts": _hosts(config, endpoints, host_gateway, linked)})


def _hosts(config: ContainerConfig, endpoints: Sequence[Endpoint], host_gateway: str, linked: HostLines) -> str:
    extra = [_extra_host(item, host_gateway) for item in config["HostConfig.ExtraHosts"]]
    if network_of(config) == "host":
        return _read("/etc/hosts") + "".join(f"{at}\t{name}\n" for name, at in extra)
    addresses = [address for one in endpoints for address in (one.ipv4, one.ipv6) if address]
    return hosts_file(addresses, config.hostname(), config["Domainname"], [*extra, *linked])


def _resolv_conf(config: ContainerConfig, endpoints: Sequence[Endpoint], resolver: bool) -> str:
    dns, search, options = (config[f"HostConfig.{name}"] for name in ("Dns", "DnsSearch", "DnsOptions"))
    if network_of(config) == "host" and not (dns or search or options):
        return _read("/etc/resolv.conf")
    ipv6 = any(one.ipv6 for one in endpoints)
    return resolv_conf(read_host_resolv_conf(), dns, search, options, ipv6, resolver)


def _extra_host(item: str, gateway: str) -> tuple[str, str]:
    name, _, address = item.partition(":")
    return name, gateway if address == "host-gateway" else address.strip("[]")


def _mend(directory: str, texts: Mapping[str, str]) -> None:
    """Bring files from what we wrote last to `texts`. One that the container edited is mended line by line (hosts), or
    left alone where its lines depend on each other."""
    record = os.path.join(directory, _OURS)
    kept = _read(record)
    there = {name: _read(os.path.join(directory, name)) for name in texts}
    before = _recorded(kept) if kept else _of_earlier_version(directory) if any(there.values()) else {}
    for name, text in texts.items():
        ours, now = before.get(name, ""), there[name]
        if now and now != ours:
            text = merged(now, ours, text) if name == "hosts" else now
        if text != now:
            _write(os.path.join(directory, name), text, now)
    after = {**before, **texts}
    if after != before:
        _write(record, json.dumps(after), kept)


def _recorded(text: str) -> dict[str, str]:
    """By file; none when a power loss left half of it: then what is there counts as the container's. Behind it may be
    the end of a longer one before, which an engine did not come to cut off."""
    found: dict[str, str] = {}
    with contextlib.suppress(ValueError):
        found, _ = json.JSONDecoder().raw_decode(text)
    return found


def _of_earlier_version(directory: str) -> dict[str, str]:
    """It had one beside each file."""
    return {name: text for name in _NAMES if (text := _read(os.path.join(directory, f"{name}.ours")))}


def _read(path: str) -> str:
    """ "" when it is not there; one that cannot be read is not taken for empty and written anew."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        size = os.fstat(fd).st_size  # none before a first start: four empty files of each
        return os.read(fd, min(size, _MOST)).decode(errors="surrogateescape") if size else ""
    finally:
        os.close(fd)


def _write(path: str, text: str, before: str) -> None:
    """Shortened last, if there is something: a disk that is full leaves what was there."""
    data = text.encode(errors="surrogateescape")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        write_all(fd, data)
        if before:
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)
