"""Writing config.json of docker's CLI, for `login` and `logout`. On no other command's way: it is slower to import."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wardian.cli.command import Failure
from wardian.cli.settings import configuration_directory
from wardian.cli.whole_file import write_whole


@contextmanager
def change_settings(directory: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, what config.json holds), to be changed and written at the end; all else in it stays. Raises Failure.

    One after the other where several do."""
    home = configuration_directory(directory)
    os.makedirs(home, mode=0o700, exist_ok=True)
    path = os.path.join(home, "config.json")
    lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            with open(path, "rb") as file:
                content = file.read()
            settings = json.loads(content) if content.strip() else {}
        except FileNotFoundError:
            settings = {}
        except ValueError as error:
            raise Failure(f"{path} is left as it is, since it is no JSON: {error}") from None
        if not isinstance(settings, dict):
            raise Failure(f"{path} is left as it is, since it holds no object")
        yield path, settings
        content = json.dumps(settings, indent="\t", ensure_ascii=False).encode()
        write_whole([content], os.path.realpath(path), durable=True)
    finally:
        os.close(lock)
