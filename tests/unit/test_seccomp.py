"""The filter compiler, judged by a small interpreter of classic BPF and by what the default profile promises."""

import struct

import pytest

from wardian.errors import WardianError
from wardian.kernel import seccomp, syscall_table
from wardian.runtime import defaults

ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x50001, 0x50000 | 38
X86_64, X86 = 0xC000003E, 0x40000003


def run(program: bytes, number: int, arch: int = X86_64, args: tuple[int, ...] = ()) -> int:
    """What the kernel would answer: struct seccomp_data is nr, arch, instruction pointer, six arguments."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        op, true, false, k = code[at]
        at += 1
        if op == seccomp.LD:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif op == seccomp.AND:
            accumulator &= k
        elif op == seccomp.RET:
            return int(k)
        elif op == seccomp.JA:
            at += k
        else:
            hit = {seccomp.JEQ: accumulator == k, seccomp.JGT: accumulator > k, seccomp.JGE: accumulator >= k}[op]
            at += true if hit else false


NUMBERS = syscall_table.parse(syscall_table.X86_64)
DEFAULT = seccomp.compile_filter(defaults.default_seccomp(defaults.DEFAULT_CAPABILITIES), "x86_64")[1]


@pytest.mark.parametrize(
    ("name", "args", "want"),
    [
        ("read", (), ALLOW),
        ("execve", (), ALLOW),
        ("mount", (), EPERM),
        ("io_uring_setup", (), EPERM),
        ("keyctl", (), EPERM),
        ("socket", (2,), ALLOW),
        ("socket", (38,), EPERM),
        ("socket", (39,), ALLOW),
        ("socket", (40,), EPERM),
        ("socket", (41,), ALLOW),
        ("clone", (0x11,), ALLOW),
        ("clone", (0x10000000 | 0x11,), EPERM),
        ("clone3", (), ENOSYS),
        ("personality", (8,), ALLOW),
        ("personality", (4,), EPERM),
        ("chroot", (), ALLOW),
        ("reboot", (), EPERM),
    ],
)
def test_default_profile(name: str, args: tuple[int, ...], want: int) -> None:
    assert run(DEFAULT, NUMBERS[name], args=args) == want


def test_calls_newer_than_the_profile_are_not_there() -> None:
    assert run(DEFAULT, 900) == ENOSYS


def test_every_number_of_every_architecture_agrees_with_the_rules() -> None:
    profile = defaults.default_seccomp(defaults.DEFAULT_CAPABILITIES)
    allowed = {
        name
        for row in profile["syscalls"]
        if not row.get("args") and row["action"].endswith("ALLOW")
        for name in row["names"]
    }
    checked = {
        name
        for row in profile["syscalls"]
        if row.get("args") or not row["action"].endswith("ALLOW")
        for name in row["names"]
    }
    for arch, table, bit in ((X86_64, "X86_64", 0), (X86, "X86", 0), (X86_64, "X32", seccomp.X32_BIT)):
        numbers = syscall_table.parse(getattr(syscall_table, table))
        last = max(number for name, number in numbers.items() if name in allowed | checked)
        for name, number in numbers.items():
            if name in checked:
                continue
            want = ALLOW if name in allowed else EPERM if number <= last else ENOSYS
            assert run(DEFAULT, number | bit, arch) == want, (table, name)


def test_a_search_longer_than_a_jump_reaches() -> None:
    """Every third call has a check of its own: the ends are out of the search's reach in one piece."""
    args = [{"index": 0, "op": "SCMP_CMP_EQ", "value": 7}]
    names = sorted(NUMBERS, key=NUMBERS.__getitem__)
    names = names[: len(names) // 3 * 3]  # the last is in the profile: no call is newer
    rows = [
        {"names": names[1::3], "action": "SCMP_ACT_ALLOW"},
        {"names": names[2::3], "action": "SCMP_ACT_ALLOW", "args": args},
    ]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rows}
    _, program = seccomp.compile_filter(profile, "x86_64")
    assert len(program) > 8 * 1000
    for place, name in enumerate(names):
        number = NUMBERS[name]
        assert run(program, number, args=(7,)) == (ALLOW if place % 3 else EPERM), name
        assert run(program, number, args=(8,)) == (ALLOW if place % 3 == 1 else EPERM), name


def test_an_architecture_that_is_not_listed_dies() -> None:
    assert run(DEFAULT, 0, 0xC00000B7) == 0x80000000


@pytest.mark.parametrize("operator", list(seccomp.COMPARE))
def test_comparisons_on_64_bits(operator: str) -> None:
    value, datum = 0x1_0000_0002, 0x1_0000_0000
    arg = {"index": 1, "value": value, "valueTwo": datum, "op": operator}
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [arg]}
    program = seccomp.compile_filter({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}, "x86_64")[1]
    judge = {
        "SCMP_CMP_EQ": lambda x: x == value,
        "SCMP_CMP_NE": lambda x: x != value,
        "SCMP_CMP_GT": lambda x: x > value,
        "SCMP_CMP_GE": lambda x: x >= value,
        "SCMP_CMP_LT": lambda x: x < value,
        "SCMP_CMP_LE": lambda x: x <= value,
        "SCMP_CMP_MASKED_EQ": lambda x: x & value == datum,
    }[operator]
    for x in (0, 1, 2, 3, 1 << 32, value - 1, value, value + 1, (2 << 32) | 1, (2 << 32) | 2, 2**64 - 1):
        assert (run(program, 0, args=(7, x)) == ALLOW) == judge(x), hex(x)


BAD_ARGUMENT = {"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}


@pytest.mark.parametrize(
    "profile",
    [
        {"defaultAction": "SCMP_ACT_NO"},
        {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["X"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [BAD_ARGUMENT]},
    ],
)
def test_a_bad_profile_is_refused(profile: dict[str, object]) -> None:
    with pytest.raises(WardianError):
        seccomp.compile_filter(profile, "x86_64")
