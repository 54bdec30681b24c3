"""A host of a test's own: a network namespace in which nothing is taken, entered by the test's thread.

Threads and programs that the test starts are in it too. What the test leaves there goes when it ends, so that nothing
of the machine's own links, routes and rules is touched or can be hurt.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wardian.kernel import net_sysctls, netlink, netns


@contextmanager
def own_host() -> Iterator[None]:
    machine = netns.current()
    try:
        netns.unshare()
        with netlink.Netlink() as nl:
            nl.send([netlink.link_up(1, "lo")])
        yield
    finally:
        netns.enter(machine)
        os.close(machine)
        net_sysctls.let_go()


def ip(*arguments: str) -> Any:
    """What `ip -j` says, in the calling thread's namespace: the oracle."""
    done = subprocess.run(["ip", "-j", *arguments], capture_output=True, text=True, check=True, timeout=20)
    return json.loads(done.stdout or "[]")


def nft(*arguments: str, commands: str = "") -> str:
    """What the `nft` program says, in the calling thread's namespace."""
    done = subprocess.run(
        ["nft", *(arguments or ("-f", "-"))], input=commands, capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout
