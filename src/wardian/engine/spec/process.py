"""What options write into `process` of the spec: command, environment, terminal, names, limits of the process."""

import os
from typing import TYPE_CHECKING, Any

from wardian.engine.spec.base import Spec

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write_command(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["args"] = config.command()


def write_environment(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Docker's order: PATH, HOSTNAME, TERM, then what was asked for, each name once at its first place."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": config.hostname()}
    if config["Tty"]:
        env["TERM"] = "xterm"
    for item in config["Env"]:
        name, sign, setting = item.partition("=")
        if sign:
            env[name] = setting
        else:  # docker run -e NAME with NAME unset in the client: takes it away
            env.pop(name, None)
    spec["process"]["env"] = [f"{name}={setting}" for name, setting in env.items()]


def write_terminal(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    process = spec["process"]
    process["terminal"] = True
    height, width = config["HostConfig.ConsoleSize"]
    if height or width:
        process["consoleSize"] = {"height": height, "width": width}


def write_working_directory(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["cwd"] = os.path.normpath(value) if value else "/"


def write_hostname(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    if config["HostConfig.UTSMode"] == "host" or config.joins("network"):
        spec["hostname"] = ""
    else:
        spec["hostname"] = config.hostname()


def write_domainname(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["domainname"] = value


def write_ulimits(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["rlimits"] = [
        {
            "type": f"RLIMIT_{item['Name'].upper()}",
            "soft": _unlimited(item.get("Soft", 0)),
            "hard": _unlimited(item.get("Hard", 0)),
        }
        for item in value
    ]


def _unlimited(limit: int) -> int:
    return (1 << 64) - 1 if limit == -1 else limit


def write_oom_score(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["oomScoreAdj"] = value


def write_umask(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["process"]["user"]["umask"] = int(value, 8)


def write_annotations(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["annotations"] = dict(value)
