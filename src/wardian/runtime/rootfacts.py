"""The facts of a root that a plan depends on: ids for names, the command's file, the working directory. Read by descriptor."""

from typing import NamedTuple


class RootFacts(NamedTuple):
    """What `read_root_facts` found. `command` is the absolute path that will be executed."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str
    command: str
    cwd_exists: bool
