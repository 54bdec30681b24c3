"""What options write into `mounts`: the user's binds and tmpfs, /dev/shm, and the files that the engine keeps."""

import os
from typing import TYPE_CHECKING, Any

from wardian.engine.options.checks import size_bytes
from wardian.engine.spec.base import Spec, drop_mount, mount_at

if TYPE_CHECKING:
    from wardian.engine.options.config import ContainerConfig


POINTED = ("volume", "image")  # types of `Mounts` that become mount points when a container is created


def write_shm(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    mount = mount_at(spec, "/dev/shm")
    if mount is not None and mount["type"] == "tmpfs":
        mount["options"] = [*mount["options"][:-1], f"size={value}"]


def write_binds(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Read-only is read-only with all that is mounted below (Docker's rule since 25)."""
    for item in value:
        parts = item.split(":")
        if len(parts) > 1 and parts[0].startswith("/"):  # else of a volume: see write_points
            _replace_mount(spec, bind_of_words(parts[0], parts[1], parts[2].split(",") if parts[2:] else []))


def bind_of_words(source: str, target: str, words: list[str]) -> dict[str, Any]:
    """-v's SOURCE:TARGET:WORDS of a path of the host."""
    unsaid = ("", "z", "Z", "nocopy", "consistent", "cached", "delegated")
    options = ["rro" if word == "ro" else word for word in words if word not in unsaid]
    return _bind(source, target, ["rbind", *options])


def _bind(source: str, target: str, options: list[str]) -> dict[str, Any]:
    """runtime-spec has no default propagation for a bind; Docker's is rprivate."""
    if not {"private", "rprivate", "shared", "rshared", "slave", "rslave"}.intersection(options):
        options = [*options, "rprivate"]
    return {"destination": os.path.normpath(target), "type": "bind", "source": source, "options": options}


def _replace_mount(spec: Spec, mount: dict[str, Any]) -> None:
    """The user's mount wins over one of ours at the same place."""
    drop_mount(spec, mount["destination"])
    spec["mounts"].append(mount)


def write_mounts(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    for item in value:
        if item["Type"] not in POINTED:
            _replace_mount(spec, of_mount(item))


def of_mount(item: dict[str, Any]) -> dict[str, Any]:
    """One of `Mounts` of type bind or tmpfs."""
    mode = ["ro"] if item.get("ReadOnly") else []
    if item["Type"] == "bind":
        options = item.get("BindOptions") or {}
        if mode and not options.get("ReadOnlyNonRecursive"):
            mode = ["rro"]
        words = ["bind" if options.get("NonRecursive") else "rbind", *mode]
        if options.get("Propagation"):
            words.append(options["Propagation"])
        return _bind(item["Source"], item["Target"], words)
    options = item.get("TmpfsOptions") or {}
    words = ["nosuid", "nodev", "noexec", *mode]
    if options.get("SizeBytes"):
        words.append(f"size={options['SizeBytes']}")
    if options.get("Mode"):
        words.append(f"mode={options['Mode']:o}")
    return _tmpfs(item["Target"], words)


def write_points(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """Volumes, and what comes from other containers. Then all of the user's mounts, those above before those below."""
    for point in value:
        if point["Type"] == "volume":
            _replace_mount(spec, _volume(point))
        elif point["Type"] == "image":
            _replace_mount(spec, _image(point))
        else:
            mode = [] if point["RW"] else ["rro" if point["Type"] == "bind" else "ro"]
            _replace_mount(spec, {**point["spec"], "options": [*point["spec"]["options"], *mode]})
    asked = {os.path.normpath(target) for target in config["HostConfig.Tmpfs"]}
    asked |= {os.path.normpath(item.split(":")[1]) for item in config["HostConfig.Binds"] if ":" in item}
    asked |= {os.path.normpath(item["Target"]) for item in config["HostConfig.Mounts"]}
    asked |= {point["Destination"] for point in value}
    theirs = [mount for mount in spec["mounts"] if mount["destination"] in asked]
    ours = [mount for mount in spec["mounts"] if mount["destination"] not in asked]
    spec["mounts"] = [*ours, *sorted(theirs, key=lambda mount: int(mount["destination"].count("/")))]


def _volume(point: dict[str, Any]) -> dict[str, Any]:
    """A volume's directory, the device that its options name, or a file system of its own (see MountPoint)."""
    made = point["mount"]
    words = [*made["options"], *([] if point["RW"] else ["ro"])]
    if made["type"] != "bind":
        target, source = point["Destination"], made["source"]
        return {"destination": target, "type": made["type"], "source": source, "options": words, "outside": True}
    kind = "bind" if "bind" in words else "rbind"
    words = [word for word in words if word not in ("bind", "rbind")]
    mount = _bind(made["source"], point["Destination"], [kind, *words])
    return {**mount, "subpath": point["subpath"]} if point.get("subpath") else mount


def _image(point: dict[str, Any]) -> dict[str, Any]:
    """An overlay over an image's layers, that nothing is written to."""
    own = {name: point[name] for name in ("lowers", "mapped", "subpath") if point[name]}
    target = point["Destination"]
    return {"destination": target, "type": "overlay", "source": "overlay", "options": ["ro", "rprivate"], **own}


def _tmpfs(target: str, options: list[str]) -> dict[str, Any]:
    return {"destination": os.path.normpath(target), "type": "tmpfs", "source": "tmpfs", "options": options}


def write_tmpfs(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    for target, text in value.items():
        words = ["noexec", "nosuid", "nodev", *filter(None, text.split(","))]
        for index, word in enumerate(words):
            if word.startswith("size="):
                amount = word.removeprefix("size=")
                words[index] = word if amount.endswith("%") else f"size={size_bytes(amount, 'HostConfig.Tmpfs')}"
        for positive in ("exec", "suid", "dev"):  # what the user says last wins over ours
            if positive in words:
                words = [word for word in words if word not in (positive, f"no{positive}")]
        _replace_mount(spec, _tmpfs(target, words))


def write_timezone(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """A copy of the zone's file, which the start makes, as the container's /etc/localtime (localtime(5))."""
    source = os.path.join(config.directory, "localtime")
    _replace_mount(spec, _bind(source, "/etc/localtime", ["rbind", "ro"]))


def write_read_only(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    spec["root"]["readonly"] = True


def write_container_files(spec: Spec, value: Any, config: "ContainerConfig") -> None:
    """The three files that the engine keeps for a container, unless the user mounts something there."""
    taken = {mount["destination"] for mount in spec["mounts"]}
    mode = "ro" if config["HostConfig.ReadonlyRootfs"] else "rw"
    for name in ("resolv.conf", "hostname", "hosts"):
        target = f"/etc/{name}"
        if target not in taken:
            source = os.path.join(config.directory, name)
            spec["mounts"].append(
                {"destination": target, "type": "bind", "source": source, "options": ["rbind", mode, "rprivate"]}
            )
