"""The first boot of test_power_cut.py: writes without end, until the power goes. Each answer is said on the console."""

import threading
import time
from typing import Any

from vm import lasting, numbered
from wardian.errors import WardianError

LONG = 150.0  # seconds; nobody waits for their end


def said(*words: object) -> None:
    with open("/dev/ttyS0", "w") as console:
        console.write(f"=== {' '.join(map(str, words))}\n")


class Writer(threading.Thread):
    def __init__(self, number: int, until: float) -> None:
        super().__init__()
        self._number, self._until = number, until
        self.wrong: list[str] = []

    def run(self) -> None:
        round_number = 0
        try:
            while time.monotonic() < self._until:
                self.write(f"{self._number}-{round_number}")
                round_number += 1
        except Exception as error:
            self.wrong.append(repr(error))

    def write(self, name: str) -> None:
        raise NotImplementedError


class Containers(Writer):
    def write(self, name: str) -> None:
        client = lasting.client()
        identity = lasting.run(f"c{name}", "sleep", "100000", policy="always")
        said("created", identity)
        client.call("DELETE", f"/containers/{lasting.create(f'd{name}', 'true')}")
        gone = lasting.create(f"e{name}", "true")
        client.call("DELETE", f"/containers/{gone}")
        said("removed", gone)
        client.call("POST", "/volumes/create", {"Name": f"v{name}"})
        said("volume", f"v{name}")
        client.call("POST", f"/containers/{identity}/rename", query={"name": f"r{name}"})
        said("renamed", identity, f"r{name}")
        if not name.endswith("0"):
            client.call("DELETE", f"/containers/{identity}", query={"force": True})
            said("removed", identity)


class Pulls(Writer):
    def write(self, name: str) -> None:
        query = {"fromImage": f"{self.address}/pulled", "tag": name}
        with lasting.client().stream("POST", "/images/create", query=query) as stream:
            failed = [message for message in stream.objects() if "error" in str(message)]
        if failed:
            raise WardianError("system", str(failed))
        said("pulled", name)

    address = ""


def test_until_the_power_goes() -> None:
    lasting.start_engine()
    lasting.load_image()
    with numbered.served() as Pulls.address:
        until = time.monotonic() + LONG
        writers: list[Any] = [Containers(1, until), Containers(2, until), Pulls(3, until), Pulls(4, until)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    assert not [line for writer in writers for line in writer.wrong]
