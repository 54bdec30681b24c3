"""Descriptors: all of some bytes into one, and bytes in memory as a file to be handed over (memfd_create(2))."""

import os


def write_all(fd: int, data: "bytes | memoryview") -> None:
    """write(2) until nothing is left: one call may take less than it was given."""
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def memory_file(name: str, data: bytes) -> int:
    """A file of no file system that holds `data`, at its start; the caller closes it."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        write_all(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
