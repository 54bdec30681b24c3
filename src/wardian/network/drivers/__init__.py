"""Network drivers, one module each, behind contract.Driver."""

from collections.abc import Mapping

from wardian.errors import NOT_FOUND, WardianError
from wardian.network.drivers.bare import Bare
from wardian.network.drivers.bridge import Bridge
from wardian.network.drivers.contract import Driver
from wardian.network.drivers.ipvlan import Ipvlan
from wardian.network.drivers.macvlan import Macvlan
from wardian.network.host import Host

NAMES = ("bridge", "host", "ipvlan", "macvlan", "null")

__all__ = ["NAMES", "Driver", "driver_of", "make_drivers"]


def make_drivers(host: Host) -> Mapping[str, Driver]:
    """By name, for `host`."""
    made: list[Driver] = [Bridge(host), Macvlan(host), Ipvlan(host), Bare("host"), Bare("null")]
    return {driver.name: driver for driver in made}


def driver_of(drivers: Mapping[str, Driver], name: str) -> Driver:
    """Raises NOT_FOUND in Docker's words."""
    if name not in drivers:
        raise WardianError(
            NOT_FOUND,
            f'could not find plugin "{name}" in v1 plugin registry: plugin not found',
            operation="find a network driver",
            subject=name,
            hint=f"drivers here: {', '.join(NAMES)}",
        )
    return drivers[name]
