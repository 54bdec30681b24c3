"""`wardian-runtime run`: a bundle in front of a person: its streams, its terminal, its signals and its exit code."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import homes
from images_made import busybox_layer
from wardian.runtime.command import example_spec
from wardian.storage.unpack import unpack

Write = Callable[..., list[str]]
_counter = iter(range(1000))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "rootfs"
    unpack([busybox_layer()], str(path))
    (path / "unreadable").write_text("#!/bin/sh\n")
    (path / "script").write_text("#!/no/such/shell\n")
    (path / "script").chmod(0o755)
    return path


@pytest.fixture
def bundle(root: Path, tmp_path: Path) -> Iterator[Write]:
    """Writes a bundle; returns the command line that runs it."""

    def write(*args: str, **process: Any) -> list[str]:
        spec = example_spec()
        spec["process"].update(args=list(args), **process)
        spec["root"]["path"] = str(root)
        identity = f"test-{os.getpid()}-{next(_counter)}"
        spec["linux"]["cgroupsPath"] = f"/wardian-test/runtime-{identity}"
        (tmp_path / "config.json").write_text(json.dumps(spec))
        return [sys.executable, "-m", "wardian.runtime.command", "run", "--bundle", str(tmp_path), identity]

    yield write
    for mount in homes.cgroup_mounts():
        for group in Path(mount).glob(f"wardian-test/runtime-test-{os.getpid()}-*"):
            for pid in (group / "cgroup.procs").read_text().split():  # only of a test that failed in its midst
                os.kill(int(pid), signal.SIGKILL)


def run(command: list[str], stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(command, input=stdin, capture_output=True, timeout=20)


def test_streams_and_exit_code(bundle: Write) -> None:
    done = run(bundle("sh", "-c", "cat; echo error >&2; exit 7"), stdin=b"given\n" * 50_000)
    assert (done.stdout, done.stderr, done.returncode) == (b"given\n" * 50_000, b"error\n", 7)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nothing",), 127, b'exec: "nothing": executable file not found in $PATH'),
        (("/no/such",), 127, b"no such file or directory"),
        (("/script",), 127, b'interpreter "/no/such/shell"'),
        (("/unreadable",), 126, b"permission denied"),
        (("/etc",), 126, b"is a directory"),
    ],
)
def test_commands_that_cannot_run(bundle: Write, args: tuple[str, ...], code: int, words: bytes) -> None:
    done = run(bundle(*args))
    assert done.returncode == code
    assert words in done.stderr


def test_failures_of_our_own_are_125_whatever_their_words(bundle: Write, tmp_path: Path) -> None:
    done = run(bundle("true", cwd="/etc/passwd"))  # "not a directory", but no fault of the command
    assert (done.returncode, b"working directory /etc/passwd" in done.stderr) == (125, True)
    command = bundle("true")
    spec = json.loads((tmp_path / "config.json").read_text())
    spec["root"]["path"] = "/no/such/root"
    (tmp_path / "config.json").write_text(json.dumps(spec))
    done = run(command)
    assert (done.returncode, b"/no/such/root: No such file or directory" in done.stderr) == (125, True)
    done = run(bundle())
    assert (done.returncode, b"process.args names no command" in done.stderr) == (125, True)


@pytest.mark.parametrize("path", ["/../runtime-outside", "system.slice:wardian:c1", 7])
def test_a_group_that_is_no_path_within_the_hierarchy_is_refused(bundle: Write, tmp_path: Path, path: object) -> None:
    command = bundle("true")
    spec = json.loads((tmp_path / "config.json").read_text())
    spec["linux"]["cgroupsPath"] = path
    (tmp_path / "config.json").write_text(json.dumps(spec))
    done = run(command)
    assert (done.returncode, b"cgroupsPath" in done.stderr) == (125, True)


def test_signals_are_passed_on(bundle: Write) -> None:
    process = subprocess.Popen(
        bundle("sh", "-c", "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.05; done"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.read() == b"told\n"
    assert process.wait(10) == 3
    process.stdout.close()


def test_a_terminal(bundle: Write) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (33, 99))
    before = termios.tcgetattr(slave)
    process = subprocess.Popen(
        bundle("sh", terminal=True), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=_take_terminal,
    )  # fmt: skip
    try:
        _type(master, b"stty size; tty; exit $((4 + 1))\n", until=b"/dev/pts/0")
        assert process.wait(10) == 5
        assert termios.tcgetattr(slave) == before
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


def test_a_terminal_s_new_size(bundle: Write) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        bundle("sh", terminal=True), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=_take_terminal,
    )  # fmt: skip
    try:
        _type(master, b"echo up-and''running\n", until=b"up-andrunning")
        termios.tcsetwinsize(slave, (44, 77))
        _type(master, b"until stty size | grep '44 77'; do sleep 0.05; done; exit\n", until=b"44 77\r\n")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(slave)
        os.close(master)


def _take_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _type(master: int, text: bytes, until: bytes) -> None:
    os.write(master, text)
    seen, end = b"", time.monotonic() + 10
    while until not in seen:
        assert select.select([master], [], [], max(0, end - time.monotonic()))[0], seen
        seen += os.read(master, 65536)
