"""Descriptors: bytes in memory as a file to be handed over (memfd_create(2)), and the sync of a whole file system."""

import os

from wardian.descriptors import write_all
from wardian.kernel.syscalls import call_libc


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


def sync_file_system(path: str) -> None:
    """syncfs(2) of where a directory lies: one for all files of an image, instead of one fsync for each."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        call_libc("syncfs", fd, subject=path)
    finally:
        os.close(fd)
