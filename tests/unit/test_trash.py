"""What is taken away while somebody is about to write there."""

import os
import threading
import time
from pathlib import Path

from wardian.storage.trash import Trash


def test_a_directory_that_still_fills_goes_all_the_same(tmp_path: Path) -> None:
    place = tmp_path / "container"
    place.mkdir()
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    trash = Trash(str(tmp_path / "trash"))

    def write() -> None:
        for number in range(100_000):
            if time.monotonic() > end:
                break
            try:
                os.close(os.open(f"late{number}", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
            except FileNotFoundError:  # it is gone
                break

    end = time.monotonic() + 0.03
    writer = threading.Thread(target=write)
    writer.start()
    assert trash.discard(str(place))
    writer.join()
    end = time.monotonic() + 10
    while os.listdir(trash.path) and time.monotonic() < end:
        time.sleep(0.005)
    assert os.listdir(trash.path) == []
    trash.close()
    os.close(fd)
