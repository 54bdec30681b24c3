"""Floods of output, ours beside Docker's, interleaved: a log written, the same log read, an attached stdout.

usage: streams.py [--docker SOCKET] [-n N] [--log MB] [--stdout MB] [--small-writes] [--json FILE]

Lines of 100 bytes, which `cat` writes from a file that each container was given before: it costs next to nothing, so a
figure is the engine's. With --small-writes they come from `yes | head -c`, 4 KB a write, which takes seven tenths of a
second of one processor for 100 MB and is the floor of each figure. The first line printed is the kernel's own price of
the attached stdout: a pipe of as many bytes that one process copies to a socket.
"""

import argparse
import io
import json
import os
import socket
import sys
import tarfile
import time
from functools import partial

from rig import API, Engine, Row, engines, interleaved, machine, milliseconds

_LINE = "x" * 99
_BLOCK = 1 << 16
_FILE_MB = 10


def _lines() -> bytes:
    """A tar with ten megabytes of lines."""
    data = (_LINE + "\n").encode() * (_FILE_MB * 10_000)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("lines")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _flood(engine: Engine, megabytes: int, small: bool, **host: object) -> str:
    if small:
        command = f"yes {_LINE} | head -c {megabytes * 1000 * 1000}"
        return engine.create("sh", "-c", command, NetworkMode="none", **host)
    container = engine.create("cat", *["/lines"] * -(-megabytes // _FILE_MB), NetworkMode="none", **host)
    engine.call("PUT", f"/containers/{container}/archive?path=/", _lines(), "application/x-tar")
    return container


def _write(engine: Engine, container: str) -> None:
    engine.start(container)
    engine.call("POST", f"/containers/{container}/wait")


def written(engine: Engine, megabytes: int, small: bool) -> float:
    container = _flood(engine, megabytes, small)
    took = milliseconds(_write, engine, container)
    engine.remove(container)
    return took


def _asked(engine: Engine, method: str, path: str, *headers: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(engine.path)
    lines = (f"{method} {API}{path} HTTP/1.1", "Host: engine", *headers, "", "")
    connection.sendall("\r\n".join(lines).encode())
    return connection


def _drain(connection: socket.socket) -> int:
    buffer, total = bytearray(1 << 20), 0
    with connection:
        while count := connection.recv_into(buffer):
            total += count
    return total


def read(engine: Engine, megabytes: int, small: bool) -> float:
    """All of it: a log of ours keeps three files of ten megabytes unless told otherwise, Docker's keeps it whole."""
    log = {"Type": "json-file", "Config": {"max-size": "10g"}}
    container = _flood(engine, megabytes, small, LogConfig=log)
    _write(engine, container)
    start = time.perf_counter()
    path = f"/containers/{container}/logs?stdout=1&stderr=1"
    count = _drain(_asked(engine, "GET", path, "Connection: close"))
    took = (time.perf_counter() - start) * 1e3
    if count < megabytes * 1000 * 1000:
        raise RuntimeError(f"{engine.name}: {count} bytes of {megabytes} MB were in the log")
    engine.remove(container)
    return took


def attached(engine: Engine, megabytes: int, small: bool) -> float:
    container = _flood(engine, megabytes, small)
    path = f"/containers/{container}/attach?stream=1&stdout=1&stderr=1"
    connection = _asked(engine, "POST", path, "Connection: Upgrade", "Upgrade: tcp")
    connection.recv(4096)  # the answer's head: the container has not begun
    start = time.perf_counter()
    engine.start(container)
    count = _drain(connection)
    took = (time.perf_counter() - start) * 1e3
    if count < megabytes * 1000 * 1000:
        raise RuntimeError(f"{engine.name}: {count} bytes of {megabytes} MB came")
    engine.remove(container)
    return took


def floor(megabytes: int) -> float:
    """Milliseconds in which one process copies as much from a pipe to a socket."""
    reads, writes = os.pipe()
    ours, theirs = socket.socketpair()
    if not os.fork():
        for _ in range(megabytes * 1000 * 1000 // _BLOCK):
            os.write(writes, bytes(_BLOCK))
        os._exit(0)
    os.close(writes)
    if not os.fork():
        while data := os.read(reads, _BLOCK):
            theirs.sendall(data)
        os._exit(0)
    os.close(reads)
    theirs.close()
    took = milliseconds(_drain, ours)
    for _ in range(2):
        os.wait()
    return took


def measure(docker: str, count: int, log: int, stdout: int, small: bool) -> list[Row]:
    rows = []
    cases = {
        f"log written, {log} MB": partial(written, megabytes=log, small=small),
        f"log read, {log} MB": partial(read, megabytes=log, small=small),
        f"attached stdout, {stdout} MB": partial(attached, megabytes=stdout, small=small),
    }
    with engines(docker) as both:
        print(f"{machine()}; median ms of {count}; a copying process, {stdout} MB: {floor(stdout):.0f} ms")
        print(f"{'':24}" + "".join(f"{engine.name:>10}" for engine in both))
        for name, case in cases.items():
            row = interleaved(name, [partial(case, engine) for engine in both], count, warm=0)
            rows.append(row)
            print(row.text(), flush=True)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docker", default="", help="Docker's socket")
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("--log", type=int, default=200)
    parser.add_argument("--stdout", type=int, default=300)
    parser.add_argument("--small-writes", action="store_true", help="by yes | head, 4 KB a write")
    parser.add_argument("--json", default="")
    given = parser.parse_args()
    rows = measure(given.docker, given.n, given.log, given.stdout, given.small_writes)
    if given.json:
        with open(given.json, "w") as file:
            json.dump({row.case: {"median": row.medians, "best": row.bests} for row in rows}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
