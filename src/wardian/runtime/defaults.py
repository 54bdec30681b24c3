"""What a container gets when nobody says otherwise: Docker's silent defaults, as plain values of the OCI spec."""

import functools
import platform
from collections.abc import Sequence
from typing import Any

from wardian.kernel import capabilities

ALL_CAPABILITIES = capabilities.NAMES

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
)  # fmt: skip

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

DEFAULT_SHM = 64 << 20

# Device rules of the cgroup: nodes may be made, but only these may be opened (linux/devices.txt).
DEVICE_RULES: tuple[dict[str, Any], ...] = (
    {"allow": False, "access": "rwm"},
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *(
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2))
    ),
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},  # pseudo-terminals
)

# Calls that every container may make, by subject. Names that an architecture does not have are skipped.
_ALLOWED = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
access chdir chmod chown chown32 close close_range creat dup dup2 dup3 faccessat faccessat2 fchdir fchmod fchmodat
fchmodat2 fchown fchown32 fchownat fcntl fcntl64 flock futimesat getcwd getdents getdents64 lchown lchown32 link
linkat _llseek lseek mkdir mkdirat mknod mknodat name_to_handle_at open openat openat2 readlink readlinkat rename
renameat renameat2 rmdir symlink symlinkat umask unlink unlinkat utime utimensat utimensat_time64 utimes
fstat fstat64 fstatat64 fstatfs fstatfs64 lstat lstat64 newfstatat stat stat64 statfs statfs64 statx statmount
listmount
copy_file_range fadvise64 fadvise64_64 arm_fadvise64_64 fallocate fdatasync fsync ftruncate ftruncate64 pread64 preadv
preadv2 pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range
arm_sync_file_range sync_file_range2 syncfs tee truncate truncate64 vmsplice write writev
fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2
_newselect pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4
fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get ioprio_set
brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list set_robust_list rseq
capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32
getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32
execve execveat exit exit_group fork getpgid getpgrp getpid getppid getsid gettid kill pidfd_open pidfd_send_signal
prctl restart_syscall set_tid_address setpgid setsid tgkill tkill vfork wait4 waitid waitpid
get_thread_area set_thread_area
alarm getitimer pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo setitimer sigaltstack sigprocmask sigreturn
adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 gettimeofday nanosleep time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime
timerfd_settime64 times
getcpu getpriority getrlimit getrusage prlimit64 sched_get_priority_max sched_get_priority_min sched_getaffinity
sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity
sched_setattr sched_setparam sched_setscheduler sched_yield setpriority setrlimit ugetrlimit
cachestat getrandom landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp sysinfo uname uretprobe
process_vm_readv process_vm_writev ptrace
arch_prctl modify_ldt breakpoint cacheflush set_tls
""".split()

# Calls that a capability opens.
_BY_CAPABILITY = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr"
    " move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2"
    " unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime clock_settime64 settimeofday stime",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}

AF_ALG, AF_VSOCK = 38, 40
# The harmless persons of personality(2): Linux, BSD, and UNAME26, and the question.
_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_ENOSYS = 38

_SUB_ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64"],
}


def default_mounts() -> list[dict[str, Any]]:
    """What Docker mounts in every container."""
    quiet = ["nosuid", "noexec", "nodev"]
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": quiet},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*quiet, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", *quiet]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": quiet},
        {
            "destination": "/dev/shm",
            "type": "tmpfs",
            "source": "shm",
            "options": [*quiet, "mode=1777", f"size={DEFAULT_SHM}"],
        },
    ]


def default_seccomp(capability_names: Sequence[str]) -> dict[str, Any]:
    """`linux.seccomp` of a container with these capabilities: what Docker's default profile allows, AF_ALG denied.

    The same object for the same capabilities: a caller must not change it.
    """
    return _default_seccomp(frozenset(capability_names), platform.machine())


@functools.lru_cache(maxsize=64)
def _default_seccomp(capability_names: frozenset[str], machine: str) -> dict[str, Any]:
    names = list(_ALLOWED)
    for capability, calls in _BY_CAPABILITY.items():
        if capability in capability_names:
            names += calls.split()
    rules = [_allow(*names)]
    rules += [_allow("personality", _check(0, value)) for value in _PERSONALITIES]
    # All address families but AF_ALG (its surface is wide) and AF_VSOCK (leaves the namespace).
    rules += [_allow("socket", _check(0, AF_ALG, "SCMP_CMP_LT")), _allow("socket", _check(0, AF_VSOCK, "SCMP_CMP_GT"))]
    rules.append(_allow("socket", _check(0, AF_ALG + 1)))
    if "CAP_SYS_ADMIN" not in capability_names:
        rules.append(_allow("clone", _check(0, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")))
        # clone3 has its flags behind a pointer: ENOSYS makes a libc take clone.
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": _SUB_ARCHITECTURES.get(machine, [f"SCMP_ARCH_{machine.upper()}"]),
        "syscalls": rules,
    }


def _allow(*names_and_check: Any) -> dict[str, Any]:
    names = [word for word in names_and_check if isinstance(word, str)]
    checks = [word for word in names_and_check if isinstance(word, dict)]
    rule: dict[str, Any] = {"names": names, "action": "SCMP_ACT_ALLOW"}
    return rule | {"args": checks} if checks else rule


def _check(index: int, value: int, operator: str = "SCMP_CMP_EQ") -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": 0, "op": operator}
