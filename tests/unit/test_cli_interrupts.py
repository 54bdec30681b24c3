"""Ctrl-C ends a command at once, whatever the engine is at."""

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("names", [("a",), ("a", "b", "c")])
def test_stops_that_the_engine_does_not_answer(tmp_path: Path, names: tuple[str, ...]) -> None:
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(tmp_path / "s.sock"))
        engine.listen()
        command = subprocess.Popen(
            [sys.executable, "-m", "wardian.cli", "stop", *names],
            env={**os.environ, "WARDIAN_HOST": f"unix://{tmp_path}/s.sock"},
        )
        held: list[socket.socket] = []
        try:
            for _ in names:
                assert select.select([engine], [], [], 30)[0], "it asks for each"
                held.append(engine.accept()[0])
            command.send_signal(signal.SIGINT)
            assert command.wait(30) == 130
        finally:
            command.kill()
            command.wait()
            for client in held:
                client.close()
