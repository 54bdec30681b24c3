"""`inspect`: everything known about containers, images, networks, as JSON or through a Go template."""

from __future__ import annotations

import sys

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.pflag import Flag, go_quote
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wardian.cli.command import Invocation

_KINDS = ("container", "image", "network", "volume", "plugin")
_ALL_KINDS = ("config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume")
_NIL_LISTS = (
    "Aliases Binds CapAdd CapDrop Cmd DNSNames DeviceCgroupRules DeviceRequests Devices Dns DnsOptions DnsSearch "
    "Entrypoint Env ExecIDs ExtraHosts GroupAdd Links MaskedPaths Mounts OnBuild Peers ReadonlyPaths RepoDigests "
    "RepoTags SecondaryIPAddresses SecondaryIPv6Addresses SecurityOpt Shell Ulimits VolumesFrom"
)
_NIL_MAPS = (
    "Annotations AuxiliaryAddresses DriverOpts ExposedPorts Labels Networks Options PortBindings Ports StorageOpt "
    "Sysctls Tmpfs Volumes"
)
_NIL_POINTERS = "Health Healthcheck IPAMConfig Init MemorySwappiness OomKillDisable PidsLimit StopTimeout"
_NIL_TEXTS = "Domainname Gateway IPRange MacAddress StopSignal"
_NILS = {
    **dict.fromkeys(_NIL_LISTS.split(), "[]"),
    **dict.fromkeys(_NIL_MAPS.split(), "map[]"),
    **dict.fromkeys(_NIL_POINTERS.split(), "<nil>"),
    **dict.fromkeys(_NIL_TEXTS.split(), ""),
}
_RATE = "{Path}:{Rate}"
_SHAPES: dict[str, tuple[str, ...] | str] = {
    "BlkioDeviceReadBps": _RATE,
    "BlkioDeviceReadIOps": _RATE,
    "BlkioDeviceWriteBps": _RATE,
    "BlkioDeviceWriteIOps": _RATE,
    "BlkioWeightDevice": "{Path}:{Weight}",
    "ConfigFrom": ("Network",),
    "Devices": ("PathOnHost", "PathInContainer", "CgroupPermissions"),
    "ExposedPorts": ("*",),
    "Healthcheck": ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"),
    "LogConfig": ("Type", "Config"),
    "Mounts": ("Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation"),
    "PortBindings": ("*", "HostIp", "HostPort"),
    "Ports": ("*", "HostIp", "HostPort"),
    "RestartPolicy": ("Name", "MaximumRetryCount"),
    "Ulimits": "{Name}={Soft}:{Hard}",
}
_PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "plugin": "/plugins/{}/json",
}


def inspect_any(invocation: Invocation) -> int:
    kind = invocation.text("type")
    if invocation.given("type") and kind not in _ALL_KINDS:
        wanted = ", ".join(go_quote(name) for name in _ALL_KINDS)
        raise Failure(f"unknown type: {go_quote(kind)}: must be one of {wanted}")
    if kind and kind not in _PATHS:
        raise Failure(f"wardian: 'inspect --type {kind}' is not built yet")
    if kind:
        return show_all(invocation, lambda name: _get(invocation, kind, name))
    return show_all(invocation, lambda name: _find(invocation, name))


def _find(invocation: Invocation, name: str) -> object:
    """The object of the first kind that has one of this name."""
    for kind in _KINDS:
        try:
            return _get(invocation, kind, name)
        except WardianError as error:
            # A kind that this engine has not is as good as a name that it has not.
            if getattr(error, "status", 0) not in (404, 400, 501):
                raise
    raise Failure(f"Error: No such object: {name}")


def _get(invocation: Invocation, kind: str, name: str) -> object:
    query: dict[str, object] = {}
    if kind in ("container", "network", "volume"):
        name = path_name(name, kind)
    if kind == "container":
        query["size"] = "size" in invocation.parsed.values and invocation.flag("size")
    if kind == "image" and "platform" in invocation.parsed.values and invocation.text("platform"):
        from wardian.cli.references import platform_query

        query["platform"] = platform_query(invocation.text("platform"))
    if kind == "network" and "verbose" in invocation.parsed.values:
        query["verbose"] = invocation.flag("verbose")
    found = invocation.client.call("GET", _PATHS[kind].format(name), query=query)
    if kind == "image" and isinstance(found, dict) and invocation.text("format"):
        found.setdefault("Created", "")  # left out by an image that does not say: empty to a template
    return found


def _of_kind(kind: str) -> Callable[[Invocation], int]:
    return lambda invocation: show_all(invocation, lambda name: _get(invocation, kind, name))


def show_all(invocation: Invocation, get: Callable[[str], object], names: Sequence[str] = ()) -> int:
    """Shows what was found of `names` (else of the arguments), then tells what was not."""
    form = invocation.text("format")
    render = _renderer(form)
    found, errors = [], []
    for name in names or invocation.args:
        try:
            found.append(get(name))
        except WardianError as error:
            errors.append(error_text(error))
        except Failure as failure:
            errors.append(failure.message)
    text, wrong = render(found)
    sys.stdout.write(text)
    if wrong:
        errors.insert(0, wrong)
    if errors:
        raise Failure("\n".join(errors))
    return 0


def _renderer(form: str) -> Callable[[Sequence[object]], tuple[str, str]]:
    """A function from objects to (text, what went wrong)."""
    if not form:
        return _indented
    from wardian.cli.gotemplate import Template, TemplateError

    if form == "json":
        from wardian.cli.gotemplate_functions import json_text

        return lambda objects: (json_text(list(objects)) + "\n", "")
    try:
        template = Template(form, nils=_NILS, shapes=_SHAPES)
    except TemplateError as error:
        raise Failure(f"template parsing error: {error}", 64) from None

    from wardian.cli.gotypes import typed

    def render(objects: Sequence[object]) -> tuple[str, str]:
        out = ""
        for one in objects:
            try:
                out += template.render(typed(one)) + "\n"
            except TemplateError as error:
                return out or "\n", f"template parsing error: {error}"
        return out or "\n", ""

    return render


def _indented(objects: Sequence[object]) -> tuple[str, str]:
    if not objects:
        return "[]\n", ""
    import json

    return json.dumps(objects, indent=4, ensure_ascii=False) + "\n", ""


_FORMAT = Flag("format", "f", "string", "", "'json', or a Go template")
_SIZE = Flag("size", "s", "bool", "", "Show how much a container wrote")
ANY = Command(
    inspect_any,
    "[OPTIONS] NAME|ID [NAME|ID...]",
    (_FORMAT, _SIZE, Flag("type", "", "string", "", "Look only among objects of this type")),
    least=1,
)
CONTAINER = Command(_of_kind("container"), "[OPTIONS] CONTAINER [CONTAINER...]", (_FORMAT, _SIZE), least=1)
IMAGE = Command(
    _of_kind("image"),
    "[OPTIONS] IMAGE [IMAGE...]",
    (_FORMAT, Flag("platform", "", "string", "", "Platform of the image (os/arch[/variant])")),
    least=1,
)
VOLUME = Command(_of_kind("volume"), "[OPTIONS] VOLUME [VOLUME...]", (_FORMAT,), least=1)
NETWORK = Command(
    _of_kind("network"),
    "[OPTIONS] NETWORK [NETWORK...]",
    (_FORMAT, Flag("verbose", "v", "bool", "", "Say more (of Swarm's networks)")),
    least=1,
)
