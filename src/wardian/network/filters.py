"""Which networks a list or a prune means: Docker's filters. Pure."""

from collections.abc import Callable, Collection, Mapping, Sequence

from wardian.errors import INVALID, WardianError
from wardian.network.asked import PREDEFINED
from wardian.network.values import NetworkConfig
from wardian.patterns import Finds, finder

Filters = Mapping[str, Sequence[str]]
_LISTED = ("dangling", "driver", "id", "label", "name", "scope", "type")


def chosen(networks: Sequence[NetworkConfig], filters: Filters, used: Collection[str]) -> list[NetworkConfig]:
    """Those of `networks` that fit `filters`; `used` are the ids of those that somebody is on. Raises WardianError.

    Values of one key are alternatives, but for labels, which must all be there; keys must all hold.
    """
    tests = []
    for key, values in filters.items():
        if key not in _LISTED:
            raise WardianError(INVALID, f"invalid filter '{key}'", operation="list networks", subject=key)
        if values:
            tests.append(_test(key, values, used))
    return [one for one in networks if all(test(one) for test in tests)]


def _test(key: str, values: Sequence[str], used: Collection[str]) -> Callable[[NetworkConfig], bool]:
    if key == "dangling":
        wanted = _boolean(key, values)
        return lambda one: (not is_predefined(one) and one.id not in used) == wanted
    if key == "label":
        return lambda one: all(has_label(one.labels, text) for text in values)
    if key == "type":
        for text in values:
            if text not in ("builtin", "custom"):
                raise WardianError(INVALID, f"invalid filter: 'type'='{text}'", operation="list networks", subject=key)
        return lambda one: ("builtin" if is_predefined(one) else "custom") in values
    if key == "scope":
        return lambda one: "local" in values
    if key == "driver":
        return lambda one: one.driver in values
    if key == "name":
        names = [_fits(text) for text in values]
        return lambda one: any(fits(one.name) for fits in names)
    ids = [_fits(text) for text in values]
    return lambda one: any(fits(one.id) for fits in ids)


def is_predefined(network: NetworkConfig) -> bool:
    return network.name in PREDEFINED


def _fits(pattern: str) -> Finds:
    """A regular expression anywhere in the text, or the text itself; what is no expression fits only itself."""
    try:
        finds = finder(pattern)
    except ValueError:
        return lambda text: text == pattern
    return lambda text: text == pattern or finds(text)


def has_label(labels: Mapping[str, str], text: str) -> bool:
    """`key` or `key=value`."""
    key, sign, value = text.partition("=")
    return key in labels and (not sign or labels[key] == value)


def _boolean(key: str, values: Sequence[str]) -> bool:
    if len(values) > 1:
        message = f'got more than one value for filter key "{key}"'
        raise WardianError(INVALID, message, operation="list networks", subject=key)
    text = values[0].lower()
    if text not in ("true", "1", "false", "0"):
        message = f'invalid value for filter \'{key}\', must be "true" (or "1"), or "false" (or "0")'
        raise WardianError(INVALID, message, operation="list networks", subject=key)
    return text in ("true", "1")


def prunable(filters: Filters, created_before: float | None) -> Callable[[NetworkConfig, float], bool]:
    """Whether a prune with these filters means a network, of which its time of creation is given too.

    `created_before`: `until` as the caller read it. Raises WardianError.
    """
    for key in filters:
        if key not in ("label", "label!", "until"):
            raise WardianError(INVALID, f"invalid filter '{key}'", operation="prune networks", subject=key)
    with_labels, without = filters.get("label", ()), filters.get("label!", ())

    def means(network: NetworkConfig, created: float) -> bool:
        if is_predefined(network) or network.config_only or (created_before is not None and created > created_before):
            return False
        if not all(has_label(network.labels, text) for text in with_labels):
            return False
        return not (without and all(has_label(network.labels, text) for text in without))

    return means
