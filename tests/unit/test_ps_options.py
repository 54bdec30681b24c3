"""Options of ps, as columns: titles as ps and `docker top` give them."""

import pytest

from wardian.engine.observe.ps_forest import forest
from wardian.engine.observe.ps_options import read_ps_options
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError
from wardian.kernel.processes import Machine, Process


def titles(text):
    return " ".join(title for title, _ in read_ps_options(text).columns)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("-ef", "UID PID PPID C STIME TTY TIME CMD"),
        ("", "PID TTY TIME CMD"),
        ("-A", "PID TTY TIME CMD"),
        ("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("-aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("ax", "PID TTY STAT TIME COMMAND"),
        ("-x", "PID TTY STAT TIME COMMAND"),
        ("-l", "F S UID PID PPID C PRI NI ADDR SZ WCHAN TTY TIME CMD"),
        ("-ely", "S UID PID PPID C PRI NI RSS SZ WCHAN TTY TIME CMD"),
        ("-eF", "UID PID PPID C SZ RSS PSR STIME TTY TIME CMD"),
        ("-j", "PID PGID SID TTY TIME CMD"),
        ("v", "PID TTY STAT TIME MAJFL TRS DRS RSS %MEM COMMAND"),
        ("l", "F UID PID PPID PRI NI VSZ RSS WCHAN STAT TTY TIME COMMAND"),
        ("axo pid,tty,stat,cmd", "PID TTY STAT CMD"),
        ("-eo pid,comm,args", "PID COMMAND COMMAND"),
        ("-opid,user", "PID USER"),
        ("-o pid -o ppid", "PID PPID"),
        ("-o pid -o etime=SINCE", "PID SINCE"),
        ("-O user", "PID USER S TTY TIME COMMAND"),
        ("-e --format pid,pcpu", "PID %CPU"),
        ("-eL", "PID LWP TTY TIME CMD"),
        ("-efL", "UID PID PPID LWP C NLWP STIME TTY TIME CMD"),
        ("-eFL", "UID PID PPID LWP C NLWP SZ RSS PSR STIME TTY TIME CMD"),
        ("-elL", "F S UID PID PPID LWP C PRI NI ADDR SZ WCHAN TTY TIME CMD"),
        ("-efjL", "UID PID PPID PGID SID LWP C NLWP STIME TTY TIME CMD"),
        ("aux -L", "USER PID LWP %CPU NLWP %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("axj -L", "PPID PID PGID SID LWP TTY TPGID STAT UID TIME COMMAND"),
        ("-efT", "UID PID SPID PPID C STIME TTY TIME CMD"),
        ("axl -T", "F UID PID SPID PPID PRI NI VSZ RSS WCHAN STAT TTY TIME COMMAND"),
        ("auxH", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        ("-L -o pid,lwp,tid,spid,nlwp", "PID LWP TID SPID NLWP"),
        ("-ef f", "UID PID PPID C STIME TTY STAT TIME CMD"),
        ("-efH", "UID PID PPID C STIME TTY TIME CMD"),
        ("axf", "PID TTY STAT TIME COMMAND"),
        ("-ef --sort -rss", "UID PID PPID C STIME TTY TIME CMD"),
    ],
)
def test_titles(options, expected):
    assert titles(options) == expected


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ("-o user,etime", INVALID, "Couldn't find PID field in ps output"),
        ("-o pid=PEE", INVALID, "Couldn't find PID field in ps output"),
        ("-o bogus", INVALID, 'ps: error: unknown user-defined format specifier "bogus"'),
        ("-o", INVALID, "ps: error: format specification must follow -o"),
        ("-O", INVALID, "ps: error: format or sort specification must follow -O"),
        ("-e --format", INVALID, "ps: error: format specification must follow --format"),
        ("-LT", INVALID, "thread flags conflict; can't use both -L and -T"),
        ("-em", NOT_IMPLEMENTED, "'-m' of ps is not built.*; of ps's options -e .* --forest work"),
        ("axs", NOT_IMPLEMENTED, "'s'"),
        ("--deselect", NOT_IMPLEMENTED, "'--deselect'"),
    ],
)
def test_what_is_refused(options, kind, words):
    with pytest.raises(WardianError, match=words) as caught:
        read_ps_options(options)
    assert caught.value.kind == kind


def test_choices_and_order():
    wanted = read_ps_options("-p 1,2 -C sh,cat --sort=-rss,pid -ef")
    assert wanted.chosen == (("pid", ("1", "2")), ("comm", ("sh", "cat")))
    assert wanted.order == ("-rss", "pid")


def process(pid, parent):
    machine = Machine(0.0, 10.0, 1)
    return Process(pid, f"p{pid}", ("S", str(parent)), {}, "", machine, pid)


@pytest.mark.parametrize(("style", "branches"), [
    ("lines", ["", " \\_ ", " |   \\_ ", " \\_ ", "     \\_ ", ""]),
    ("spaces", ["", "  ", "    ", "  ", "    ", ""]),
])  # fmt: skip
def test_the_tree(style, branches):
    found = forest([process(*one) for one in ((10, 1), (11, 10), (12, 10), (13, 11), (14, 12), (20, 1))], style)
    assert [leaf.process.pid for leaf in found] == [10, 11, 13, 12, 14, 20]
    assert [leaf.branch for leaf in found] == branches


def test_a_deep_tree_takes_no_recursion():
    assert len(forest([process(pid, pid - 1) for pid in range(1, 5000)], "lines")) == 4999
