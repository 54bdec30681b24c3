"""Ports as they are typed: --publish in its short and its long form, --expose. Pure; texts are docker's."""

from __future__ import annotations

from wardian.cli.pflag import go_quote

_PROTOCOLS = frozenset(("tcp", "udp", "sctp"))
_HIGHEST = 65535


def read_published(text: str) -> list[tuple[str, dict[str, str]]]:
    """--publish [[ip:]host:]container[/proto], each part may be a range → (port/proto, binding) for each port."""
    if "=" in text:
        text = _short_form(text)
    *before, container = text.split(":")
    host = before.pop() if before else ""
    address = _address(":".join(before))
    container, protocol = _split_protocol(container)
    if not container:
        raise ValueError(f"no port specified: {text}<empty>")
    first, last = _range(container, f"invalid containerPort: {container}")
    low, high = _range(host, f"invalid hostPort: {host}") if host else (0, 0)
    if host and high - low != last - first and first != last:
        raise ValueError(f"invalid ranges specified for container and host Ports: {container} and {host}")
    if protocol.lower() not in _PROTOCOLS:
        raise ValueError(f"invalid proto: {protocol}")
    found = []
    for port in range(first, last + 1):
        outside = str(low + port - first) if host else ""
        if host and first == last and high > low:
            outside = f"{low}-{high}"  # any free one of these
        found.append((f"{port}/{protocol.lower()}", {"HostIp": address, "HostPort": outside}))
    return found


def _short_form(text: str) -> str:
    """published=8080,target=80,protocol=udp → 8080:80/udp. Other names are taken and mean nothing, as by docker."""
    values = {"published": "", "target": "", "protocol": "tcp"}
    for field in text.split(","):
        key, equals, value = field.partition("=")
        if not equals or not key:
            raise ValueError(f"invalid publish opts format (should be name=value but got '{field}')")
        values[key] = value
    return f"{values['published']}:{values['target']}/{values['protocol']}"


def _address(text: str) -> str:
    from wardian.cli.values import is_address

    address = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if address and ("%" in address or not is_address(address)):
        raise ValueError(f"invalid IP address: {address}")
    return address


def _split_protocol(text: str) -> tuple[str, str]:
    """port/proto → (port, proto); without one, or with an empty one, tcp."""
    port, _, protocol = text.partition("/")
    return (port, protocol or "tcp") if port else ("", "")


def _range(text: str, wrong: str) -> tuple[int, int]:
    try:
        return _port_range(text)
    except ValueError:
        raise ValueError(wrong) from None


def _port_range(text: str) -> tuple[int, int]:
    """80 or 80-90; the words are those of go-connections' ParsePortRange."""
    if not text:
        raise ValueError("empty string specified for ports")
    low, dash, high = text.partition("-")
    first = _port(low)
    last = _port(high) if dash else first
    if last < first:
        raise ValueError(f"invalid range specified for port: {text}")
    return first, last


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: invalid syntax")
    if int(text) > _HIGHEST:
        raise ValueError(f"strconv.ParseUint: parsing {go_quote(text)}: value out of range")
    return int(text)


def read_exposed(text: str) -> list[str]:
    """--expose PORT[-PORT][/proto] → port/proto for each. What the protocol is, the engine looks at."""
    if ":" in text:
        raise ValueError(f"invalid port format for --expose: {text}")
    ports, protocol = _split_protocol(text)
    try:
        first, last = _port_range(ports)
    except ValueError as error:
        raise ValueError(f"invalid range format for --expose: {text}, error: {error}") from None
    return [f"{port}/{protocol}" for port in range(first, last + 1)]
