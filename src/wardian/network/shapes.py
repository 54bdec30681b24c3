"""The JSON of a create body, field by field: each of the type that Docker's has, else refused in the words of Go's
decoder. Pure."""

from collections.abc import Mapping
from typing import Any

from wardian.errors import WardianError
from wardian.network import refusals


def _kind(value: object) -> str:
    kinds = ((bool, "bool"), (int, "number"), (float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "value")


def _misshapen(value: object, field: str, wanted: str) -> WardianError:
    return refusals.invalid(
        f"invalid JSON: json: cannot unmarshal {_kind(value)} into Go struct field CreateRequest.{field} "
        f"of type {wanted}",
        field,
    )


def text(body: Mapping[str, Any], field: str, path: str = "") -> str:
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _misshapen(value, path + field, "string")
    return value


def flag(body: Mapping[str, Any], field: str, default: bool) -> bool:
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _misshapen(value, field, "bool")
    return value


def mapping(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = body.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _misshapen(value, field, f"network.{field}")
    return value


def texts(body: Mapping[str, Any], field: str, path: str = "") -> dict[str, str]:
    value = body.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _misshapen(value, path + field, "map[string]string")
    for one in value.values():
        if not isinstance(one, str):
            raise _misshapen(one, path + field, "string")
    return dict(value)


def switch(options: Mapping[str, str], name: str, default: bool) -> bool:
    """A driver option that stands for a field of the body."""
    text = options.get(name)
    if text is None:
        return default
    if text not in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False"):
        raise refusals.invalid(f'driver-opt "{name}" is not a valid bool', name)
    return text in ("1", "t", "T", "true", "TRUE", "True")


def configs(ipam: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    configs = ipam.get("Config") or []
    if not isinstance(configs, list):
        raise _misshapen(configs, "IPAM.Config", "[]network.IPAMConfig")
    for place, one in enumerate(configs):
        if not isinstance(one, dict):
            raise _misshapen(one, f"IPAM.Config.{place}", "network.IPAMConfig")
    return configs
