"""An engine where a host has it: its data on the machine's own disk, its run root in a tmpfs that a boot empties.

It outlives the tests that start it, so that the machine goes down while it runs. Used inside the machine only.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from images_made import busybox_image, docker_archive
from wardian.client import Client, Target
from wardian.client.start import engine_answers

DATA, RUN = "/var/lib/wardian", "/run/wardian"
SOCKET = f"{RUN}/wardian.sock"
NOTES = "/var/lib/notes.json"  # what the cases of one boot leave to those of the next
IMAGE = "busybox:lasting"
PATIENCE = float(os.environ.get("WARDIAN_TEST_DEADLINE", "20"))


def client() -> Client:
    return Client(Target(SOCKET))


def start_engine() -> None:
    """Returns when it answers."""
    os.makedirs(DATA, exist_ok=True)
    with open(f"{DATA}/engine.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "wardian.server", "--data-root", DATA, "--run-root", RUN, "--debug"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
        )  # fmt: skip
    wait_until(lambda: engine_answers(SOCKET), "the engine answers")


def wait_until(holds: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            with open(f"{DATA}/engine.log", errors="replace") as log:
                raise AssertionError(f"not in {PATIENCE:.0f} s: {what}\n{log.read()[-6000:]}")
        time.sleep(0.05)


def load_image() -> None:
    archive = docker_archive({IMAGE: busybox_image()})
    with client().stream("POST", "/images/load", archive, {"quiet": True}) as stream:
        assert not [message for message in stream.objects() if "error" in str(message)]


def create(name: str, *command: str, policy: str = "no", host: Any = None, **fields: Any) -> str:
    settings = {"RestartPolicy": {"Name": policy}} | (host or {})
    body = {"Image": IMAGE, "Cmd": list(command), "HostConfig": settings, "StopTimeout": 0} | fields
    made: Any = client().call("POST", "/containers/create", body, {"name": name})
    return str(made["Id"])


def run(name: str, *command: str, policy: str = "no", host: Any = None, **fields: Any) -> str:
    identity = create(name, *command, policy=policy, host=host, **fields)
    client().call("POST", f"/containers/{identity}/start")
    return identity


def inspect(name: str) -> dict[str, Any]:
    found: Any = client().call("GET", f"/containers/{name}/json")
    return dict(found)


def state(name: str) -> dict[str, Any]:
    return dict(inspect(name)["State"])


def executed(name: str, *command: str) -> str:
    """What a command in the container says (with a terminal: its bytes as they are)."""
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "Tty": True}
    made: Any = client().call("POST", f"/containers/{name}/exec", body)
    started = client().hijack("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True})
    said = started.early
    with contextlib.closing(started.sock) as sock:
        sock.settimeout(PATIENCE)
        while piece := sock.recv(65536):
            said += piece
    return said.decode().replace("\r", "")


def events_after(identity: int) -> list[dict[str, Any]]:
    query = {"since": f"id:{identity}", "until": f"{time.time():.6f}"}
    with client().stream("GET", "/events", query=query) as stream:
        return [event for event in stream.objects() if isinstance(event, dict)]


def last_event() -> int:
    info: Any = client().call("GET", "/info")
    return int(info["Wardian"]["LastEvent"])


def leave_notes(notes: dict[str, Any]) -> None:
    with open(NOTES, "w") as file:
        json.dump(notes, file)
        file.flush()
        os.fsync(file.fileno())


def notes() -> dict[str, Any]:
    with open(NOTES) as file:
        return dict(json.load(file))
