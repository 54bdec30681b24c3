"""Descriptors as every part of the house writes to them."""

import os


def write_all(fd: int, data: "bytes | memoryview") -> None:
    """The whole of `data`: one write(2) may take less, and a descriptor that others made non-blocking is waited for."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            import select  # late: a command that never waits is quicker without

            waiting = select.poll()  # select(2) takes no descriptor above 1023
            waiting.register(fd, select.POLLOUT)
            waiting.poll()
