"""`make demo`: an engine in a home of its own, images made on the spot, containers that show what they are.

Every step is a shell command that is printed, run with `wardian` on PATH, and held to its expected exit status; the
first that disappoints ends the demo with exit 1. All is removed at the end, whatever happened.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import NamedTuple

from leftovers import DEMO
from throwaway import Failed, own_engine

BIN = os.path.dirname(sys.executable)
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


class Step(NamedTuple):
    command: str
    exit: int = 0
    shows: str = ""  # must stand in the output


class Scene(NamedTuple):
    says: str
    steps: tuple[Step, ...]


BEFORE_CRASH = (
    Scene(
        "An image from nothing: the engine's own static binary as its one file, printing what it sees of itself.",
        (Step("wardian run --rm --memory 64m --pids-limit 32 wardian/hello", shows="pid"),),
    ),
    Scene(
        "An image from a tar: one busybox.",
        (Step("tar -C $DEMO/root -c . | wardian import - demo"), Step("wardian images", shows="demo")),
    ),
    Scene(
        "A container sees itself as alone: first process, own hostname, own network, none of the host's processes.",
        (
            Step("wardian run --rm demo sh -c 'echo I am $$ on $(hostname); ps'", shows="I am 1 on"),
            Step("wardian run --rm --network none demo ip -o link", shows="lo"),
        ),
    ),
    Scene(
        "Its writes stay its own: the next container starts from the image again.",
        (
            Step("wardian run --rm demo sh -c 'rm /bin/vi; echo mine >/note; cat /note'", shows="mine"),
            Step("wardian run --rm demo sh -c 'ls /bin/vi; cat /note'", exit=1, shows="/bin/vi"),
        ),
    ),
    Scene(
        "Limits hold: past its memory it is killed and says so; past its processes, fork fails.",
        (
            Step("wardian run --name greedy --memory 32m demo sh -c 'tail /dev/zero'", exit=137),
            Step("wardian inspect --format 'OOM killed: {{.State.OOMKilled}}' greedy", shows="OOM killed: true"),
            Step("wardian run --rm --pids-limit 4 demo sh -c 'for i in 1 2 3 4 5; do sleep 1 & done; wait'", 2, "fork"),
        ),
    ),
    Scene(
        "One serves, another asks it over the bridge; then logs and exec.",
        (
            Step("wardian run -d --name web demo sh -c 'echo serving; echo hello >/index.html; httpd -f -p 80 -h /'"),
            Step(
                "sleep 0.2; wardian run --rm demo wget -qO- "
                "http://$(wardian inspect --format '{{.NetworkSettings.Networks.bridge.IPAddress}}' web)/index.html",
                shows="hello",
            ),
            Step("wardian logs web", shows="serving"),
            Step("wardian exec web ps", shows="httpd"),
        ),
    ),
    Scene(
        "Exit codes and errors name the cause.",
        (
            Step("wardian run --rm demo sh -c 'exit 7'", exit=7),
            Step("wardian run --rm demo no-such-program", exit=127, shows="no-such-program"),
            Step("wardian run --rm demo /etc", exit=126),
        ),
    ),
    Scene(
        "A container is a plan. What would run do (nothing is made), and what did it do, with durations?",
        (
            Step("wardian plan --network none --memory 64m demo true | head -n 12", shows="1"),
            Step("wardian explain web | tail -n 24", shows="exec /bin/sh"),
        ),
    ),
)
AFTER_CRASH = Scene(
    "The engine was killed with SIGKILL and started again: the container never noticed.",
    (
        Step("wardian ps", shows="web"),
        Step("wardian exec web cat /index.html", shows="hello"),
        Step("wardian stop -t 1 web"),
    ),
)


def _play(scene: Scene, environment: dict[str, str]) -> None:
    print(f"\n{BOLD}{scene.says}{PLAIN}")
    for step in scene.steps:
        print(f"$ {step.command}", flush=True)
        done = subprocess.run(
            ["/bin/sh", "-c", step.command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60,
        )  # fmt: skip
        print(done.stdout, end="", flush=True)
        if done.returncode != step.exit:
            raise Failed(f"exit status {done.returncode} instead of {step.exit}")
        if step.exit:
            print(f"(exit status {done.returncode})")
        if step.shows not in done.stdout:
            raise Failed(f"{step.shows!r} is missing from the output")


def _make_root(directory: str) -> None:
    """A root of one static busybox and its names."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "root"):
        os.makedirs(os.path.join(directory, name))
    busybox = shutil.which("busybox") or "/bin/busybox"
    shutil.copy(busybox, os.path.join(directory, "bin", "busybox"))
    for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        if name != "busybox":
            os.symlink("busybox", os.path.join(directory, "bin", name))
    with open(os.path.join(directory, "etc", "passwd"), "w") as file:
        file.write("root:x:0:0:root:/root:/bin/sh\n")


def main() -> int:
    if os.geteuid() != 0:
        print("the demo needs root: sudo make demo", file=sys.stderr)
        return 1
    began = time.monotonic()
    with own_engine(DEMO) as engine:
        os.environ.update(
            PATH=f"{BIN}:{os.environ.get('PATH', os.defpath)}", DEMO=engine.home, WARDIAN_HOST=f"unix://{engine.socket}"
        )
        _make_root(os.path.join(engine.home, "root"))
        print(f"{BOLD}An engine of our own in {engine.home}: nothing of this machine's is touched.{PLAIN}")
        try:
            for scene in BEFORE_CRASH:
                _play(scene, dict(os.environ))
            engine.kill()
            engine.start()
            _play(AFTER_CRASH, dict(os.environ))
        except (Failed, subprocess.TimeoutExpired) as failure:
            print(f"\nthe demo failed: {failure}\nthe engine's log:\n{engine.log()}", file=sys.stderr)
            return 1
    print(f"\n{BOLD}All removed, the engine stopped, {engine.home} deleted: {time.monotonic() - began:.1f} s.{PLAIN}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
