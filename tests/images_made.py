"""Images made on the spot: layer archives, a busybox root, docker-archive and OCI layout files. Needs no network.

layer = layer_tar({"bin/": None, "bin/sh": Entry(b"…", mode=0o755), "sh": Link("bin/sh")})
busybox_layer()                                   # uncompressed tar bytes, cached
image = MadeImage([busybox_layer()], {"Cmd": ["sh"]})
docker_archive({"app:1": image}) ; oci_layout({"app:1": image})
"""

import functools
import gzip
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

MANIFEST_OCI = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_OCI = "application/vnd.oci.image.index.v1+json"
INDEX_DOCKER = "application/vnd.docker.distribution.manifest.list.v2+json"

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Entry(NamedTuple):
    """A regular file of a layer."""

    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 1_700_000_000


class Link(NamedTuple):
    """A symbolic (or, with hard=True, hard) link of a layer."""

    target: str
    hard: bool = False


class Node(NamedTuple):
    """A device or a fifo: kind is tarfile.CHRTYPE, BLKTYPE or FIFOTYPE."""

    kind: bytes
    major: int = 0
    minor: int = 0
    mode: int = 0o644


Content = Entry | Link | Node | bytes | None  # None: a directory; bytes: a file of mode 0644


def layer_tar(files: Mapping[str, Content]) -> bytes:
    """An uncompressed layer archive, entries in the given order. A name that ends in "/" with None is a directory."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name.rstrip("/") or ".")
            info.mtime = 1_700_000_000
            data = _describe(info, content)
            archive.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def _describe(info: tarfile.TarInfo, content: Content) -> bytes | None:
    match content:
        case None:
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        case Link(target, hard):
            info.type, info.linkname = (tarfile.LNKTYPE if hard else tarfile.SYMTYPE), target
            info.mode = 0o777
        case Node(kind, major, minor, mode):
            info.type, info.devmajor, info.devminor, info.mode = kind, major, minor, mode
        case bytes():
            info.size = len(content)
            return content
        case Entry():
            info.size, info.mode, info.uid, info.gid = len(content.data), content.mode, content.uid, content.gid
            info.mtime = content.mtime
            return content.data
    return None


def busybox_path() -> str:
    """The static busybox of this machine (Debian's busybox-static). Raises FileNotFoundError."""
    found = shutil.which("busybox")
    if found is None:
        raise FileNotFoundError("no busybox on this machine: apt-get install busybox-static")
    return found


@functools.cache
def busybox_layer() -> bytes:
    """A small root: busybox with a link for each applet, passwd and group (root, daemon, app 1000), /tmp, /etc."""
    path = busybox_path()
    with open(path, "rb") as file:
        binary = file.read()
    applets = subprocess.run([path, "--list"], check=True, capture_output=True, text=True).stdout.split()
    files: dict[str, Content] = {
        f"{name}/": None for name in ("bin", "dev", "etc", "home", "proc", "root", "sys", "usr")
    }
    files |= {"usr/bin/": None, "var/": None, "home/app/": None, "bin/busybox": Entry(binary, 0o755)}
    files |= {f"bin/{name}": Link("busybox") for name in applets if name != "busybox"}
    files |= {
        "etc/passwd": b"root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/:/bin/false\n"
        b"app:x:1000:1000::/home/app:/bin/sh\n",
        "etc/group": b"root:x:0:\ndaemon:x:1:\napp:x:1000:\nextra:x:2000:app\n",
    }
    raw = layer_tar(files)
    sticky = tarfile.TarInfo("tmp")
    sticky.type, sticky.mode = tarfile.DIRTYPE, 0o1777
    out = io.BytesIO(raw)
    with tarfile.open(fileobj=out, mode="a") as archive:
        archive.addfile(sticky)
    return out.getvalue()


class MadeImage(NamedTuple):
    """An image to be written somewhere: uncompressed layers bottom first, and its config's `config` object."""

    layers: Sequence[bytes]
    run_config: Mapping[str, Any] = {
        "Cmd": ["sh"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    }
    architecture: str = ARCHITECTURE
    variant: str = ""
    created: str = "2023-11-14T22:13:20.123456789Z"

    def config(self) -> bytes:
        """The image config's bytes; its sha256 is the image's id."""
        document: dict[str, Any] = {
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": dict(self.run_config),
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in self.layers]},
            "history": [{"created": self.created, "created_by": f"layer {n}"} for n in range(len(self.layers))],
        }
        if self.variant:
            document["variant"] = self.variant
        return json.dumps(document).encode()

    @property
    def id(self) -> str:
        return digest(self.config())


def busybox_image(**run_config: Any) -> MadeImage:
    """The busybox root as an image; keyword arguments go into its config (`Cmd=["true"]`, `User="app"` …)."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return MadeImage([busybox_layer()], {"Cmd": ["sh"], "Env": [path], **run_config})


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def docker_archive(images: Mapping[str, MadeImage]) -> bytes:
    """What `docker save` wrote before OCI layouts: manifest.json, configs and layer.tar files."""
    files: dict[str, Content] = {}
    manifest: list[dict[str, Any]] = []
    for tag, image in images.items():
        names = []
        for layer in image.layers:
            directory = hashlib.sha256(layer).hexdigest()
            files[f"{directory}/"] = None
            files[f"{directory}/layer.tar"] = layer
            names.append(f"{directory}/layer.tar")
        config_name = f"{image.id.partition(':')[2]}.json"
        files[config_name] = image.config()
        manifest.append({"Config": config_name, "RepoTags": [tag], "Layers": names})
    files["manifest.json"] = json.dumps(manifest).encode()
    return layer_tar(files)


def oci_layout(images: Mapping[str, MadeImage], *, compress: bool = True) -> bytes:
    """An OCI image layout (image-layout.md) as one tar; `compress` gzips its layers."""
    files: dict[str, Content] = {
        "oci-layout": b'{"imageLayoutVersion": "1.0.0"}',
        "blobs/": None,
        "blobs/sha256/": None,
    }
    entries: list[dict[str, Any]] = []
    for tag, image in images.items():
        blobs, manifest = made_manifest(image, compress=compress)
        blobs[digest(manifest)] = manifest
        files |= {f"blobs/sha256/{name.partition(':')[2]}": data for name, data in blobs.items()}
        names = {"org.opencontainers.image.ref.name": tag.rpartition(":")[2], "io.containerd.image.name": tag}
        entries.append(
            {"mediaType": MANIFEST_OCI, "digest": digest(manifest), "size": len(manifest), "annotations": names}
        )
    files["index.json"] = json.dumps({"schemaVersion": 2, "mediaType": INDEX_OCI, "manifests": entries}).encode()
    return layer_tar(files)


def made_manifest(
    image: MadeImage, *, compress: bool | str = True, docker: bool = False
) -> tuple[dict[str, bytes], bytes]:
    """Blobs by digest, and the manifest's bytes. `compress`: True or "gzip", "zstd", False."""
    config = image.config()
    blobs = {digest(config): config}
    layers = []
    for layer in image.layers:
        data, suffix = _compressed(layer, compress)
        blobs[digest(data)] = data
        kind = "application/vnd.oci.image.layer.v1.tar" + suffix
        if docker:
            kind = "application/vnd.docker.image.rootfs.diff.tar" + suffix.replace("+", ".")
        layers.append({"mediaType": kind, "digest": digest(data), "size": len(data)})
    config_type = (
        "application/vnd.docker.container.image.v1+json" if docker else "application/vnd.oci.image.config.v1+json"
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_DOCKER if docker else MANIFEST_OCI,
        "config": {"mediaType": config_type, "digest": digest(config), "size": len(config)},
        "layers": layers,
    }
    return blobs, json.dumps(manifest).encode()


def _compressed(layer: bytes, how: bool | str) -> tuple[bytes, str]:
    if how == "zstd":
        from backports import zstd

        return zstd.compress(layer), "+zstd"
    return (gzip.compress(layer, 1, mtime=0), "+gzip") if how else (layer, "")


def write_file(directory: "str | os.PathLike[str]", name: str, data: bytes) -> str:
    """Write `data` below a test's directory and return the path."""
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(data)
    return path
