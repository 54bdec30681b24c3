"""Capabilities by number and name (capabilities(7)), and sets of them as bit masks."""

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
NUMBERS = {name: number for number, name in enumerate(NAMES)}
ALL = (1 << len(NAMES)) - 1

CAP_SYS_ADMIN = 1 << NUMBERS["CAP_SYS_ADMIN"]
CAP_SYS_RESOURCE = 1 << NUMBERS["CAP_SYS_RESOURCE"]


def mask(names: "list[str] | tuple[str, ...]") -> int:
    """The set of these names. Raises ValueError on a name that is no capability."""
    result = 0
    for name in names:
        if name not in NUMBERS:
            raise ValueError(f"unknown capability {name!r}")
        result |= 1 << NUMBERS[name]
    return result


def names(bits: int) -> list[str]:
    """The names in a set, by number; one without a name here is `CAP_<number>`."""
    return [NAMES[n] if n < len(NAMES) else f"CAP_{n}" for n in range(64) if bits >> n & 1]


def text(bits: int) -> str:
    """A set for a person: names without CAP_, or what is missing from all."""
    missing = ALL & ~bits
    if not bits:
        return "none"
    if missing.bit_count() <= 5:
        return "all" + (f" but {', '.join(_short(missing))}" if missing else "")
    return ", ".join(_short(bits))


def _short(bits: int) -> list[str]:
    return [name.removeprefix("CAP_").lower() for name in names(bits)]
