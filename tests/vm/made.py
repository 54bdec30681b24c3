"""What the machine is made of, made once and kept in CACHE. Nothing is installed on this machine.

kernel/          Debian's package, unpacked
root/            a Debian of debootstrap, with that kernel's modules
debian.ext4      the first disk: root/ and the script that runs pytest on what the kernel's command line names: as the
                 first process, or as a unit of systemd's (init=/sbin/init on that command line)
initramfs.cpio   busybox and the virtio modules, which mount the first disk
"""

import contextlib
import fcntl
import glob
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

CACHE = os.environ.get("WARDIAN_VM_CACHE", "/var/tmp/wardian-vm")
RELEASE, KERNEL, VERSION = "bookworm", "linux-image-cloud-amd64", "6.1"
PACKAGES = "python3,libnftables1,nftables,busybox-static,iproute2,kmod,systemd,systemd-sysv"
PROGRAMS = ("qemu-system-x86_64", "debootstrap", "mkfs.ext4", "busybox", "apt-get", "dpkg-deb", "cpio")
FIRST_MODULES = ("virtio_pci", "virtio_blk")
ENVIRONMENT = os.environ | {"PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"}

INITRAMFS_INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
for module in {modules}; do /bin/busybox insmod /modules/$module; done
while [ ! -b /dev/vda ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda /root
first=/sbin/wardian-vm
for word in $(/bin/busybox cat /proc/cmdline); do case $word in init=*) first=${{word#init=}};; esac; done
exec /bin/busybox switch_root /root $first
"""
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root PYTHONPATH=/work/src:/work/site PYTHONDONTWRITEBYTECODE=1
export WARDIAN_TEST_DEADLINE=90
mkdir -p /work
if [ $$ = 1 ]; then
  mount -t proc proc /proc
  mount -t sysfs sys /sys
  mount -t devtmpfs dev /dev
  mkdir -p /dev/pts /dev/shm
  mount -t devpts devpts /dev/pts
  mount -t tmpfs tmpfs /dev/shm
  mount -t tmpfs tmpfs /run
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  modprobe -a nfnetlink nf_tables overlay veth bridge
  ip link set lo up
fi
exec >/dev/ttyS0 2>&1 </dev/null
cd /work && tar xf /dev/vdb
selection=$(sed 's/.*wardian.tests=\\([^ ]*\\).*/\\1/; s/,/ /g' /proc/cmdline)
echo "=== tests ==="
{
  python3 -m pytest -p no:cacheprovider --color=no -v --tb=short --timeout 240 $selection
  echo "=== end $?"
} 2>&1 | cat
sync
exec busybox poweroff -f
"""


UNIT = """[Unit]
Description=Tests in this machine
After=multi-user.target
[Service]
Type=exec
ExecStart=/sbin/wardian-vm
"""


class Absent(Exception):
    """Something that the machine needs and that is not to be had here: a reason to skip, no failure of Wardian's."""


class Parts(NamedTuple):
    kernel: str
    initramfs: str
    disk: str


def make_parts() -> Parts:
    """Raises Absent."""
    if platform.machine() != "x86_64":
        raise Absent(f"the second kernel is for x86_64, this machine is {platform.machine()}")
    if lacking := [name for name in PROGRAMS if shutil.which(name, path=ENVIRONMENT["PATH"]) is None]:
        raise Absent(f"needs the programs {', '.join(lacking)} (tools/setup soak brings them)")
    os.makedirs(CACHE, exist_ok=True)
    with _only_one():
        kernel, modules = _kernel()
        return Parts(kernel, _initramfs(modules), _disk(modules))


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """A second run waits until the first has made what both need."""
    with open(os.path.join(CACHE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kernel() -> tuple[str, str]:
    """The kernel's path and the directory of its modules."""
    unpacked = os.path.join(CACHE, "kernel")
    if not os.path.isdir(unpacked):
        shutil.rmtree(f"{unpacked}.new", ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as directory:
            _run("dpkg-deb", "-x", _kernel_package(directory), f"{unpacked}.new")
        (release,) = os.listdir(f"{unpacked}.new/lib/modules")
        _run("busybox", "depmod", "-b", f"{unpacked}.new", release)
        os.rename(f"{unpacked}.new", unpacked)
    (release,) = os.listdir(f"{unpacked}/lib/modules")
    return f"{unpacked}/boot/vmlinuz-{release}", f"{unpacked}/lib/modules/{release}"


def _kernel_package(directory: str) -> str:
    """Downloads it. Lists that are missing, or so old that their package is gone, are read anew once."""
    try:
        return _download_kernel(directory)
    except Absent:
        _to_be_had("apt-get", "-qq", "update")
        return _download_kernel(directory)


def _download_kernel(directory: str) -> str:
    depends = re.findall(r"Depends: (linux-image-\d\S*)", _to_be_had("apt-cache", "depends", KERNEL))
    if not depends or not depends[0].startswith(f"linux-image-{VERSION}."):
        raise Absent(f"needs Debian's Linux {VERSION}; apt has {', '.join(depends) or 'none'}")
    _to_be_had("apt-get", "-qq", "download", depends[0], cwd=directory)
    return glob.glob(f"{directory}/*.deb")[0]


def _root() -> str:
    root = os.path.join(CACHE, "root")
    packages = os.path.join(root, "packages")
    if not (os.path.exists(packages) and _text(packages) == PACKAGES):
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(f"{root}.new", ignore_errors=True)
        _to_be_had("debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, f"{root}.new", _mirror())
        _write(f"{root}.new/packages", PACKAGES)
        os.rename(f"{root}.new", root)
    return root


def _mirror() -> str:
    """Where this machine gets its Debian from (sources.list(5), both formats)."""
    for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*"))]:
        with contextlib.suppress(FileNotFoundError):
            if found := re.search(r"^(?:URIs:|deb(?: \[[^]]*\])?) *(https?://\S*/debian)/?(?:\s|$)", _text(path), re.M):
                return found[1]
    return "http://deb.debian.org/debian"


def _disk(modules: str) -> str:
    disk = os.path.join(CACHE, "debian.ext4")
    root = _root()
    made = {f"{root}/sbin/wardian-vm": INIT, f"{root}/etc/systemd/system/wardian-vm.service": UNIT}
    same = all(os.path.exists(path) and _text(path) == text for path, text in made.items())
    has_modules = os.path.isdir(f"{root}/lib/modules/{os.path.basename(modules)}")
    if not (same and has_modules and os.path.exists(disk) and os.stat(disk).st_mtime > os.stat(root).st_mtime):
        shutil.copytree(modules, f"{root}/lib/modules/{os.path.basename(modules)}", dirs_exist_ok=True)
        # Debian's depmod, not busybox's: modprobe, which the kernel calls, reads the indexes that only that one writes.
        _run("chroot", root, "depmod", os.path.basename(modules))
        for path, text in made.items():
            _write(path, text)
        _want_unit(root)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{disk}.new")
        _run("mkfs.ext4", "-q", "-d", root, f"{disk}.new", "3G")
        os.rename(f"{disk}.new", disk)
    return disk


def _want_unit(root: str) -> None:
    """As `systemctl enable` does, but for a unit after all others of the target."""
    wanted = f"{root}/etc/systemd/system/multi-user.target.wants"
    os.makedirs(wanted, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.symlink("../wardian-vm.service", f"{wanted}/wardian-vm.service")


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


def _to_be_had(*command: str, cwd: str | None = None) -> str:
    """What a command says that asks the network. Raises Absent with its last line when it fails."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, check=False
    )
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip()).splitlines() or [f"exit status {done.returncode}"]
        raise Absent(f"{' '.join(command[:3])}: {words[-1]}")
    return done.stdout


def _run(*command: str) -> None:
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, env=ENVIRONMENT)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o755)


def _text(path: str) -> str:
    with open(path) as file:
        return file.read()
