"""Dockerfile instructions as `import` and `commit` take them (`--change`): applied to an image's run configuration."""

import json
import shlex
from collections.abc import Callable, Iterable
from typing import Any

from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.images.healthcheck import first_word, read_health_check

Config = dict[str, Any]


def apply_changes(config: Config, changes: Iterable[str]) -> Config:
    """A new run configuration with each `INSTRUCTION arguments` line applied. Raises INVALID with Docker's words."""
    result = json.loads(json.dumps(config))
    assert isinstance(result, dict)
    for change in changes:
        for line in change.splitlines():
            word, rest = first_word(line)
            if not word or word.startswith("#"):
                continue
            _change(word.upper())(result, rest)
    return result


def _change(word: str) -> Callable[[Config, str], None]:
    if word == "ONBUILD":
        raise WardianError(NOT_IMPLEMENTED, f"change {word} is not built yet", operation="change", subject=word)
    apply = _CHANGES.get(word)
    if apply is None:
        raise WardianError(INVALID, f"{word} is not a valid change command", operation="change", subject=word)
    return apply


def _cmd(config: Config, text: str) -> None:
    config["Cmd"] = _command(text)


def _entrypoint(config: Config, text: str) -> None:
    config["Entrypoint"] = _command(text)


def _command(text: str) -> list[str]:
    """The exec form is a JSON array of strings; anything else is for a shell."""
    parsed = _json_strings(text)
    return ["/bin/sh", "-c", text] if parsed is None else parsed


def _json_strings(text: str) -> list[str] | None:
    if not text.startswith("["):
        return None
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, list) and all(isinstance(one, str) for one in parsed) else None


def _env(config: Config, text: str) -> None:
    environment = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
    environment.update(_pairs("ENV", text))
    config["Env"] = [f"{key}={value}" for key, value in environment.items()]


def _label(config: Config, text: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **_pairs("LABEL", text)}


def _pairs(word: str, text: str) -> dict[str, str]:
    """`KEY=VALUE KEY="a b"`, or the old `KEY the rest`."""
    words = _words(word, text)
    if not words:
        raise WardianError(INVALID, f"{word} must have two arguments", subject=text)
    if "=" not in words[0]:
        key, _, value = text.partition(" ")
        if not value.strip():
            raise WardianError(INVALID, f"{word} must have two arguments", subject=text)
        return {key: value.strip()}
    pairs: dict[str, str] = {}
    for one in words:
        key, equals, value = one.partition("=")
        if not equals or not key:
            message = f"Syntax error - can't find = in {one!r}. Must be of the form: name=value"
            raise WardianError(INVALID, message, subject=text)
        pairs[key] = value
    return pairs


def _words(word: str, text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise WardianError(INVALID, f"{word} {text!r}: {error}".lower(), subject=text) from None


def _user(config: Config, text: str) -> None:
    config["User"] = text


def _workdir(config: Config, text: str) -> None:
    before = str(config.get("WorkingDir") or "/")
    clean: list[str] = []
    for part in (text if text.startswith("/") else f"{before}/{text}").split("/"):
        if part == "..":
            clean = clean[:-1]
        elif part not in ("", "."):
            clean.append(part)
    config["WorkingDir"] = "/" + "/".join(clean)


def _volume(config: Config, text: str) -> None:
    paths = _json_strings(text) or _words("VOLUME", text)
    if not paths or not all(path.startswith("/") for path in paths):
        raise WardianError(INVALID, "VOLUME specified can not be an empty string or a relative path", subject=text)
    config["Volumes"] = {**(config.get("Volumes") or {}), **{path: {} for path in paths}}


def _stop_signal(config: Config, text: str) -> None:
    config["StopSignal"] = text


def _expose(config: Config, text: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        numbers, _, protocol = word.partition("/")
        first, dash, last = numbers.partition("-")
        valid = first.isdigit() and (not dash or last.isdigit()) and (protocol or "tcp") in ("tcp", "udp", "sctp")
        span = range(int(first), int(last or first) + 1) if valid else range(0)
        if not span or span[0] < 1 or span[-1] > 65535:
            raise WardianError(INVALID, f"invalid containerPort: {word}", operation="change", subject=word)
        ports.update({f"{port}/{protocol or 'tcp'}": {} for port in span})
    config["ExposedPorts"] = ports


def _health_check(config: Config, text: str) -> None:
    config["Healthcheck"] = read_health_check(text, _json_strings)


_CHANGES: dict[str, Callable[[Config, str], None]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _health_check,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
