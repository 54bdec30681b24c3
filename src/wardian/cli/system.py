"""`version` and `info`: this command, the engine, and the host."""

from __future__ import annotations

import sys

from wardian import __version__
from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wardian.cli.command import Invocation


def _client_facts(invocation: Invocation) -> dict[str, Any]:
    import os
    import platform

    from wardian.client.http import API_VERSION

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    return {
        "Version": __version__,
        "ApiVersion": invocation.client.version,
        "DefaultAPIVersion": API_VERSION,
        "PythonVersion": platform.python_version(),
        "Os": "linux",
        "Arch": machine,
        "Context": invocation.context,
    }


def version(invocation: Invocation) -> int:
    form = invocation.text("format")
    render = template_for(form, "version")
    problem = None
    server = None
    try:
        server = invocation.client.call("GET", "/version")
    except WardianError as error:
        problem = error
    facts = {"Client": _client_facts(invocation), "Server": server}
    _show(facts, render, _version_text)
    if problem is not None:
        raise problem
    return 0


def template_for(form: str, name: str) -> Callable[[Any], str] | None:
    """How `--format` shows a value; None when there is no format. Raises Failure."""
    if not form:
        return None
    from wardian.cli.gotemplate import Template, TemplateError

    try:
        template = Template("{{json .}}" if form == "json" else form, name)
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", 64) from None

    def render(value: Any) -> str:
        try:
            return template.render(value) + "\n"
        except TemplateError as error:
            sys.stdout.write(error.partial + "\n")
            raise Failure(str(error)) from None

    return render


def _show(value: Any, render: Callable[[Any], str] | None, plain: Callable[[Any], str]) -> None:
    sys.stdout.write(render(value) if render else plain(value))
    sys.stdout.flush()


def _version_text(facts: dict[str, Any]) -> str:
    client, server = facts["Client"], facts["Server"]
    lines = [
        "Client:",
        f" Version:           {client['Version']}",
        f" API version:       {client['ApiVersion']}",
        f" Python version:    {client['PythonVersion']}",
        f" OS/Arch:           {client['Os']}/{client['Arch']}",
        f" Context:           {client['Context']}",
    ]
    if server:
        name = (server.get("Platform") or {}).get("Name")
        lines += ["", f"Server: {name}".rstrip()]
        engine = {"Name": "Engine", "Version": server.get("Version"), "Details": server}
        for component in server.get("Components") or [engine]:
            lines += _component_lines(component)
    return "\n".join(lines) + "\n"


_DETAILS = (
    ("ApiVersion", "API version"),
    ("GoVersion", "Go version"),
    ("PythonVersion", "Python version"),
    ("GitCommit", "Git commit"),
    ("BuildTime", "Built"),
    ("Os", "OS/Arch"),
    ("Experimental", "Experimental"),
)


def _component_lines(component: dict[str, Any]) -> list[str]:
    details = component.get("Details") or {}
    lines = [f" {component.get('Name')}:", f"  Version:          {component.get('Version')}"]
    for key, title in _DETAILS:
        if key not in details or details[key] == "":
            continue
        value = str(details[key])
        if key == "ApiVersion" and details.get("MinAPIVersion"):
            value += f" (minimum version {details['MinAPIVersion']})"
        if key == "Os":
            value += f"/{details.get('Arch', '')}"
        lines.append(f"  {title + ':':<18}{value}")
    return lines


def info(invocation: Invocation) -> int:
    form = invocation.text("format")
    render = template_for(form, "")
    client_info = {"Debug": False, **_client_facts(invocation)}
    answer = invocation.client.call("GET", "/info")
    if not isinstance(answer, dict):
        raise Failure("the engine answered no information")
    facts = {**answer, "ClientInfo": client_info}
    _show(facts, render, _info_text)
    for warning in answer.get("Warnings") or ():
        sys.stderr.write(f"{warning}\n")
    for error in answer.get("ServerErrors") or ():
        sys.stderr.write(f"ERROR: {error}\n")
    return 0


def _info_text(facts: dict[str, Any]) -> str:
    client = facts["ClientInfo"]
    lines = [
        "Client:",
        f" Version:    {client['Version']}",
        f" Context:    {client['Context']}",
        " Debug Mode: false",
        "",
        "Server:",
        f" Containers: {facts.get('Containers', 0)}",
        *(f"  {state}: {facts.get(f'Containers{state}', 0)}" for state in ("Running", "Paused", "Stopped")),
        f" Images: {facts.get('Images', 0)}",
        f" Server Version: {facts.get('ServerVersion', '')}",
        f" Storage Driver: {facts.get('Driver', '')}",
        *(f"  {key}: {value}" for key, value in facts.get("DriverStatus") or ()),
        f" Logging Driver: {facts.get('LoggingDriver', '')}",
        f" Cgroup Driver: {facts.get('CgroupDriver', '')}",
        f" Cgroup Version: {facts.get('CgroupVersion', '')}",
        *_plugin_lines(facts.get("Plugins") or {}),
        f" Swarm: {(facts.get('Swarm') or {}).get('LocalNodeState', 'inactive')}",
        *_runtime_lines(facts),
        *_security_lines(facts.get("SecurityOptions") or []),
        *_host_lines(facts),
    ]
    return "\n".join(lines) + "\n\n"


def _plugin_lines(plugins: dict[str, Any]) -> list[str]:
    lines = [" Plugins:"]
    for name in ("Volume", "Network", "Authorization", "Log"):
        if plugins.get(name):
            lines.append(f"  {name}: {' '.join(plugins[name])}")
    return lines if len(lines) > 1 else []


def _runtime_lines(facts: dict[str, Any]) -> list[str]:
    lines = []
    if facts.get("Runtimes"):
        lines.append(f" Runtimes: {' '.join(sorted(facts['Runtimes']))}")
        lines.append(f" Default Runtime: {facts.get('DefaultRuntime', '')}")
    if facts.get("InitBinary"):
        lines.append(f" Init Binary: {facts['InitBinary']}")
    for key, title in (("ContainerdCommit", "containerd"), ("RuncCommit", "runc"), ("InitCommit", "init")):
        if isinstance(facts.get(key), dict) and facts[key].get("ID"):
            lines.append(f" {title} version: {facts[key]['ID']}")
    return lines


def _security_lines(options: list[str]) -> list[str]:
    lines = [" Security Options:"] if options else []
    for option in options:
        fields = dict(field.partition("=")[::2] for field in option.split(","))
        lines.append(f"  {fields.pop('name', option)}")
        lines += [f"   {key.title()}: {value}" for key, value in fields.items()]
    return lines


def _host_lines(facts: dict[str, Any]) -> list[str]:
    from wardian.cli.human import memory_text

    registries = [str(name) for name in (facts.get("RegistryConfig") or {}).get("InsecureRegistryCIDRs") or ()]
    return [
        f" Kernel Version: {facts.get('KernelVersion', '')}",
        f" Operating System: {facts.get('OperatingSystem', '')}",
        f" OSType: {facts.get('OSType', '')}",
        f" Architecture: {facts.get('Architecture', '')}",
        f" CPUs: {facts.get('NCPU', 0)}",
        f" Total Memory: {memory_text(facts.get('MemTotal', 0))}",
        f" Name: {facts.get('Name', '')}",
        f" ID: {facts.get('ID', '')}",
        f" Docker Root Dir: {facts.get('DockerRootDir', '')}",
        f" Debug Mode: {str(bool(facts.get('Debug'))).lower()}",
        *([" Labels:", *(f"  {label}" for label in facts["Labels"])] if facts.get("Labels") else []),
        f" Experimental: {str(bool(facts.get('ExperimentalBuild'))).lower()}",
        *([" Insecure Registries:", *(f"  {name}" for name in registries)] if registries else []),
        f" Live Restore Enabled: {str(bool(facts.get('LiveRestoreEnabled'))).lower()}",
    ]


_FORMAT = Flag("format", "f", "string", "", "'json', or a Go template")
VERSION = Command(version, "[OPTIONS]", (_FORMAT,), most=0)
INFO = Command(info, "[OPTIONS]", (_FORMAT,), most=0)
