"""Operations over the API, ours beside Docker's, interleaved.

usage: run_api.py [--docker SOCKET] [-n N] [--gap SECONDS] [--only CASE]… [--json FILE]

A warm loop hides what a person feels, so `--gap 0.1` leaves the engines idle before each call; `at once` runs 20
containers from 20 threads.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable

from rig import Engine, Row, engines, interleaved, machine, milliseconds

_SETTLED = 0.1


def run_true(engine: Engine, network: str) -> None:
    """create, start, wait, remove: what `run --rm` asks for."""
    container = engine.create("true", NetworkMode=network)
    engine.start(container)
    status = engine.call("POST", f"/containers/{container}/wait")["StatusCode"]
    if status != 0:
        raise RuntimeError(f"{engine.name}: true ended with {status}")
    engine.remove(container)


def run_none(engine: Engine) -> float:
    return milliseconds(run_true, engine, "none")


def run_bridge(engine: Engine) -> float:
    return milliseconds(run_true, engine, "bridge")


def start(engine: Engine) -> float:
    container = engine.create("sleep", "60", NetworkMode="none")
    took = milliseconds(engine.start, container)
    engine.remove(container)
    return took


_WELL_BEHAVED = "trap 'exit 0' TERM; while :; do sleep 60 & wait; done"


def stop(engine: Engine) -> float:
    """Of one that ends when it is told to."""
    container = engine.create("sh", "-c", _WELL_BEHAVED, NetworkMode="none")
    engine.start(container)
    time.sleep(_SETTLED)  # the trap is set
    took = milliseconds(engine.call, "POST", f"/containers/{container}/stop")
    engine.remove(container)
    return took


def remove_running(engine: Engine) -> float:
    container = engine.create("sleep", "60", NetworkMode="none")
    engine.start(container)
    return milliseconds(engine.remove, container)


_long_running: dict[str, str] = {}


def _running(engine: Engine) -> str:
    if engine.name not in _long_running:
        _long_running[engine.name] = engine.create("sleep", "3600", NetworkMode="none")
        engine.start(_long_running[engine.name])
    return _long_running[engine.name]


def execute(engine: Engine) -> float:
    container = _running(engine)

    def go() -> None:
        body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
        identity = engine.call("POST", f"/containers/{container}/exec", body)["Id"]
        engine.call("POST", f"/exec/{identity}/start", {"Detach": False})
        if engine.call("GET", f"/exec/{identity}/json")["ExitCode"] != 0:
            raise RuntimeError(f"{engine.name}: exec of true failed")

    return milliseconds(go)


def inspect(engine: Engine) -> float:
    return milliseconds(engine.call, "GET", f"/containers/{_running(engine)}/json")


def ping(engine: Engine) -> float:
    return milliseconds(engine.call, "GET", "/version")


def _at_once(engine: Engine, network: str) -> float:
    failures: list[Exception] = []

    def one() -> None:
        try:
            run_true(engine, network)
        except Exception as error:
            failures.append(error)
        finally:
            engine.hang_up()

    def go() -> None:
        threads = [threading.Thread(target=one) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    took = milliseconds(go)
    if failures:
        raise failures[0]
    return took


def at_once_none(engine: Engine) -> float:
    return _at_once(engine, "none")


def at_once_bridge(engine: Engine) -> float:
    return _at_once(engine, "bridge")


CASES: dict[str, Callable[[Engine], float]] = {
    "version": ping,
    "run, no network": run_none,
    "run, bridge": run_bridge,
    "start": start,
    "stop": stop,
    "remove running": remove_running,
    "exec": execute,
    "inspect": inspect,
    "20 at once, no network": at_once_none,
    "20 at once, bridge": at_once_bridge,
}


def measure(docker: str, count: int, gap: float, only: list[str]) -> list[Row]:
    """Prints a line for each case as it is done; a case that fails says so and does not stop the others."""
    rows = []
    with engines(docker) as both:
        print(f"{machine()}; gap {gap} s; median ms of {count}")
        print(f"{'':24}" + "".join(f"{engine.name:>10}" for engine in both))
        for name, case in CASES.items():
            if only and name not in only:
                continue
            few = max(5, count // 4) if "at once" in name else count
            try:
                row = interleaved(name, [lambda e=engine, c=case: c(e) for engine in both], few, gap)  # type: ignore[misc]
            except (RuntimeError, OSError) as error:
                print(f"{name:24} failed: {error}")
                continue
            rows.append(row)
            print(row.text(), flush=True)
        for engine in both:
            if container := _long_running.pop(engine.name, None):
                engine.remove(container)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="", help="Docker's socket")
    parser.add_argument("-n", type=int, default=20)
    parser.add_argument("--gap", type=float, default=0.0)
    parser.add_argument("--only", action="append", choices=CASES, default=[], metavar="CASE")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    rows = measure(given.docker, given.n, given.gap, given.only)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({row.case: {"median": row.medians, "best": row.bests} for row in rows}, file, indent=1)
    return 0 if len(rows) == len(given.only or CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
