"""Seccomp filters: the OCI spec's `linux.seccomp` object compiled to classic BPF (seccomp(2), kernel filter.txt).

For each architecture the numbers are a binary search over ranges that end in an action or in checks of arguments; names
that an architecture does not have are left out. What `runc` does beyond libseccomp is done here too: where the default
is an errno, calls newer than any in the profile answer ENOSYS, so that a libc falls back to the older call.
"""

import collections
import functools
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from wardian.errors import INVALID, WardianError
from wardian.kernel import syscall_table

Instruction = tuple[int, int, int, int]  # struct sock_filter: code, jump true, jump false, k

LD, AND, RET = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_RET|K
JA, JEQ, JGT, JGE = 0x05, 0x15, 0x25, 0x35  # BPF_JMP with |K
OFFSET_NR, OFFSET_ARCH, OFFSET_ARGS = 0, 4, 16  # struct seccomp_data

X32_BIT = 0x40000000
ENOSYS, EPERM = 38, 1
MAX_INSTRUCTIONS = 4096
_REACH = 255  # instructions, of a conditional jump (struct sock_filter)

ACTIONS: Mapping[str, int] = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
WITH_DATA = frozenset({"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"})

# AUDIT_ARCH_* of linux/audit.h, and whose numbers count. x32 shares x86_64's and sets a bit in the number.
ARCHITECTURES: Mapping[str, tuple[int, str]] = {
    "SCMP_ARCH_X86_64": (0xC000003E, "X86_64"),
    "SCMP_ARCH_X86": (0x40000003, "X86"),
    "SCMP_ARCH_X32": (0xC000003E, "X32"),
    "SCMP_ARCH_AARCH64": (0xC00000B7, "AARCH64"),
}
NATIVE: Mapping[str, str] = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

FLAGS: Mapping[str, int] = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}

# A leaf of the search: a fixed action, or rules in order (their argument checks, their action).
Rules = tuple[tuple[tuple[tuple[int, str, int, int], ...], int], ...]
Leaf = int | Rules


def compile_filter(profile: Mapping[str, Any], machine: str) -> tuple[int, bytes]:
    """(flags for seccomp(2), the program as struct sock_filter[]) of an OCI `linux.seccomp` object.

    Raises WardianError(INVALID) naming an unknown action, operator, flag or architecture. Compiled once for a profile,
    which may not change afterwards: the same object is not even read again (0.2 ms of each exec).
    """
    for known, of, compiled in _newest:
        if known is profile and of == machine:
            return compiled
    compiled = _compile(json.dumps(profile, sort_keys=True), machine)
    _newest.append((profile, machine, compiled))
    return compiled


_newest: collections.deque[tuple[Mapping[str, Any], str, tuple[int, bytes]]] = collections.deque(maxlen=16)


@functools.lru_cache(maxsize=64)
def _compile(text: str, machine: str) -> tuple[int, bytes]:
    profile = json.loads(text)
    flags = 0
    for name in profile.get("flags") or ():
        flags |= _known(FLAGS, name, "flag")
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    names = profile.get("architectures") or [NATIVE[machine]]
    rules = [rule for row in profile.get("syscalls") or () for rule in _rules(row)]
    program = _architectures(names, rules, default)
    if len(program) > MAX_INSTRUCTIONS:
        raise WardianError(
            INVALID, f"seccomp profile: {len(program)} instructions, the kernel takes {MAX_INSTRUCTIONS}"
        )
    return flags, b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _known(table: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in table:
        raise WardianError(
            INVALID, f"seccomp profile: unknown {what} {name!r}", operation="compile seccomp", subject=name
        )
    return table[name]


def _action(name: str, data: int | None) -> int:
    value = int(_known(ACTIONS, name, "action"))
    if name in WITH_DATA:
        value |= (EPERM if data is None else data) & 0xFFFF
    return value


def _rules(row: Mapping[str, Any]) -> list[tuple[str, tuple[tuple[int, str, int, int], ...], int]]:
    """(name, checks that must all hold, action). Two checks of one argument are alternatives, as runc has them."""
    action = _action(row["action"], row.get("errnoRet"))
    checks = []
    for arg in row.get("args") or ():
        if arg["op"] not in COMPARE or not 0 <= arg["index"] <= 5:
            raise WardianError(INVALID, f"seccomp profile: bad argument check {arg!r}", operation="compile seccomp")
        checks.append((int(arg["index"]), str(arg["op"]), int(arg.get("value", 0)), int(arg.get("valueTwo", 0))))
    indexes = [check[0] for check in checks]
    sets = [(check,) for check in checks] if len(set(indexes)) < len(indexes) else [tuple(checks)]
    return [(name, set_, action) for name in row["names"] for set_ in sets]


def _architectures(names: Sequence[str], rules: Sequence[Any], default: int) -> list[Instruction]:
    """Dispatch on the architecture; one that is not listed cannot be judged and dies."""
    searches: dict[int, dict[str, list[Instruction]]] = {}
    for name in names:
        audit, table = _known(ARCHITECTURES, name, "architecture")
        searches.setdefault(audit, {})[table] = _search(_ranges(table, rules, default), default)
    kill = [(RET, 0, 0, ACTIONS["SCMP_ACT_KILL_PROCESS"])]
    program: list[Instruction] = [(LD, 0, 0, OFFSET_ARCH)]
    for audit, tables in searches.items():
        body: list[Instruction] = [(LD, 0, 0, OFFSET_NR)]
        if audit == ARCHITECTURES["SCMP_ARCH_X86_64"][0]:
            body += _branch(X32_BIT, tables.get("X86_64", kill), tables.get("X32", kill))
        else:
            body += next(iter(tables.values()))
        program += [(JEQ, 1, 0, audit), (JA, 0, 0, len(body)), *body]
    return program + kill


def _ranges(table: str, rules: Sequence[Any], default: int) -> list[tuple[int, Leaf]]:
    """(first number, what happens from there on), ascending, neighbours different."""
    numbers = syscall_table.parse(getattr(syscall_table, table))
    bit = X32_BIT if table == "X32" else 0
    leaves: dict[int, Leaf] = {}
    for name, checks, action in rules:
        number = numbers.get(name)
        if number is None:
            continue
        have = leaves.get(number, ())
        if not checks:
            leaves[number] = action
        elif isinstance(have, tuple):  # an unconditional rule stays: it covers this one
            leaves[number] = (*have, (checks, action))
    beyond: Leaf = default
    if default & 0xFFFF0000 == ACTIONS["SCMP_ACT_ERRNO"]:
        beyond = ACTIONS["SCMP_ACT_ERRNO"] | ENOSYS
    result: list[tuple[int, Leaf]] = []
    last = max(leaves, default=-1)
    for number in range(last + 1):
        leaf = leaves.get(number, default)
        if not result or result[-1][1] != leaf:
            result.append(((number | bit) if number else 0, leaf))
    if not result or result[-1][1] != beyond:
        result.append(((last + 1) | bit if result else 0, beyond))
    return result


def _search(ranges: Sequence[tuple[int, Leaf]], default: int) -> list[Instruction]:
    """As few instructions as may be: the kernel compiles them again at every start."""
    block = _with_ends(_tree(ranges, default))
    if len(block) <= _REACH or len(ranges) == 1:
        return block
    middle = len(ranges) // 2
    return _branch(ranges[middle][0], _search(ranges[:middle], default), _search(ranges[middle:], default))


class _End(int):
    """Where a jump leads: to the end that returns this action."""


def _tree(ranges: Sequence[tuple[int, Leaf]], default: int) -> "_End | list[Instruction]":
    """The search among ranges, or the one end of it; its jumps to ends are not numbers yet."""
    if len(ranges) == 1:
        leaf = ranges[0][1]
        return _End(leaf) if isinstance(leaf, int) else _leaf(leaf, default)
    middle = len(ranges) // 2
    below, rest = _tree(ranges[:middle], default), _tree(ranges[middle:], default)
    code_below, not_least = ([], below) if isinstance(below, _End) else (below, 0)
    code_rest, least = ([], rest) if isinstance(rest, _End) else (rest, len(code_below))
    return [(JGE, least, not_least, ranges[middle][0]), *code_below, *code_rest]


def _with_ends(tree: "_End | list[Instruction]") -> list[Instruction]:
    """The ends behind the search, each once."""
    if isinstance(tree, _End):
        return [(RET, 0, 0, int(tree))]
    ends = list(dict.fromkeys(to for _, *jumps, _ in tree for to in jumps if isinstance(to, _End)))
    program: list[Instruction] = []
    for at, (code, true, false, k) in enumerate(tree):
        true, false = (len(tree) + ends.index(to) - at - 1 if isinstance(to, _End) else to for to in (true, false))
        program.append((code, true, false, k))
    return program + [(RET, 0, 0, int(end)) for end in ends]


def _branch(least: int, below: list[Instruction], rest: list[Instruction]) -> list[Instruction]:
    """`rest` when the accumulator is at least `least`. Beyond a conditional jump's reach JA leads."""
    if len(below) <= _REACH:
        return [(JGE, len(below), 0, least), *below, *rest]
    return [(JGE, 0, 1, least), (JA, 0, 0, len(below)), *below, *rest]


def _leaf(rules: Rules, default: int) -> list[Instruction]:
    program: list[Instruction] = []
    for checks, action in rules:
        program += _checked(checks, action)
    return [*program, (RET, 0, 0, default)]


FAIL, OK = -1, -2  # jump marks: to the next rule, to the end of this comparison


def _checked(checks: Sequence[tuple[int, str, int, int]], action: int) -> list[Instruction]:
    """Return `action` when every check holds, else fall through to what follows."""
    blocks = [_comparison(*check) for check in checks]
    end = sum(map(len, blocks)) + 1  # past the RET
    program: list[Instruction] = []
    for block in blocks:
        done = len(program) + len(block)
        for code, true, false, k in block:
            here = len(program) + 1
            marks = {FAIL: end - here, OK: done - here}
            program.append((code, marks.get(true, true), marks.get(false, false), k))
    return [*program, (RET, 0, 0, action)]


# Each comparison on a 64-bit argument: high word first. (code, jump true, jump false, which word k is)
COMPARE: Mapping[str, tuple[tuple[int, int, int, str], ...]] = {
    "SCMP_CMP_EQ": ((LD, 0, 0, "hi"), (JEQ, 0, FAIL, "vh"), (LD, 0, 0, "lo"), (JEQ, OK, FAIL, "vl")),
    "SCMP_CMP_NE": ((LD, 0, 0, "hi"), (JEQ, 0, OK, "vh"), (LD, 0, 0, "lo"), (JEQ, FAIL, OK, "vl")),
    "SCMP_CMP_GT": (
        (LD, 0, 0, "hi"), (JGT, OK, 0, "vh"), (JEQ, 0, FAIL, "vh"),
        (LD, 0, 0, "lo"), (JGT, OK, FAIL, "vl"),
    ),
    "SCMP_CMP_GE": (
        (LD, 0, 0, "hi"), (JGT, OK, 0, "vh"), (JEQ, 0, FAIL, "vh"),
        (LD, 0, 0, "lo"), (JGE, OK, FAIL, "vl"),
    ),
    "SCMP_CMP_LT": (
        (LD, 0, 0, "hi"), (JGT, FAIL, 0, "vh"), (JEQ, 0, OK, "vh"),
        (LD, 0, 0, "lo"), (JGE, FAIL, OK, "vl"),
    ),
    "SCMP_CMP_LE": (
        (LD, 0, 0, "hi"), (JGT, FAIL, 0, "vh"), (JEQ, 0, OK, "vh"),
        (LD, 0, 0, "lo"), (JGT, FAIL, OK, "vl"),
    ),
    "SCMP_CMP_MASKED_EQ": (
        (LD, 0, 0, "hi"), (AND, 0, 0, "vh"), (JEQ, 0, FAIL, "dh"),
        (LD, 0, 0, "lo"), (AND, 0, 0, "vl"), (JEQ, OK, FAIL, "dl"),
    ),
}  # fmt: skip


def _comparison(index: int, operator: str, value: int, datum: int) -> list[Instruction]:
    """`value` is the mask and `datum` what the masked argument must be for MASKED_EQ (config-linux.md, seccomp)."""
    low = OFFSET_ARGS + 8 * index
    words = {
        "lo": low,
        "hi": low + 4,
        "vl": value & 0xFFFFFFFF,
        "vh": value >> 32 & 0xFFFFFFFF,
        "dl": datum & 0xFFFFFFFF,
        "dh": datum >> 32 & 0xFFFFFFFF,
    }
    return [(code, true, false, words[word]) for code, true, false, word in COMPARE[operator]]
