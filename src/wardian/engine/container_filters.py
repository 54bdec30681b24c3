"""Filters of a list of containers: Docker's keys, what each takes, and its words for what is wrong (daemon/list.go).

A `Selection` is made once for a list: what a value names (an image, another container) is looked up there.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from wardian.engine import inspect
from wardian.engine.filters import Filters, check_filters, matches_label
from wardian.engine.health import rules as health
from wardian.engine.inspect import exposed
from wardian.engine.life.state import State
from wardian.engine.parts import Parts
from wardian.engine.registry import Container
from wardian.errors import INVALID, WardianError
from wardian.network import HeldPort
from wardian.patterns import Finds, finder

_STATES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_TRUE = ("1", "true")
_FALSE = ("0", "false")
_MOST_PORT = 65535
Range = tuple[int, int, str]
Takes = Callable[[Container], bool]


class Look(NamedTuple):
    """How a filter sees what is not in the container itself."""

    networks: Callable[[Container], Mapping[str, Mapping[str, Any]]]
    ports: Callable[[Container], Sequence[HeldPort]]


class Selection:
    """Raises WardianError(INVALID) for a key or a value that Docker refuses. `everything`: also what does not run."""

    def __init__(self, parts: Parts, filters: Filters, look: Look) -> None:
        check_filters(filters, _MAKERS)
        self.everything = bool(filters.get("status"))
        self._tests = [_MAKERS[key](parts, values, look) for key, values in filters.items() if values]

    def takes(self, container: Container) -> bool:
        return not self._tests or all(test(container) for test in self._tests)


def _label(parts: Parts, values: list[str], look: Look) -> Takes:
    return lambda container: all(matches_label(container.config["Labels"], text) for text in values)


def _status(parts: Parts, values: list[str], look: Look) -> Takes:
    for value in values:
        if value not in _STATES:
            known = ", ".join(_STATES)
            raise _invalid("status", value, f"invalid value for state ({value}): must be one of {known}")
    return lambda container: container.state.state.value in values


def _health(parts: Parts, values: list[str], look: Look) -> Takes:
    for value in values:
        if value not in health.STATUSES:
            known = ", ".join(health.STATUSES)
            raise _invalid("health", value, f"invalid value for health ({value}): must be one of {known}")
    return lambda container: health.status_of(container.health) in values


def _exited(parts: Parts, values: list[str], look: Look) -> Takes:
    codes = []
    for value in values:
        if not re.fullmatch(r"[+-]?[0-9]+", value):
            raise _invalid("exited", value, f'strconv.Atoi: parsing "{value}": invalid syntax')
        codes.append(int(value))
    return lambda container: container.state.state is State.EXITED and container.state.exit_code in codes


def _is_task(parts: Parts, values: list[str], look: Look) -> Takes:
    """A task is a swarm's: there are none."""
    if len(values) != 1 or values[0] not in (*_TRUE, *_FALSE):
        message = f"invalid filter 'is-task=[{' '.join(values)}]'"
        raise WardianError(INVALID, message, operation="list", subject="is-task")
    return lambda container: values[0] in _FALSE


def _isolation(parts: Parts, values: list[str], look: Look) -> Takes:
    """Of Windows; Docker takes it everywhere."""
    return lambda container: True


def _id(parts: Parts, values: list[str], look: Look) -> Takes:
    return lambda container: any(container.id.startswith(text) for text in values)


def _name(parts: Parts, values: list[str], look: Look) -> Takes:
    """A regular expression anywhere in the name, which is known with and without its slash; one that is none fits
    nothing."""
    patterns = [pattern for pattern in map(_pattern, values) if pattern is not None]

    def takes(container: Container) -> bool:
        name = container.record.name
        return any(finds(name) or finds(f"/{name}") for finds in patterns)

    return takes


def _pattern(text: str) -> Finds | None:
    try:
        return finder(text)
    except ValueError:
        return None


def _ancestor(parts: Parts, values: list[str], look: Look) -> Takes:
    """Of this image, or of one that was made on top of its layers."""
    images = []
    for ref in values:
        try:
            images.append(parts.images.resolve(ref))
        except WardianError:
            continue  # Docker: an image that is not there has no descendants

    def takes(container: Container) -> bool:
        record = container.record
        return any(record.image == one.id or _is_on_top(record.layers, one.layers) for one in images)

    return takes


def _is_on_top(layers: Sequence[str], base: Sequence[str]) -> bool:
    """Both with their top first."""
    return 0 < len(base) < len(layers) and tuple(layers[-len(base) :]) == tuple(base)


def _publish(parts: Parts, values: list[str], look: Look) -> Takes:
    ranges = [port_range("publish", value) for value in values]
    return lambda container: any(in_range(one.port, one.protocol, ranges) for one in look.ports(container))


def _expose(parts: Parts, values: list[str], look: Look) -> Takes:
    ranges = [port_range("expose", value) for value in values]

    def takes(container: Container) -> bool:
        ports = (one.partition("/") for one in exposed(container))
        return any(in_range(int(number), protocol, ranges) for number, _, protocol in ports)

    return takes


def _volume(parts: Parts, values: list[str], look: Look) -> Takes:
    """By a volume's name, what is bound, or where it is."""

    def takes(container: Container) -> bool:
        mounts = inspect.render_mounts(container)
        places = [(one.get("Name"), one["Source"], one["Destination"]) for one in mounts]
        return any(text in place for text in values for place in places)

    return takes


def _network(parts: Parts, values: list[str], look: Look) -> Takes:
    """By a network's name, or the beginning of its id."""

    def takes(container: Container) -> bool:
        found = look.networks(container)
        ids = [str(one.get("NetworkID", "")) for one in found.values()]
        return any(text in found or any(text and one.startswith(text) for one in ids) for text in values)

    return takes


def _before(parts: Parts, values: list[str], look: Look) -> Takes:
    moments = [parts.registry.find(ref).record.created for ref in values]
    return lambda container: all(container.record.created < moment for moment in moments)


def _since(parts: Parts, values: list[str], look: Look) -> Takes:
    moments = [parts.registry.find(ref).record.created for ref in values]
    return lambda container: all(container.record.created > moment for moment in moments)


_MAKERS: dict[str, Callable[[Parts, list[str], Look], Takes]] = {
    "ancestor": _ancestor,
    "before": _before,
    "exited": _exited,
    "expose": _expose,
    "health": _health,
    "id": _id,
    "is-task": _is_task,
    "isolation": _isolation,
    "label": _label,
    "name": _name,
    "network": _network,
    "publish": _publish,
    "since": _since,
    "status": _status,
    "volume": _volume,
}


def _invalid(key: str, value: str, why: str) -> WardianError:
    return WardianError(INVALID, f"invalid filter '{key}={value}': {why}", operation="list", subject=key)


def port_range(key: str, value: str) -> Range:
    """A filter's "80", "80/udp" or "8000-8010/tcp". Raises WardianError in Docker's words."""
    if ":" in value:
        raise _bad_port(f"filter for '{key}' should not contain ':': {value}", value)
    ports, _, protocol = value.partition("/")
    if not ports:
        raise _bad_port(f"error while looking up for {key} {value}: Empty string specified for ports.", value)
    first, dash, last = ports.partition("-")
    numbers = [_port(key, value, text) for text in ((first, last) if dash else (first,))]
    if numbers[-1] < numbers[0]:
        raise _bad_port(
            f"error while looking up for {key} {value}: Invalid range specified for the Port: {ports}", value
        )
    return numbers[0], numbers[-1], protocol.lower() or "tcp"


def _port(key: str, value: str, text: str) -> int:
    why = "invalid syntax" if not (text.isascii() and text.isdecimal()) else ""
    if not why and int(text) > _MOST_PORT:
        why = "value out of range"
    if why:
        message = f'error while looking up for {key} {value}: strconv.ParseUint: parsing "{text}": {why}'
        raise _bad_port(message, value)
    return int(text)


def _bad_port(message: str, value: str) -> WardianError:
    return WardianError(INVALID, message, operation="list", subject=value)


def in_range(port: int, protocol: str, ranges: Iterable[Range]) -> bool:
    return any(low <= port <= high and protocol == of for low, high, of in ranges)
