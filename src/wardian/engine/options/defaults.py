"""What containers have that do not say, as the engine is told: ulimits, size of /dev/shm, name servers; and its labels.

They are settled when a container is created, and are its own from then on.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from wardian.engine.options import checks
from wardian.engine.options.config import ContainerConfig
from wardian.engine.options.table import HOST
from wardian.errors import INVALID, WardianError
from wardian.network import parse_address


class ContainerDefaults:
    """Replaced as a whole by a reload; whoever reads takes `now` once."""

    def __init__(self, now: "Defaults") -> None:
        self.now = now


class Defaults(NamedTuple):
    ulimits: tuple[dict[str, Any], ...] = ()
    shm_size: int = 0
    dns: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def read_defaults(
    ulimits: Sequence[str],
    shm_size: str,
    dns: Sequence[str],
    dns_options: Sequence[str],
    dns_search: Sequence[str],
    labels: Sequence[str],
) -> Defaults:
    """From the words of the command line. Raises WardianError."""
    for text in labels:
        if not text.partition("=")[1] or not text.partition("=")[0]:
            raise _wrong(f"bad attribute format: {text}")
    for text in dns:
        try:
            parse_address(text)
        except ValueError:
            raise _wrong(f"{text} is not an ip address") from None
    size = checks.size_bytes(shm_size, "default-shm-size") if shm_size else 0
    return Defaults(
        tuple(checks.ulimits([_ulimit(text) for text in ulimits], "default-ulimits")),
        size,
        tuple(dns),
        tuple(dns_options),
        tuple(dns_search),
        tuple(labels),
    )


def _ulimit(text: str) -> dict[str, Any]:
    name, _, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard if colon else soft)}
    except ValueError:
        raise _wrong(f"invalid ulimit argument: {text}") from None


def _wrong(message: str) -> WardianError:
    return WardianError(INVALID, message, operation="serve")


def fill(values: dict[str, Any], defaults: Defaults) -> None:
    """Into the options of a container that leave it open."""
    config = ContainerConfig(values)
    said = {one["Name"] for one in config[HOST + "Ulimits"]}
    if more := [dict(one) for one in defaults.ulimits if one["Name"] not in said]:
        values[HOST + "Ulimits"] = [*config[HOST + "Ulimits"], *more]
    if defaults.shm_size and HOST + "ShmSize" not in values:
        values[HOST + "ShmSize"] = defaults.shm_size
    if config.joins("network"):
        return  # it has the other's names
    for name, words in (
        ("Dns", defaults.dns),
        ("DnsOptions", defaults.dns_options),
        ("DnsSearch", defaults.dns_search),
    ):
        if words and not config[HOST + name]:
            values[HOST + name] = list(words)
