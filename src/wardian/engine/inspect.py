"""What a container looks like from outside: `GET /containers/ID/json` and a line of `GET /containers/json`.

Pure: made of one snapshot each, no lock, no disk.
"""

import datetime
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from wardian.engine.health.rules import Health, in_status
from wardian.engine.life.signals import signal_name
from wardian.engine.life.state import RunState, State
from wardian.engine.logging import shown_path
from wardian.engine.options.table import POINTS
from wardian.engine.registry import Container
from wardian.engine.volumes.points import PROPAGATIONS, binds_of, shown
from wardian.kernel.pidfd import same_process
from wardian.network import HeldPort
from wardian.storage import ContainerRoot

# what a list leaves out of an endpoint's settings, as Docker's does
_UNLISTED = {"Aliases": None, "DNSNames": None}
_NEVER = "0001-01-01T00:00:00Z"


def rfc3339(nanoseconds: int) -> str:
    """Go's RFC3339Nano in UTC; its zero time for 0."""
    if not nanoseconds:
        return _NEVER
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    head = datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat()[: len("2006-01-02T15:04:05")]
    fraction = f"{rest:09d}".rstrip("0")
    return f"{head}.{fraction}Z" if fraction else f"{head}Z"


def render_state(state: RunState) -> dict[str, Any]:
    return {
        "Status": state.state.value,
        "Running": state.running,
        "Paused": state.state is State.PAUSED,
        "Restarting": state.state is State.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.state is State.DEAD,
        "Pid": state.pid if state.live else 0,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": rfc3339(state.started_at),
        "FinishedAt": rfc3339(state.finished_at),
        "Reason": state.reason,  # Wardian's own: why it ended
    }


def render_end(state: RunState) -> dict[str, Any] | None:
    """How it ended, for `explain`: the sentence, and who sent which signal. None of what runs or never ran."""
    if not state.reason:
        return None
    return {
        "Reason": state.reason,
        "ExitCode": state.exit_code,
        "OOMKilled": state.oom_killed,
        "FinishedAt": rfc3339(state.finished_at),
        "Restarts": state.restarts,
        "Signals": [
            {
                "Signal": signal_name(ask.signal),
                "Operation": ask.operation,
                "Client": ask.client,
                "Time": rfc3339(ask.at),
                "Dropped": ask.dropped,
            }
            for ask in state.asks
        ],
    }


def render_health(health: Health | None) -> dict[str, Any]:
    """What `State` has more of a container that is checked, and was started."""
    if health is None:
        return {}
    log = [
        {
            "Start": rfc3339(result.start),
            "End": rfc3339(result.end),
            "ExitCode": result.exit_code,
            "Output": result.output,
        }
        for result in health.log
    ]
    return {"Health": {"Status": health.status, "FailingStreak": health.streak, "Log": log}}


def render_container(
    container: Container, networks: Mapping[str, Mapping[str, Any]], ports: Sequence[HeldPort], root: ContainerRoot
) -> dict[str, Any]:
    """The whole inspect body but sizes. `networks` is network name → EndpointSettings, `ports` what is published."""
    record, config, state = container.record, container.config, container.state
    command = config.command()
    directory = config.directory
    return {
        "Id": record.id,
        "Created": rfc3339(record.created),
        "Path": command[0],
        "Args": command[1:],
        "State": render_state(state) | render_health(container.health),
        "Image": record.image,
        "ResolvConfPath": os.path.join(directory, "resolv.conf"),
        "HostnamePath": os.path.join(directory, "hostname"),
        "HostsPath": os.path.join(directory, "hosts"),
        "LogPath": shown_path(config["HostConfig.LogConfig"], directory, record.id),
        "Name": f"/{record.name}",
        "RestartCount": state.restarts,
        "Driver": "overlay2",
        "Platform": record.os,
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": sorted(container.execs) or None,
        "HostConfig": config.api_host_config(),
        **({"Wardian": own} if (own := config.api_own()) else {}),
        "GraphDriver": {"Name": "overlay2", "Data": _graph_data(record.id, state, root)},
        "Mounts": render_mounts(container),
        "Config": config.api_config() | {"Image": record.image_ref},
        "NetworkSettings": render_network(container, networks, ports),
    }


def _graph_data(identity: str, state: RunState, root: ContainerRoot) -> dict[str, str]:
    """MergedDir is computed while the process with the recorded start time lives: nothing is mounted on the host."""
    lowers = ":".join(one for one in root.mount.lowers if isinstance(one, str))
    data = {"ID": identity, "LowerDir": lowers, "UpperDir": root.upper, "WorkDir": root.work}
    if state.live and same_process(state.pid, state.start_time):
        data["MergedDir"] = f"/proc/{state.pid}/root"
    return data


def render_network(
    container: Container, networks: Mapping[str, Mapping[str, Any]], ports: Sequence[HeldPort]
) -> dict[str, Any]:
    """Addresses stand at the top too for the default bridge alone, as Docker has it since there were others."""
    first: Mapping[str, Any] = networks.get("bridge", {})
    state = container.state
    own = state.live and bool(networks)
    return {
        "Bridge": "",
        "SandboxID": container.id if own else "",
        "SandboxKey": f"/proc/{state.pid}/ns/net" if own else "",
        "Ports": _port_map(container, ports) if own else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": first.get("EndpointID", ""),
        "Gateway": first.get("Gateway", ""),
        "GlobalIPv6Address": first.get("GlobalIPv6Address", ""),
        "GlobalIPv6PrefixLen": first.get("GlobalIPv6PrefixLen", 0),
        "IPAddress": first.get("IPAddress", ""),
        "IPPrefixLen": first.get("IPPrefixLen", 0),
        "IPv6Gateway": first.get("IPv6Gateway", ""),
        "MacAddress": first.get("MacAddress", ""),
        "Networks": dict(networks),
    }


def _port_map(container: Container, ports: Sequence[HeldPort]) -> dict[str, list[dict[str, str]] | None]:
    """nat.PortMap: published ports with the host's, exposed ones with nothing."""
    found: dict[str, list[dict[str, str]] | None] = dict.fromkeys(exposed(container))
    for one in ports:
        key = f"{one.port}/{one.protocol}"
        found[key] = [*(found.get(key) or ()), {"HostIp": one.host_ip, "HostPort": str(one.host_port or "")}]
    return dict(sorted(found.items()))


def exposed(container: Container) -> list[str]:
    """On a network that has ports to expose."""
    return [] if container.config["HostConfig.NetworkMode"] in ("host", "none") else [*container.config["ExposedPorts"]]


def render_ports(container: Container, ports: Sequence[HeldPort]) -> list[dict[str, Any]]:
    """The `Ports` of a line of `docker ps`."""
    if not container.state.live:
        return []
    lines: list[dict[str, Any]] = [
        {"IP": one.host_ip, "PrivatePort": one.port, "Type": one.protocol}
        | ({"PublicPort": one.host_port} if one.host_port else {})
        for one in ports
    ]
    published = {f"{one.port}/{one.protocol}" for one in ports}
    for key in exposed(container):
        number, _, protocol = key.partition("/")
        if key not in published:
            lines.append({"PrivatePort": int(number), "Type": protocol})
    return lines


def render_mounts(container: Container) -> list[dict[str, Any]]:
    """The user's mounts, as docker lists them."""
    config = container.config
    found = []
    for bind in binds_of(config):
        if bind.of_host:
            propagation = next((word for word in bind.words if word in PROPAGATIONS), "rprivate")
            found.append(_bind(bind.source, bind.target, bind.mode, "ro" not in bind.words, propagation))
    for item in config["HostConfig.Mounts"]:
        writable = not item.get("ReadOnly", False)
        if item["Type"] == "bind":
            propagation = (item.get("BindOptions") or {}).get("Propagation") or "rprivate"
            found.append(_bind(item["Source"], item["Target"], "", writable, propagation))
        elif item["Type"] == "tmpfs":
            found.append(_bind("", item["Target"], "", writable, "") | {"Type": "tmpfs"})
    return found + shown(config[POINTS])


def _bind(source: str, target: str, mode: str, writable: bool, propagation: str) -> dict[str, Any]:
    return {
        "Type": "bind",
        "Source": source,
        "Destination": target,
        "Mode": mode,
        "RW": writable,
        "Propagation": propagation,
    }


def render_summary(
    container: Container, image: str, networks: Mapping[str, Mapping[str, Any]], ports: Sequence[HeldPort]
) -> dict[str, Any]:
    """One line of `docker ps`. `image`: what its image is called now."""
    record, config, state = container.record, container.config, container.state
    return {
        "Id": record.id,
        "Names": [f"/{record.name}"],
        "Image": image,
        "ImageID": record.image,
        "Command": _quoted(config.command()),
        "Created": record.created // 1_000_000_000,
        "Ports": render_ports(container, ports),
        "Labels": config["Labels"],
        "State": state.state.value,
        "Status": status_text(state, time.time_ns(), container.health),
        "HostConfig": {"NetworkMode": config["HostConfig.NetworkMode"]},
        "NetworkSettings": {"Networks": {name: {**item, **_UNLISTED} for name, item in networks.items()}},
        "Mounts": render_mounts(container),
    }


def _quoted(command: list[str]) -> str:
    """As docker shows a command: words, those with spaces in single quotes."""
    return " ".join(f"'{word}'" if " " in word else word for word in command)


def status_text(state: RunState, now: int, health: Health | None = None) -> str:
    """docker's "Up 3 minutes (healthy)", "Exited (0) 2 hours ago"."""
    if state.state is State.RUNNING:
        return f"Up {human_duration(now - state.started_at)}{in_status(health)}"
    if state.state is State.PAUSED:
        return f"Up {human_duration(now - state.started_at)} (Paused)"
    if state.state is State.RESTARTING:
        return f"Restarting ({state.exit_code}) {human_duration(now - state.finished_at)} ago"
    if state.state is State.EXITED:
        return f"Exited ({state.exit_code}) {human_duration(now - state.finished_at)} ago"
    return {State.CREATED: "Created", State.REMOVING: "Removal In Progress", State.DEAD: "Dead"}[state.state]


def human_duration(nanoseconds: int) -> str:
    """Docker's words for about how long (github.com/docker/go-units documents the steps)."""
    seconds = nanoseconds // 1_000_000_000
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = round(seconds / 3600)
    if hours == 1:
        return "About an hour"
    for limit, size, unit in (
        (48, 1, "hours"),
        (24 * 14, 24, "days"),
        (24 * 60, 24 * 7, "weeks"),
        (24 * 730, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // size} {unit}"
    return f"{hours // (24 * 365)} years"
