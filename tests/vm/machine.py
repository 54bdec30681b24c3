"""A second kernel: Debian's 6.1 under qemu, with cgroup v2 alone, made of the parts of made.py.

qemu writes to a snapshot of the first disk. The second is a tar of the working tree and of the Python packages, packed
for each run. pytest's words come by the serial console.
"""

import contextlib
import os
import subprocess
import tarfile

import pytest

from vm.made import CACHE, make_parts

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LEFT_OUT = {"mypy", "mypyc", "ruff", "pip", "setuptools", "grimp", "trove_classifiers", "__pycache__"}  # large, unused
BEGIN, END = "=== tests ===", "=== end"  # what the init script prints around pytest's words


def run_tests(selection: list[str], timeout: float) -> tuple[int, str]:
    """pytest's exit status in the machine (-1: it did not come to its end), and what the console said from BEGIN on.

    Raises made.Absent.
    """
    parts = make_parts()
    project = os.path.join(CACHE, f"project-{os.getpid()}.tar")
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1536",
        "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio",
        "-kernel", parts.kernel, "-initrd", parts.initramfs,
        "-append", f"console=ttyS0 quiet panic=-1 wardian.tests={','.join(selection)}",
        "-drive", f"file={parts.disk},format=raw,if=virtio,snapshot=on",
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


def _pack(path: str) -> None:
    site = os.path.dirname(os.path.dirname(os.path.abspath(pytest.__file__)))

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return None if LEFT_OUT & set(member.name.split("/")) or member.name.endswith(".pth") else member

    with tarfile.open(path, "w") as archive:
        for name in ("src", "tests", "tools", "launcher", "pyproject.toml"):
            archive.add(os.path.join(REPOSITORY, name), name, filter=kept)
        archive.add(site, "site", filter=kept)
