"""What a client sees of an engine that is killed and started again while the client is in the middle of something."""

import subprocess
import threading
import time

from clients_shared import IMAGE


def test_an_execs_stream_and_code_survive_the_engine(docker, engine):
    docker("run", "-d", "--name", "ek", IMAGE, "sleep", "100")
    script = "for i in 1 2 3 4 5; do echo $i; sleep 0.15; done; until test -e /end; do sleep 0.05; done; echo 6; exit 9"
    ended = []
    running = threading.Thread(target=lambda: ended.append(docker("exec", "ek", "sh", "-c", script, status=9)))
    running.start()
    time.sleep(0.5)
    engine.kill()
    engine.start()
    docker("exec", "ek", "touch", "/end")  # by then there is an engine that the client can ask for the code
    running.join(30)
    assert [done.stdout.split() for done in ended] == [[str(number).encode() for number in range(1, 7)]]


def test_removal_ends_all_that_is_attached(docker):
    docker("run", "-d", "--name", "ra", IMAGE, "sleep", "100")
    commands = (("logs", "-f", "ra"), ("attach", "--no-stdin", "ra"), ("exec", "ra", "sleep", "50"), ("wait", "ra"))
    seen: dict[str, subprocess.CompletedProcess[bytes]] = {}
    threads = [
        threading.Thread(target=lambda words=words: seen.update({words[0]: docker(*words, status=None)}))
        for words in commands
    ]
    for thread in threads:
        thread.start()
    time.sleep(1.5)  # each has reached its stream: the wait has no output to tell by
    docker("rm", "-f", "ra")
    for thread in threads:
        thread.join(10)
    assert {name: done.returncode for name, done in seen.items()} == {"logs": 0, "attach": 137, "exec": 137, "wait": 0}
    assert seen["wait"].stdout.split() == [b"137"]
