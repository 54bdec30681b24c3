"""What a test needs of the machine: a skip with its reason at home, a failure in CI (CI=true), where all must be there.

Call these at the head of a test or a fixture: `needs.root()`, `needs.program("docker")`.
"""

import os
import shutil
from typing import NoReturn

import pytest

IN_CI = os.environ.get("CI") == "true"
ELSEWHERE = "run by tests/vm: "


def missing(reason: str) -> NoReturn:
    """Ends the test: skipped at home, failed in CI."""
    if IN_CI:
        pytest.fail(f"missing in CI: {reason}", pytrace=False)
    pytest.skip(reason)


def kernel(reason: str) -> NoReturn:
    """A part that kernels are built without, CI's among them: skipped anywhere, and run by tests/vm (make soak) on a
    kernel that has it, where a skip is a failure."""
    pytest.skip(ELSEWHERE + reason)


def root() -> None:
    if os.geteuid() != 0:
        missing("needs root")


def program(name: str) -> str:
    """The path of a program, /usr/sbin included: Debian keeps nft there and leaves it off a user's PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")
    if path is None:
        missing(f"needs the program {name} (tools/setup, or tools/setup soak, brings it)")
    return path


def busybox() -> str:
    """A statically linked busybox: what test images are made of."""
    path = program("busybox")
    with open(path, "rb") as file:
        if b"/lib64/ld-linux" in file.read(4096):  # PT_INTERP stands near the ELF header
            missing("needs a static busybox (Debian's busybox-static)")
    return path
