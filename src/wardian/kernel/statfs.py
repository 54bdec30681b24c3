"""What kind of file system a descriptor lies on (statfs(2)): whether it holds files or shows what the kernel is."""

import ctypes

from wardian.kernel.syscalls import call_libc

# linux/magic.h
_KERNEL_INTERFACES = frozenset(
    (
        0x9FA0,  # proc
        0x62656572,  # sysfs
        0x27E0EB,  # cgroup
        0x63677270,  # cgroup2
        0x1CD1,  # devpts
        0x19800202,  # mqueue
        0x64626720,  # debugfs
        0x74726163,  # tracefs
        0x73636673,  # securityfs
        0xCAFE4A11,  # bpf
        0x6165676C,  # pstore
        0xDE5E81E4,  # efivarfs
        0x65735543,  # fusectl
        0x62656570,  # configfs
        0x42494E4D,  # binfmt_misc
    )
)


def is_kernel_interface(fd: int) -> bool:
    """Whether the descriptor (O_PATH will do) lies on proc, sysfs, a cgroup hierarchy or the like."""
    buffer = ctypes.create_string_buffer(256)
    call_libc("fstatfs", fd, buffer)
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], "little") & 0xFFFFFFFF in _KERNEL_INTERFACES
