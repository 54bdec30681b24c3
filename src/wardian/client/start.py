"""Starts the engine of a Home when none runs, as tmux starts its server: nothing to set up, nobody to ask.

Two commands that come at the same moment start one engine: the first holds RUN_ROOT/start.lock until the socket
answers. The engine really detaches (setsid, cwd /, no inherited descriptor, its log in DATA_ROOT/engine.log): it must
survive the terminal, and the command that started it must not be kept waiting by a pipe that the engine holds.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import sys
import time

from wardian.errors import SYSTEM, UNAVAILABLE, WardianError
from wardian.home import Home, make_home

START_DEADLINE = 20.0
_POLL = 0.005
_LOCK_MARGIN = 5.0
_LOG_TAIL = 2000


def engine_log(home: Home) -> str:
    return os.path.join(home.data_root, "engine.log")


def engine_answers(socket: str) -> bool:
    """Whether somebody listens on this socket."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(socket)
    except OSError:
        return False
    finally:
        sock.close()
    return True


def start_engine(home: Home, deadline: float = START_DEADLINE) -> None:
    """Returns when the engine of `home` answers. Raises WardianError with its last words when it does not start."""
    try:
        os.makedirs(home.run_root, mode=0o711, exist_ok=True)
        os.makedirs(home.data_root, mode=0o711, exist_ok=True)
        lock = os.open(os.path.join(home.run_root, "start.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _cannot_prepare(home, error) from error
    try:
        _lock(lock, home, deadline)
        if not engine_answers(home.socket):
            _start_and_wait(home, deadline)
    finally:
        os.close(lock)


def _lock(lock: int, home: Home, deadline: float) -> None:
    """Wait for who starts the engine now: as long as a start may take, and some. Raises WardianError(UNAVAILABLE)."""
    end = time.monotonic() + deadline + _LOCK_MARGIN
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                break
        time.sleep(_POLL)
    path = os.path.join(home.run_root, "start.lock")
    raise WardianError(
        UNAVAILABLE,
        f"another command has been starting the engine for {deadline + _LOCK_MARGIN:g} s: it holds {path}",
        operation="start engine",
        subject=path,
        hint=f"`fuser {path}` says which",
    )


def _cannot_prepare(home: Home, error: OSError) -> WardianError:
    hint = "the engine needs root: use sudo" if error.errno in (errno.EACCES, errno.EPERM) else ""
    return WardianError(
        UNAVAILABLE,
        f"no engine runs at unix://{home.socket}, and one cannot be started here: {error}",
        operation="start engine",
        subject=str(error.filename or home.run_root),
        errno=error.errno or 0,
        hint=hint,
    )


def _start_and_wait(home: Home, deadline: float) -> None:
    end = time.monotonic() + deadline
    log_start = _size(engine_log(home))
    pid = _spawn(home)
    while not engine_answers(home.socket):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            raise _failed(home, f"the engine ended with status {code} when it was started", log_start)
        if time.monotonic() > end:
            raise _failed(home, f"the engine (process {pid}) did not answer within {deadline:g} s", log_start)
        time.sleep(_POLL)


def _failed(home: Home, message: str, log_start: int) -> WardianError:
    tail = _read_from(engine_log(home), log_start)[-_LOG_TAIL:].strip()
    return WardianError(
        SYSTEM,
        f"{message}\n{tail}" if tail else message,
        operation="start engine",
        subject=home.socket,
        hint=f"its log is {engine_log(home)}",
    )


def _spawn(home: Home) -> int:
    """fork, setsid, exec `python -m wardian.server`; init adopts it when this command ends."""
    arguments = [sys.executable, "-m", "wardian.server", *server_arguments(home)]
    environment = {name: value for name, value in os.environ.items() if name not in ("WARDIAN_HOST", "DOCKER_HOST")}
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        log = os.open(engine_log(home), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir("/")
        os.umask(0o022)
        os.execve(sys.executable, arguments, environment)
    finally:
        os._exit(127)


def server_arguments(home: Home) -> list[str]:
    """What `python -m wardian.server` takes to be the engine of this Home."""
    usual = make_home()  # what is as usual the engine's configuration file may say otherwise
    named = (
        ("--data-root", home.data_root, usual.data_root),
        ("--run-root", home.run_root, usual.run_root),
        ("--cgroup-base", home.cgroup_base, usual.cgroup_base),
        ("--bridge", home.bridge, usual.bridge),
        ("--firewall-backend", home.network_backend, usual.network_backend),
        ("--journal-socket", home.journal_socket, usual.journal_socket),
    )
    return [
        *("--socket", home.socket),
        *(word for flag, value, default in named if value != default for word in (flag, value)),
        *(["--respect-host-firewall"] if home.respect_host_firewall else []),
        *(["--ip-forward-no-drop"] if home.ip_forward_no_drop else []),
        *(["--init"] if home.init else []),
        *(["--userns-remap", home.userns_remap] if home.userns_remap else []),
        *(["--subid-dir", home.subids] if home.subids != "/etc" else []),
        *(["--log-driver", home.log_driver] if home.log_driver != "json-file" else []),
        *(word for key, value in home.log_options for word in ("--log-opt", f"{key}={value}")),
        *(word for pool in home.address_pools for word in ("--default-address-pool", pool)),
    ]


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _read_from(path: str, start: int) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""
