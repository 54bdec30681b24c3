"""Many clients at once, on the same few names, without any order: every answer is one of Docker's, nothing hangs."""

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable

import docker
import pytest
from docker.errors import APIError

from engines import TestEngine
from images_made import busybox_layer

SECONDS = 60.0
CLIENTS = 8
NAMES = ("one", "two", "three")
SLEEP = ["sleep", "1000"]


def one_step(api: docker.APIClient, rng: random.Random) -> str:
    """Something, asked of some name; what it was."""
    name, other = rng.choice(NAMES), rng.choice(NAMES)
    gone_soon = api.create_host_config(auto_remove=True)
    steps: dict[str, Callable[[], object]] = {
        "create": lambda: api.create_container("bb", SLEEP, name=name),
        "create --rm": lambda: api.create_container("bb", ["sleep", "0.1"], name=name, host_config=gone_soon),
        "start": lambda: api.start(name),
        "start again": lambda: api.start(name),
        "stop": lambda: api.stop(name, timeout=0),
        "restart": lambda: api.restart(name, timeout=0),
        "rm": lambda: api.remove_container(name),
        "rm -f": lambda: api.remove_container(name, force=True),
        "rename": lambda: api.rename(name, other),
        "pause": lambda: api.pause(name),
        "unpause": lambda: api.unpause(name),
        "commit": lambda: api.commit(name, "made", name),
        "kill": lambda: api.kill(name, rng.choice(["KILL", "TERM", "USR1"])),
    }
    what = rng.choice(list(steps))
    try:
        steps[what]()
    except APIError as error:
        status = error.response.status_code
        if status >= 500 and "is not paused" not in str(error):  # Docker's own status for it
            raise
        return f"{what}: {status}"
    return what


@pytest.mark.soak
def test_all_at_once(new_engine: Callable[..., TestEngine]) -> None:
    engine = new_engine()
    words = ["docker", "-H", engine.url, "import", "-", "bb:latest"]
    subprocess.run(words, input=busybox_layer(), stdout=subprocess.DEVNULL, check=True)
    end = time.monotonic() + SECONDS
    seen: Counter[str] = Counter()
    wrong: list[str] = []

    def client(seed: int) -> None:
        rng = random.Random(seed)
        api = docker.APIClient(base_url=engine.url, timeout=40)  # what takes longer hangs
        while time.monotonic() < end:
            try:
                seen[one_step(api, rng)] += 1
            except Exception as error:
                wrong.append(repr(error))
        api.close()

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS + 60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong, (wrong[:10], seen)
    assert "was not stored" not in engine.log_text()
    assert {"create", "start", "stop", "rename", "pause", "unpause", "kill", "rm -f"} <= set(seen), seen
