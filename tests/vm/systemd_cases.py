"""The engine as a service of a real systemd: what runs in the machine of test_systemd.py, in its first boot."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from vm import lasting
from wardian.client.start import engine_answers
from wardian.kernel import procfs

UNITS = ("wardian.socket", "wardian.service")
COUNTS = ("sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.2; done")


def systemctl(*words: str) -> str:
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"systemctl {words}: {done.stdout}{done.stderr}{journal()}"
    return done.stdout


def journal() -> str:
    words = ["journalctl", "--no-pager", "-u", "wardian.service", "-u", "wardian.socket", "-n", "40"]
    return subprocess.run(words, capture_output=True, text=True, timeout=120).stdout


def shown(unit: str, name: str) -> str:
    return systemctl("show", unit, "--property", name, "--value").strip()


def wardian(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wardian.cli", *words], capture_output=True, text=True, timeout=240, cwd="/",
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{journal()}"
    return done.stdout


def main_pid() -> int:
    return int(shown("wardian.service", "MainPID"))


@contextlib.contextmanager
def attached(name: str) -> Iterator[Any]:
    """A client that sees the container count; it must not notice what happens to the engine meanwhile."""
    hijacked = lasting.client().hijack("POST", f"/containers/{name}/attach", None, {"stream": True, "stdout": True})
    with contextlib.closing(hijacked.sock) as sock:
        sock.settimeout(60)

        def more() -> None:
            before = bytearray()
            while before.count(b"\n") < 3:
                piece = sock.recv(4096)
                assert piece, "the stream ended"
                before += piece

        more()
        yield more


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Installed once, for this boot and the next."""
    # what is on the path of the unit's interpreter must be there without this script's environment
    with open("/usr/lib/python3/dist-packages/wardian-vm.pth", "w") as file:
        file.write("/work/src\n/work/site\n")
    said = wardian("system", "install")
    assert "wrote and enabled /etc/systemd/system/wardian.service" in said
    lasting.load_image()
    lasting.run("counts", *COUNTS, policy="always")
    lasting.run("plain", "sleep", "100000")


@pytest.fixture
def same() -> Iterator[None]:
    """Containers that nothing happens to."""
    before = [(lasting.state(name)["Pid"], lasting.state(name)["StartedAt"]) for name in ("counts", "plain")]
    with attached("counts") as more:
        yield
        more()
    after = [(lasting.state(name)["Pid"], lasting.state(name)["StartedAt"]) for name in ("counts", "plain")]
    assert after == before
    assert lasting.inspect("counts")["RestartCount"] == 0


def test_both_units_are_active_and_ready() -> None:
    assert [shown(unit, "ActiveState") for unit in UNITS] == ["active", "active"]
    assert [shown(unit, "UnitFileState") for unit in UNITS] == ["enabled", "enabled"]
    assert (shown("wardian.service", "Type"), shown("wardian.service", "KillMode")) == ("notify", "process")
    assert int(shown("wardian.service", "ActiveEnterTimestampMonotonic")) > 0
    info: Any = lasting.client().call("GET", "/info")
    assert not [one for one in info["Warnings"] or [] if "after a reboot" in one]


def test_the_socket_is_systemds_and_is_passed() -> None:
    with open(f"/proc/{main_pid()}/cmdline") as file:
        assert "fd://" in file.read()
    state = os.stat(lasting.SOCKET)
    assert state.st_mode & 0o777 == 0o660 and state.st_uid == 0


def test_containers_are_in_no_group_of_the_unit() -> None:
    unit = shown("wardian.service", "ControlGroup")
    assert unit == "/system.slice/wardian.service"
    for name in ("counts", "plain"):
        pid = lasting.state(name)["Pid"]
        for one in (pid, int(procfs.status(pid)["PPid"])):
            with open(f"/proc/{one}/cgroup") as file:
                assert unit not in file.read()


def test_restart(same: None) -> None:
    before = main_pid()
    systemctl("restart", "wardian.service")
    assert main_pid() not in (0, before)
    assert lasting.state("plain")["Running"]


def test_reload_of_systemd_itself(same: None) -> None:
    systemctl("daemon-reload")
    systemctl("daemon-reexec")
    assert lasting.state("plain")["Running"]


def test_killed_it_is_started_again(same: None) -> None:
    before = main_pid()
    os.kill(before, 9)
    lasting.wait_until(lambda: main_pid() not in (0, before), "systemd starts it again")
    assert lasting.state("plain")["Running"]


def test_its_whole_group_killed(same: None) -> None:
    before = main_pid()
    systemctl("kill", "--kill-whom=all", "--signal=KILL", "wardian.service")
    lasting.wait_until(lambda: main_pid() not in (0, before), "systemd starts it again")
    assert lasting.state("plain")["Running"]


def test_stopped_the_next_client_starts_it(same: None) -> None:
    """The socket stays systemd's: who connects waits until the engine answers."""
    systemctl("stop", "wardian.service")
    assert main_pid() == 0 and shown("wardian.socket", "ActiveState") == "active"
    assert lasting.state("plain")["Running"]
    assert main_pid() != 0


def test_both_stopped_and_the_socket_alone_started(same: None) -> None:
    systemctl("stop", *UNITS)
    assert not os.path.exists(lasting.SOCKET) or not engine_answers(lasting.SOCKET)
    systemctl("start", "wardian.socket")
    assert main_pid() == 0
    assert lasting.state("plain")["Running"] and main_pid() != 0


def test_a_client_waits_while_it_is_restarted(same: None) -> None:
    restarting = subprocess.Popen(["systemctl", "restart", "wardian.service"])
    end = time.monotonic() + 5
    while time.monotonic() < end or restarting.poll() is None:
        with contextlib.suppress(ConnectionResetError):  # the engine that ends closes what it has accepted
            assert lasting.state("plain")["Running"]
    assert restarting.returncode == 0


def test_the_journal_has_what_the_engine_says_and_what_containers_say() -> None:
    assert "listening on" in journal()
    lasting.run("speaks", "sh", "-c", "echo out of the container", host={"LogConfig": {"Type": "journald"}})
    lasting.client().call("POST", "/containers/speaks/wait")

    def found() -> str:
        words = ["journalctl", "--no-pager", "-o", "cat", "CONTAINER_NAME=speaks"]
        return subprocess.run(words, capture_output=True, text=True, timeout=60).stdout

    lasting.wait_until(lambda: found() == "out of the container\n", "it is in the journal")
    lasting.client().call("DELETE", "/containers/speaks")


def test_uninstall_and_install_again(same: None) -> None:
    """Containers run on without the units; a command starts an engine then, and install hands over to systemd's."""
    wardian("system", "uninstall")
    assert not os.path.exists("/etc/systemd/system/wardian.service")
    assert "counts" in wardian("ps")
    wardian("system", "install")
    assert [shown(unit, "ActiveState") for unit in UNITS] == ["active", "active"] and main_pid() != 0


def test_what_the_next_boot_finds() -> None:
    """The machine is shut down by systemd, as `reboot` does it: the engine hears of it and ends."""
    lasting.leave_notes({"last_event": lasting.last_event(), "pid": lasting.state("counts")["Pid"]})
    subprocess.run(["sync"], check=True)
    systemctl("stop", "wardian.service", "wardian.socket")
