"""`port`: what of a container is published, and where."""

from __future__ import annotations

from wardian.cli.command import Command, Failure, path_name
from wardian.cli.natural_order import natural_key
from wardian.cli.pflag import go_quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation

_HIGHEST = 65535


def port(invocation: Invocation) -> int:
    name, *asked = invocation.args
    found = invocation.client.call("GET", f"/containers/{path_name(name)}/json")
    if not isinstance(found, dict):
        raise Failure("the engine answered no container")
    ports = (found.get("NetworkSettings") or {}).get("Ports") or {}
    for line in port_lines(ports, name, asked[0] if asked else ""):
        print(line)
    return 0


def port_lines(ports: dict[str, list[dict[str, Any]] | None], name: str, asked: str = "") -> list[str]:
    """Where each port of the container `name` is published, or only the one that is asked for. Raises Failure."""
    return sorted(_one(ports, asked, name) if asked else _all(ports), key=natural_key)


def _all(ports: dict[str, list[dict[str, Any]] | None]) -> list[str]:
    return [f"{inside} -> {_address(at)}" for inside, published in ports.items() for at in published or ()]


def _one(ports: dict[str, list[dict[str, Any]] | None], text: str, name: str) -> list[str]:
    number, _, protocol = text.partition("/")
    _check_number(number)
    published = ports.get(f"{number}/{protocol or 'tcp'}")
    if not published:
        raise Failure(f"Error: No public port '{text}' published for {name}")
    return [_address(at) for at in published]


def _check_number(text: str) -> None:
    """strconv.ParseUint of 16 bits, with its words."""
    if not (text.isascii() and text.isdigit()):
        raise Failure(f"Error: invalid port ({text}): strconv.ParseUint: parsing {go_quote(text)}: invalid syntax")
    if int(text) > _HIGHEST:
        raise Failure(f"Error: invalid port ({text}): strconv.ParseUint: parsing {go_quote(text)}: value out of range")


def _address(at: dict[str, Any]) -> str:
    address, number = at.get("HostIp", ""), at.get("HostPort", "")
    return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"


PORT = Command(port, "CONTAINER [PRIVATE_PORT[/PROTO]]", least=1, most=2)
