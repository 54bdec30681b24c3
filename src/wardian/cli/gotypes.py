"""What docker knows of an object by its Go type and JSON does not say: fields that are left out, durations."""

from __future__ import annotations

from wardian.cli.gotemplate import Typed
from wardian.cli.human import go_duration

_MOUNT: dict[str, object] = {"Name": "", "Driver": ""}
_DURATIONS = ("Interval", "Timeout", "StartPeriod", "StartInterval")


class Duration(int):
    """time.Duration: a number of nanoseconds to JSON and to comparisons, a text where it is printed."""

    def __str__(self) -> str:
        return go_duration(self)


_HEALTH: dict[str, object] = {"Test": [], **dict.fromkeys(_DURATIONS, Duration(0)), "Retries": 0}


def typed(found: object) -> object:
    """A container or an image as the API has it, for a template."""
    if not isinstance(found, dict):
        return found
    if isinstance(found.get("Mounts"), list):
        found["Mounts"] = [Typed(one, _MOUNT) for one in found["Mounts"]]
    config = found.get("Config")
    if isinstance(config, dict) and isinstance(config.get("Healthcheck"), dict):
        health = config["Healthcheck"]
        durations = {name: Duration(health[name]) for name in _DURATIONS if name in health}
        config["Healthcheck"] = Typed({**health, **durations}, _HEALTH)
    return found
