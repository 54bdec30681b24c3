"""RootFacts on roots made in a directory: users as Docker reads them, commands as execve(2) would find them."""

import errno
import os
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from wardian.errors import WardianError
from wardian.runtime.rootfacts import RootFacts, read_root_facts, resolve_user

ENV = ["PATH=/bin:/usr/bin"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\nann:x:1000:100:Ann:/home/ann:/bin/sh\nbroken\n"
    )
    (tmp_path / "etc/group").write_text("root:x:0:\nusers:x:100:\naudio:x:29:ann\nvideo:x:44:bob,ann\n")
    program(tmp_path / "bin/true", b"\x7fELF" + bytes([2, 1]) + bytes(12) + struct.pack("<H", 62) + bytes(60))
    fd = os.open(tmp_path, os.O_PATH)
    yield tmp_path, fd
    os.close(fd)


def program(path: Path, content: bytes, mode: int = 0o755) -> None:
    path.write_bytes(content)
    path.chmod(mode)


@pytest.mark.parametrize(
    ("user", "groups", "want"),
    [
        ("", (), (0, 0, (0,), "/root")),
        ("ann", (), (1000, 100, (100, 29, 44), "/home/ann")),
        ("1000", (), (1000, 100, (100, 29, 44), "/home/ann")),
        ("ann:audio", (), (1000, 29, (29,), "/home/ann")),
        ("4711", (), (4711, 0, (0,), "/")),
        ("4711:4712", (), (4711, 4712, (4712,), "/")),
        ("root", ("video", "77"), (0, 0, (0, 44, 77), "/root")),
    ],
)
def test_users(root: tuple[Path, int], user: str, groups: tuple[str, ...], want: object) -> None:
    assert resolve_user(root[1], user, groups) == want


@pytest.mark.parametrize("user", ["nobody", "ann:none", "4294967295", "0:99999999999"])
def test_unknown_users(root: tuple[Path, int], user: str) -> None:
    with pytest.raises(WardianError):
        resolve_user(root[1], user)


def test_a_command_is_found_by_path(root: tuple[Path, int]) -> None:
    facts = read_root_facts(root[1], "", ["true"], ENV, "/nowhere")
    assert facts == RootFacts(0, 0, (0,), "/root", "/bin/true", False)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nope", 'exec: "nope": executable file not found in $PATH'),
        ("/nope", 'exec: "/nope": no such file or directory'),
        ("/etc", "is a directory"),
        ("/etc/passwd", "permission denied"),
        ("/bin/script", 'interpreter "/bin/perl" of /bin/script: no such file or directory'),
        ("/bin/arm", "the program is for aarch64, this host is x86_64"),
        ("/bin/dynamic", 'interpreter "/lib/ld-x.so" of /bin/dynamic: no such file or directory'),
    ],
)
def test_commands_that_cannot_run(root: tuple[Path, int], command: str, words: str) -> None:
    path, fd = root
    program(path / "bin/script", b"#! /bin/perl -w\n")
    program(path / "bin/arm", b"\x7fELF" + bytes([2, 1]) + bytes(12) + struct.pack("<H", 183) + bytes(60))
    header = (
        b"\x7fELF"
        + bytes([2, 1])
        + bytes(10)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    entry = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, 13, 13, 1)
    program(path / "bin/dynamic", header + entry + b"/lib/ld-x.so\0" + bytes(200))
    with pytest.raises(WardianError) as caught:
        read_root_facts(fd, "", [command], ENV, "/")
    assert words in str(caught.value)


def test_a_table_of_program_headers_as_large_as_memory_is_not_read(root: tuple[Path, int]) -> None:
    """65535 headers of 65535 bytes: the kernel takes no such file, and nobody makes room for 4 GB."""
    fields = struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 65535, 65535, 0, 0, 0)
    program(root[0] / "bin/huge", b"\x7fELF" + bytes([2, 1]) + bytes(10) + fields + bytes(200))
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), before[1]))
    try:
        assert read_root_facts(root[1], "", ["huge"], ENV, "/").command == "/bin/huge"
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_rows_of_passwd_end_with_newlines_only(root: tuple[Path, int]) -> None:
    (root[0] / "etc/passwd").write_text("eve:x:1000:100:a\x0broot2:x:0:0:\u2028admin:x:0:0:::/:/bin/sh\n")
    for name in ("root2", "admin"):
        with pytest.raises(WardianError, match="no matching entries"):
            resolve_user(root[1], name)


def test_links_stay_in_the_root(root: tuple[Path, int]) -> None:
    (root[0] / "bin/sh").symlink_to("/bin/true")
    (root[0] / "bin/out").symlink_to("/../../../../../usr/bin/env")
    assert read_root_facts(root[1], "", ["sh"], ENV, "/").command == "/bin/sh"
    with pytest.raises(WardianError):
        read_root_facts(root[1], "", ["out"], ENV, "/")


def test_a_command_on_a_bind_mount(root: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> None:
    host = tmp_path_factory.mktemp("tools")
    program(host / "tool", b"#!/bin/true\n")
    facts = read_root_facts(root[1], "", ["/opt/tools/tool"], ENV, "/", mounts={"/opt/tools": str(host)})
    assert facts.command == "/opt/tools/tool"


def test_a_command_that_comes_and_goes_is_there_or_not(root: tuple[Path, int]) -> None:
    """Whoever moves it while it is looked at, gets one of the two answers, and no bare OSError."""
    path, fd = root
    os.mkfifo(path / "bin/fifo", 0o755)
    child = os.fork()
    if not child:
        names = [bytes(path / "bin" / name) for name in ("true", "aside", "fifo", "aside2")]
        while True:
            os.rename(names[0], names[1])
            os.rename(names[2], names[0])  # a file that no read may wait for
            os.rename(names[0], names[2])
            os.rename(names[1], names[0])
    answers: set[object] = set()
    try:
        for _ in range(3000):
            try:
                answers.add(read_root_facts(fd, "", ["/bin/true"], ENV, "/").command)
            except WardianError as error:
                answers.add(error.errno)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert answers <= {"/bin/true", errno.ENOENT, errno.EACCES}
    assert "/bin/true" in answers
