"""What a create body and a connect may ask of a network: the checks of endpoints, MAC addresses and ports. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from wardian.engine.options import checks
from wardian.errors import INVALID, WardianError
from wardian.network import is_mac, parse_address, read_link

Settings = dict[str, Any]
_ADDRESSES = {"IPv4Address": 4, "IPv6Address": 6}
_NO_HOSTS = ("0.0.0.0", "::")  # Go's netip: unspecified, and so no address of an endpoint


def endpoints_config(value: Any, path: str) -> dict[str, Settings]:
    """The check of `NetworkingConfig.EndpointsConfig`."""
    asked = checks.json_object(value, path)
    for name, item in asked.items():
        if item is None:
            message = f"invalid config for network {name}: EndpointsConfig is nil"
            raise WardianError(INVALID, message, operation="create", subject=path)
    return {name: endpoint_settings(item, f"{path}.{name}") for name, item in asked.items()}


def endpoint_settings(value: Any, path: str) -> Settings:
    """What one EndpointSettings asks. What the engine itself answers in that object (addresses given, ids) is data of
    an earlier answer that a client sends back: it asks for nothing."""
    asked = checks.json_object(value or {}, path)
    found: Settings = {}
    addresses = _addresses(asked.get("IPAMConfig") or {}, f"{path}.IPAMConfig")
    if addresses:
        found["IPAMConfig"] = addresses
    if asked.get("Aliases"):
        found["Aliases"] = _unique(checks.strings(asked["Aliases"], f"{path}.Aliases"))
    if asked.get("MacAddress"):
        found["MacAddress"] = mac_address(asked["MacAddress"], f"{path}.MacAddress")
    if asked.get("DriverOpts"):
        found["DriverOpts"] = checks.mapping(asked["DriverOpts"], f"{path}.DriverOpts")
    if asked.get("GwPriority"):
        found["GwPriority"] = checks.integer(-(1 << 31), (1 << 31) - 1)(asked["GwPriority"], f"{path}.GwPriority")
    if asked.get("Links"):
        found["Links"] = links(asked["Links"], f"{path}.Links")
    return found


def _addresses(value: Any, path: str) -> dict[str, Any]:
    """EndpointIPAMConfig. Whether these are addresses is told with all else that its network has against them."""
    asked = checks.json_object(value, path)
    found: dict[str, Any] = {}
    for key, version in _ADDRESSES.items():
        text = checks.text(asked.get(key) or "", f"{path}.{key}")
        if text:
            found[key] = str(ipaddress.ip_address(text)) if _is_address(text, version) else text
    local = checks.strings(asked.get("LinkLocalIPs") or [], f"{path}.LinkLocalIPs")
    return found | ({"LinkLocalIPs": local} if local else {})


def address_problems(settings: Settings) -> list[str]:
    """What of an endpoint's settings is no address, in Docker's words. Raises INVALID, as Docker says it, for one that
    is none of a link's own."""
    asked = settings.get("IPAMConfig") or {}
    problems = [
        f"invalid IPv{version} address: {asked[key]}"
        for key, version in _ADDRESSES.items()
        if key in asked and (not _is_address(asked[key], version) or asked[key] in _NO_HOSTS)
    ]
    local = asked.get("LinkLocalIPs", ())
    problems += [f"invalid link-local IP address: {one}" for one in local if not _is_address(one.partition("/")[0], 0)]
    for one in local if not problems else ():
        if not ipaddress.ip_address(one.partition("/")[0]).is_link_local:
            raise WardianError(INVALID, f"invalid link local IP address: {one}", operation="endpoint", subject=one)
    return problems


def invalid_settings(problems: Sequence[str], subject: str) -> WardianError:
    """What is wrong with an endpoint's settings."""
    message = f"invalid endpoint settings:\n{joined(problems)}"
    return WardianError(INVALID, message, operation="endpoint", subject=subject)


def joined(problems: Sequence[str]) -> str:
    """Docker's form of several problems: one as it is, more as a list."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join("* " + one.replace("\n", "\n\t") for one in problems)


def _is_address(text: str, version: int) -> bool:
    try:
        return parse_address(text).version == (version or parse_address(text).version)
    except ValueError:
        return False


def mac_address(value: Any, path: str) -> str:
    if checks.text(value, path) and not is_mac(value):
        raise WardianError(INVALID, f"invalid MAC address: {value}", operation="create", subject=path)
    return str(value).lower().replace("-", ":")


def name_servers(value: Any, path: str) -> list[str]:
    """The check of `--dns`. Docker's API takes any text at create and fails each start; what names no server is told
    here at once. A scope (fe80::1%eth0) is the container's matter."""
    found = checks.strings(value, path)
    for text in found:
        try:
            ipaddress.ip_address(text)
        except ValueError:
            message = f"bad nameserver address {text}: unable to parse IP"
            raise WardianError(INVALID, message, operation="create", subject=path) from None
        if len(text.split()) != 1:
            raise WardianError(INVALID, f"bad nameserver address {text!r}", operation="create", subject=path)
    return found


def links(value: Any, path: str) -> list[str]:
    """The check of `--link`; who is meant is for the engine to find."""
    found = checks.strings(value, path)
    for text in found:
        read_link(text)
    return _unique(found)


def _unique(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item for item in items if item))


def port_key(text: str, path: str) -> str:
    """One port of the API's maps, "80/tcp": the protocol is tcp unless it says another."""
    number, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise WardianError(INVALID, f"invalid port '{text}': unknown protocol", operation="create", subject=path)
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 65536):
        raise WardianError(INVALID, f"invalid port '{text}'", operation="create", subject=path)
    return f"{int(number)}/{protocol}"


def exposed_ports(value: Any, path: str) -> dict[str, Any]:
    return {port_key(key, path): {} for key in checks.json_object(value, path)}


def declared_ports(image: Any) -> dict[str, Any]:
    """What an image says that it listens on. An image is data: what is no port exposes nothing."""
    found: dict[str, Any] = {}
    for key in image:
        try:
            found[port_key(str(key), "ExposedPorts")] = {}
        except WardianError:
            continue
    return found


def port_bindings(value: Any, path: str) -> dict[str, list[dict[str, str]]]:
    """The shape of nat.PortMap. What it asks for is read by `wardian.network` (`parse_bindings`)."""
    found: dict[str, list[dict[str, str]]] = {}
    for key, bindings in checks.json_object(value, path).items():
        port = port_key(key, path)
        if not isinstance(bindings or [], list):
            raise checks.invalid(path, bindings, "must be a list")
        for item in bindings or ():
            asked = checks.json_object(item, path)
            binding = {name: checks.text(asked.get(name) or "", path) for name in ("HostIp", "HostPort")}
            found.setdefault(port, []).append(binding)
        found.setdefault(port, [])
    return found
