"""A second kernel: Debian's 6.1 under qemu, with cgroup v2 alone. Nothing is installed; all is kept in CACHE.

    first disk    a Debian of debootstrap with that kernel's modules, made once; qemu writes to a snapshot of it
    second disk   a tar of the working tree and of the Python packages, made for each run
    initramfs     busybox and the virtio modules, which mount the first disk

The init script runs pytest on what it is given on the kernel's command line, prints on the serial console, powers off.
"""

import contextlib
import glob
import os
import shutil
import subprocess
import tarfile

import pytest

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("WARDIAN_VM_CACHE", "/var/tmp/wardian-vm")
RELEASE = "bookworm"
PACKAGES = "python3,libnftables1,nftables,busybox-static,iproute2,kmod"
PROGRAMS = ("qemu-system-x86_64", "debootstrap", "mkfs.ext4", "busybox", "apt-get", "dpkg-deb", "cpio")
LEFT_OUT = {"mypy", "mypyc", "ruff", "pip", "setuptools", "grimp", "trove_classifiers", "__pycache__"}  # large, unused
FIRST_MODULES = ("virtio_pci", "virtio_blk")
BEGIN, END = "=== tests ===", "=== end"

INITRAMFS_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in {modules}; do /bin/busybox insmod /modules/$module; done
while [ ! -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /sbin/wardian-vm
"""
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONPATH=/work/src:/work/site PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /work
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
modprobe -a nfnetlink nf_tables overlay veth bridge
ip link set lo up
exec >/dev/ttyS0 2>&1 </dev/null
cd /work && tar xf /dev/vdb
selection=$(sed 's/.*wardian.tests=\\([^ ]*\\).*/\\1/; s/,/ /g' /proc/cmdline)
echo "=== tests ==="
{
  python3 -m pytest -p no:cacheprovider --color=no -v --tb=short --timeout 60 $selection
  echo "=== end $?"
} 2>&1 | cat
sync
exec busybox poweroff -f
"""


def missing_programs() -> list[str]:
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def run_tests(selection: list[str], timeout: float) -> tuple[int, str]:
    """pytest's exit status in the machine (-1: it did not come to its end), and what the console said from BEGIN on."""
    kernel, modules = _kernel()
    disk, initramfs = _disk(modules), _initramfs(modules)
    project = os.path.join(CACHE, f"project-{os.getpid()}.tar")
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
        "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
        "-kernel", kernel, "-initrd", initramfs,
        "-append", f"console=ttyS0 quiet panic=-1 wardian.tests={','.join(selection)}",
        "-drive", f"file={disk},format=raw,if=virtio,snapshot=on",
        "-drive", f"file={project},format=raw,if=virtio,readonly=on",
    ]  # fmt: skip
    try:
        _pack(project)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=timeout, check=False)
        output = done.stdout
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(project)
    text = output.decode("utf-8", "replace").replace("\r", "")
    said = text[max(0, text.find(BEGIN)) :]
    _, found, status = said.rpartition(END)
    return (int(status.split()[0]) if found else -1), said


def _kernel() -> tuple[str, str]:
    """The kernel's path and the directory of its modules, unpacked from Debian's package."""
    unpacked = os.path.join(CACHE, "kernel")
    if not os.path.isdir(unpacked):
        debs = os.path.join(CACHE, "debs")
        os.makedirs(debs, exist_ok=True)
        depends = _said("apt-cache", "depends", "linux-image-cloud-amd64").split()
        name = next(word for word in depends if word.startswith("linux-image-") and word[12].isdigit())
        subprocess.run(["apt-get", "-qq", "download", name], cwd=debs, check=True)
        (deb,) = glob.glob(f"{debs}/{name}_*.deb")
        subprocess.run(["dpkg-deb", "-x", deb, f"{unpacked}.new"], check=True)
        release = os.listdir(f"{unpacked}.new/lib/modules")[0]
        subprocess.run(["busybox", "depmod", "-b", f"{unpacked}.new", release], check=True)
        os.rename(f"{unpacked}.new", unpacked)
    release = os.listdir(f"{unpacked}/lib/modules")[0]
    return f"{unpacked}/boot/vmlinuz-{release}", f"{unpacked}/lib/modules/{release}"


def _disk(modules: str) -> str:
    disk = os.path.join(CACHE, "debian.ext4")
    root = os.path.join(CACHE, "root")
    if not os.path.isdir(root):
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, f"{root}.new"],
            stdout=subprocess.DEVNULL,
            check=True,
        )
        os.rename(f"{root}.new", root)
    init = os.path.join(root, "sbin/wardian-vm")
    if not os.path.exists(disk) or not os.path.exists(init) or _text(init) != INIT:
        shutil.copytree(modules, f"{root}/lib/modules/{os.path.basename(modules)}", dirs_exist_ok=True)
        # Debian's depmod, not busybox's: modprobe, which the kernel calls, reads the indexes that only that one writes.
        subprocess.run(["chroot", root, "depmod", os.path.basename(modules)], check=True, env=_environment())
        _write(init, INIT)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{disk}.new")
        subprocess.run(["mkfs.ext4", "-q", "-d", root, f"{disk}.new", "3G"], check=True, env=_environment())
        os.rename(f"{disk}.new", disk)
    return disk


def _initramfs(modules: str) -> str:
    """Modules are loaded in the order in which they need one another (modules.dep(5): needed ones after the colon)."""
    needs = {}
    for line in _text(f"{modules}/modules.dep").splitlines():
        path, _, after = line.partition(":")
        needs[os.path.basename(path).split(".")[0]] = (path, after.split())
    order: list[str] = []

    def add(path: str) -> None:
        for needed in needs[os.path.basename(path).split(".")[0]][1]:
            add(needed)
        if path not in order:
            order.append(path)

    for name in FIRST_MODULES:
        add(needs[name][0])
    tree = os.path.join(CACHE, "initramfs")
    for name in ("bin", "dev", "proc", "root", "modules"):
        os.makedirs(f"{tree}/{name}", exist_ok=True)
    shutil.copy(shutil.which("busybox") or "", f"{tree}/bin/busybox")
    for path in order:
        shutil.copy(f"{modules}/{path}", f"{tree}/modules/")
    _write(f"{tree}/init", INITRAMFS_INIT.format(modules=" ".join(map(os.path.basename, order))))
    archive = os.path.join(CACHE, "initramfs.cpio")
    names = "\n".join(os.path.relpath(path, tree) for path in sorted(glob.glob(f"{tree}/**", recursive=True)))
    with open(archive, "wb") as file:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), stdout=file, cwd=tree, check=True)
    return archive


def _pack(path: str) -> None:
    site = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(member.name.split("/")) or member.name.endswith(".pth") else member

    with tarfile.open(path, "w") as archive:
        for name in ("src", "tests", "launcher", "pyproject.toml"):
            archive.add(os.path.join(REPOSITORY, name), name, filter=kept)
        archive.add(site, "site", filter=kept)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()


def _said(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}
