"""A second kernel: Debian's 6.1 under qemu, with cgroup v2 alone, made of the parts of made.py.

The second disk is a tar of the working tree and of the Python packages, packed for each boot. pytest's words come by
the serial console.
"""

import contextlib
import io
import os
import selectors
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from vm.made import CACHE, Parts, make_parts

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEFT_OUT = {"mypy", "mypyc", "ruff", "pip", "setuptools", "grimp", "trove_classifiers", "__pycache__"}  # large, unused
BEGIN, END = "=== tests ===", "=== end"  # what the init script prints around pytest's words
SYSTEMD = ("init=/sbin/init", "systemd.getty_auto=no", "systemd.mask=getty.target", "systemd.show_status=no")


class Machine:
    """One disk, booted as often as is wanted. Raises made.Absent."""

    def __init__(self, disk: str = "", first: tuple[str, ...] = ()) -> None:
        """`disk`: where the machine's own is made, kept from boot to boot; "" for one that forgets. `first`: words of
        the kernel's command line that choose the first process (SYSTEMD)."""
        self._parts: Parts = make_parts()
        self._first = first
        self._disk = disk
        if disk:  # sparse
            subprocess.run(["cp", "--sparse=always", self._parts.disk, disk], check=True)

    def run(
        self,
        selection: list[str],
        timeout: float,
        files: Mapping[str, str] | None = None,
        power_cut: Callable[[str], bool] | None = None,
    ) -> tuple[int, str]:
        """pytest's exit status in the machine (-1: it did not come to its end), and what the console said from BEGIN
        on. `files` are put beside the tests. Once `power_cut` finds in the console's words what it waits for, the power
        is cut: what the machine has not written to its disk is lost."""
        project = os.path.join(CACHE, f"project-{os.getpid()}.tar")
        try:
            _pack(project, files or {})
            text = self._boot(project, selection, timeout, power_cut or (lambda _: False))
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(project)
        said = text[max(0, text.find(BEGIN)) :]
        _, found, status = said.rpartition(END)
        return (int(status.split()[0]) if found else -1), said

    def _boot(self, project: str, selection: list[str], timeout: float, power_cut: Callable[[str], bool]) -> str:
        words = ("console=ttyS0", "quiet", "panic=-1", *self._first, f"wardian.tests={','.join(selection)}")
        snapshot = "" if self._disk else ",snapshot=on"
        command = [
            "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
            "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
            "-kernel", self._parts.kernel, "-initrd", self._parts.initramfs, "-append", " ".join(words),
            "-drive", f"file={self._disk or self._parts.disk},format=raw,if=virtio{snapshot}",
            "-drive", f"file={project},format=raw,if=virtio,readonly=on",
        ]  # fmt: skip
        text = ""
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
            try:
                for piece in _said(process, time.monotonic() + timeout):
                    text += piece
                    if power_cut(text):
                        break
            finally:
                process.kill()
        return text


def run_tests(selection: list[str], timeout: float) -> tuple[int, str]:
    """Machine.run, on a disk that forgets."""
    return Machine().run(selection, timeout)


def _said(process: "subprocess.Popen[bytes]", until: float) -> Iterator[str]:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := until - time.monotonic()) > 0:
            if not selector.select(left):
                return
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                return
            yield piece.decode("utf-8", "replace").replace("\r", "")


def _pack(path: str, files: Mapping[str, str]) -> None:
    site = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(member.name.split("/")) or member.name.endswith(".pth") else member

    with tarfile.open(path, "w") as archive:
        for name in ("src", "tests", "tools", "launcher", "pyproject.toml"):
            archive.add(os.path.join(REPOSITORY, name), name, filter=kept)
        archive.add(site, "site", filter=kept)
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
