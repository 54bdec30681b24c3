"""The engine killed with -9 in the middle of attach and exec, and started again: their streams are the supervisor's."""

import hashlib
import os
import subprocess
from typing import Any

import pytest

from clients_shared import IMAGE, Command
from engines import TestEngine


@pytest.fixture
def restart(engine_with_image: TestEngine, wait_until: Any) -> Any:
    """Kills the engine, and starts it again."""

    def now() -> None:
        engine_with_image.kill()
        engine_with_image.start()

    return now


@pytest.mark.parametrize("words", [("attach",), ("exec", "-it")])
def test_a_terminal_goes_on(docker: Command, restart: Any, words: tuple[str, ...]) -> None:
    docker("run", "-dit", "--name", "tt", IMAGE, "sh")
    terminal = docker.terminal(*words, "tt", *(["sh"] if words[0] == "exec" else []))
    terminal.type("echo before-$((1+1))\n")
    terminal.expect("before-2")
    restart()
    terminal.type("echo after-$((1+2))\n")
    terminal.expect("after-3")
    docker("exec", "tt", "true")  # the new engine knows it
    if words[0] == "exec":
        terminal.type("exit 5\n")
        assert terminal.wait() == 5  # asked of the new engine
    else:
        terminal.type("\x10\x11")
        terminal.wait()
        assert docker.out("inspect", "-f", "{{.State.Running}}", "tt") == "true"


@pytest.mark.parametrize("words", [("start", "-ai"), ("exec", "-i")])
def test_every_byte_both_ways_and_the_end_of_input(docker: Command, restart: Any, words: tuple[str, ...]) -> None:
    if words[0] == "start":
        docker("create", "-i", "--log-driver", "none", "--name", "pp", IMAGE, "cat")
    else:
        docker("run", "-d", "--name", "pp", IMAGE, "sleep", "1000")
    command = [*docker.prefix, *words, "pp", *(["cat"] if words[0] == "exec" else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=docker.environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        digests = [hashlib.sha256(), hashlib.sha256()]
        for turn in range(6):
            data = os.urandom(50_000)  # what the pipes on the way hold
            digests[0].update(data)
            process.stdin.write(data)
            process.stdin.flush()
            if turn == 3:  # and its start has been answered: the client waits for that no less than for bytes
                while docker.out("inspect", "-f", "{{.State.Running}}", "pp") != "true":
                    pass
                restart()
            digests[1].update(_exactly(process.stdout, len(data)))
        process.stdin.write(b"last")
        process.stdin.close()
        assert process.stdout.read() == b"last"
        process.wait(15)
        assert digests[0].digest() == digests[1].digest()
    if words[0] == "exec":
        assert process.returncode == 0
    else:  # the wait for its end was the old engine's; the next one knows the code
        assert docker.out("wait", "pp") == "0"


def _exactly(stream: Any, length: int) -> bytes:
    got = b""
    while len(got) < length:
        data = stream.read(length - len(got))
        assert data
        got += data
    return got


def test_output_without_input_goes_on(docker: Command, restart: Any) -> None:
    script = "until [ -e /go ]; do echo; sleep 0.05; done; seq 100000"
    lives_on = "until [ -e /done ]; do sleep 0.05; done"  # the end of its first process is that of the exec, too
    docker("run", "-d", "--name", "oo", IMAGE, "sh", "-c", f"{script}; {lives_on}")
    reader = docker.start("attach", "--no-stdin", "oo")
    asked = docker.start("exec", "oo", "sh", "-c", f"{script}; exit 9")
    for process in (reader, asked):  # a stream that has brought something is there
        assert process.stdout is not None
        assert process.stdout.read(1) == b"\n"
    restart()
    docker("exec", "oo", "touch", "/go")
    wanted = b"".join(b"%d\n" % number for number in range(1, 100_001))
    assert asked.communicate(timeout=30)[0].lstrip(b"\n") == wanted
    assert asked.returncode == 9
    docker("exec", "oo", "touch", "/done")
    assert reader.communicate(timeout=30)[0].lstrip(b"\n") == wanted
