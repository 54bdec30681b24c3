"""Writes src/wardian/kernel/syscall_table.py from the kernel's own headers (linux-libc-dev), and from the calls
that are newer than those headers, whose numbers are the same on every architecture. usage: syscall_tables.py"""

import os
import re
import subprocess
import textwrap

INCLUDE = "/usr/include/x86_64-linux-gnu/asm"
OUT = os.path.join(os.path.dirname(__file__), "../src/wardian/kernel/syscall_table.py")
# Linux 6.5 to 6.17; numbers of the unified table (scripts/syscall.tbl in the kernel's tree).
NEWER = {
    name: 451 + at
    for at, name in enumerate(
        (
            "cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue statmount listmount "
            "lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat listxattrat "
            "removexattrat open_tree_attr file_getattr file_setattr "
        ).split()
    )
}
X32_BIT = 0x40000000


def numbers(header: str, *defines: str) -> dict[str, int]:
    """What the preprocessor makes of every __NR_ name of a header."""
    with open(header) as file:
        text = file.read()
    names = sorted(set(re.findall(r"#define\s+__NR(?:3264)?_(\w+)", text)) - {"syscalls", "arch_specific_syscall"})
    source = f'#include "{header}"\n' + "".join(
        f"#ifdef __NR_{name}\nVALUE {name} __NR_{name}\n#endif\n" for name in names
    )
    command = ["gcc", "-E", "-P", *(f"-D{define}" for define in defines), "-"]
    out = subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^VALUE (\w+) (.+)$", out, re.M)
    return {name: int(eval(value)) for name, value in rows}


def tables() -> dict[str, dict[str, int]]:
    marked = numbers(f"{INCLUDE}/unistd_x32.h", f"__X32_SYSCALL_BIT={X32_BIT}")
    x32 = {name: number & ~X32_BIT for name, number in marked.items()}
    arm = ("__ARCH_WANT_RENAMEAT", "__ARCH_WANT_NEW_STAT", "__ARCH_WANT_SET_GET_RLIMIT", "__ARCH_WANT_TIME32_SYSCALLS",
           "__ARCH_WANT_SYS_CLONE3", "__ARCH_WANT_MEMFD_SECRET")  # fmt: skip
    return {
        "x86_64": numbers(f"{INCLUDE}/unistd_64.h") | NEWER | {"uretprobe": 335},
        "x86": numbers(f"{INCLUDE}/unistd_32.h") | NEWER,
        "x32": x32 | NEWER,
        "aarch64": numbers("/usr/include/asm-generic/unistd.h", *arm) | NEWER,
    }


def main() -> None:
    lines = ['"""System call numbers by architecture, written by tools/syscall_tables.py."""', ""]
    for arch, table in tables().items():
        words = " ".join(f"{name}={number}" for name, number in sorted(table.items(), key=lambda row: row[1]))
        lines += [f"{arch.upper()} = (", *(f'    "{line} "' for line in textwrap.wrap(words, 108)), ")"]
    lines += [
        "",
        "",
        "def parse(text: str) -> dict[str, int]:",
        '    """Name → number."""',
        '    return {name: int(number) for name, _, number in (word.partition("=") for word in text.split())}',
        "",
    ]
    with open(OUT, "w") as file:
        file.write("\n".join(lines))


main()
