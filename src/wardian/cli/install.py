"""`system install` and `uninstall`: the engine as a service of systemd, from files alone.

The units are written and enabled (the links of `systemctl enable`) whether or not systemd runs here, as in an image of
a machine; where it runs it is told. Containers survive the service's end (KillMode=process, systemd.kill(5)), and the
control group below it is the engine's own (Delegate, systemd.resource-control(5)).
"""

from __future__ import annotations

import os
import sys

from wardian.cli import serve
from wardian.cli.command import Command, Failure
from wardian.cli.pflag import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wardian.cli.command import Invocation

_UNITS = "/etc/systemd/system"
_RUNNING = "/run/systemd/system"  # sd_booted(3)
GROUP = "wardian"

_SERVICE = """\
# Written by `wardian system install`.
[Unit]
Description=Wardian container engine
After=network-online.target firewalld.service nftables.service
Wants=network-online.target
Requires=wardian.socket
StartLimitBurst=5
StartLimitIntervalSec=60

[Service]
Type=notify
ExecStart={command}
Restart=on-failure
RestartSec=1
# Containers run on while the engine is stopped, restarted or upgraded.
KillMode=process
Delegate=yes
TasksMax=infinity
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
OOMScoreAdjust=-500
TimeoutStartSec=0

[Install]
WantedBy=multi-user.target
"""
_SOCKET = """\
# Written by `wardian system install`.
[Unit]
Description=Socket of the Wardian container engine

[Socket]
ListenStream={path}
DirectoryMode=0711
SocketMode=0660
SocketUser=root
{group}
[Install]
WantedBy=sockets.target
"""


def units(command: Sequence[str], socket: str, group: str) -> dict[str, str]:
    """The text of each unit; `group` "" leaves the socket to root."""
    return {
        "wardian.service": _SERVICE.format(command=" ".join(_quoted(word) for word in command)),
        "wardian.socket": _SOCKET.format(
            path=socket.replace("%", "%%"), group=f"SocketGroup={group}\n" if group else ""
        ),
    }


_WANTED = {"wardian.service": "multi-user.target.wants", "wardian.socket": "sockets.target.wants"}


def _quoted(word: str) -> str:
    """A word of ExecStart (systemd.service(5), "Command lines")."""
    text = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$").replace('"', '\\"')
    return f'"{text}"' if not text or any(letter in " \t'\";\\" for letter in text) else text


def install(invocation: Invocation) -> int:
    from wardian.home import DEFAULT_RUN_ROOT

    run_root = invocation.text("run-root") or DEFAULT_RUN_ROOT
    socket = invocation.text("socket") or os.path.join(run_root, "wardian.sock")
    words = [word for word in serve.server_words(invocation) if word]
    command = [sys.executable, "-m", "wardian.server", "--host", "fd://", *words]
    group = _group(invocation.text("group"))
    texts = units(command, socket, group)
    directory = invocation.text("unit-dir")
    if invocation.flag("dry-run"):
        for name, text in texts.items():
            print(f"# {os.path.join(directory, name)}\n{text}")
        return 0
    for name, text in texts.items():
        _write(os.path.join(directory, name), text)
        _enable(directory, name)
        print(f"wrote and enabled {os.path.join(directory, name)}")
    if not group:
        print(
            f"the socket is root's alone: there is no group {GROUP} (groupadd --system {GROUP}, and install again). "
            "Who is in it can do on this host what root can."
        )
    if _systemd_runs(directory) and not os.path.exists(
        os.path.join("/run/systemd/units", "invocation:wardian.service")
    ):
        _make_way(socket)
    return _tell_systemd(directory, ("daemon-reload",), ("start", "wardian.socket", "wardian.service"))


def uninstall(invocation: Invocation) -> int:
    directory = invocation.text("unit-dir")
    paths = [os.path.join(directory, name) for name in _WANTED]
    links = [os.path.join(directory, wanted, name) for name, wanted in _WANTED.items()]
    found = [path for path in (*links, *paths) if os.path.lexists(path)]
    if invocation.flag("dry-run"):
        for path in found:
            print(f"would remove {path}")
        return 0
    code = _tell_systemd(directory, ("stop", "wardian.socket", "wardian.service")) if found else 0
    for path in found:
        try:
            os.unlink(path)
        except OSError as error:
            raise Failure(f"cannot remove {path}: {error.strerror}") from None
        print(f"removed {path}")
    if not found:
        print(f"no units of Wardian in {directory}")
    return _tell_systemd(directory, ("daemon-reload",)) or code if found else 0


def _group(asked: str) -> str:
    """The group for the socket: systemd refuses a unit whose group is not there."""
    import grp

    try:
        return grp.getgrnam(asked or GROUP).gr_name
    except KeyError:
        if asked:
            raise Failure(f"there is no group {asked}") from None
        return ""


def _write(path: str, text: str) -> None:
    try:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        staging = f"{path}.{os.getpid()}"
        with open(staging, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
        os.rename(staging, path)
    except OSError as error:
        raise Failure(f"cannot write {path}: {error.strerror}") from None


def _enable(directory: str, name: str) -> None:
    link = os.path.join(directory, _WANTED[name], name)
    os.makedirs(os.path.dirname(link), mode=0o755, exist_ok=True)
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(os.path.join(directory, name), link)


def _systemd_runs(directory: str) -> bool:
    """And looks into this directory."""
    return directory == _UNITS and os.path.isdir(_RUNNING)


def _make_way(socket: str) -> None:
    """An engine that a command started ends, and systemd's takes its containers over. Raises Failure."""
    from wardian.client import Client, Target
    from wardian.client.start import engine_answers

    if not engine_answers(socket):
        return
    Client(Target(socket)).call("POST", "/wardian/shutdown")
    import time

    end = time.monotonic() + 10
    while engine_answers(socket):
        if time.monotonic() > end:
            raise Failure(f"the engine at {socket} did not end within 10 s")
        time.sleep(0.02)


def _tell_systemd(directory: str, *commands: Sequence[str]) -> int:
    """systemctl(1), where it would be heard."""
    if not _systemd_runs(directory):
        print("systemd does not run here: it finds the units when it does")
        return 0
    import subprocess

    for command in commands:
        done = subprocess.run(["systemctl", *command], check=False)
        if done.returncode:
            return done.returncode
    return 0


_DRY_RUN = Flag("dry-run", "", "bool", "", "Show what would be written or removed, and do nothing")
_UNIT_DIR = Flag("unit-dir", "", "string", "", "Directory of the units", default=_UNITS)
INSTALL = Command(install, "[OPTIONS]", (*serve.FLAGS, _DRY_RUN, _UNIT_DIR), most=0)
UNINSTALL = Command(uninstall, "[OPTIONS]", (_DRY_RUN, _UNIT_DIR), most=0)
