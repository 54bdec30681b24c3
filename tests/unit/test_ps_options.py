"""Options of ps, as columns: titles as ps and `docker top` give them."""

import pytest

from wardian.engine.ps_options import read_ps_options
from wardian.errors import INVALID, NOT_IMPLEMENTED, WardianError


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
        ("-eH", NOT_IMPLEMENTED, "'-H'"),
        ("-eL", NOT_IMPLEMENTED, "'-L'"),
        ("f -e", NOT_IMPLEMENTED, "'f'"),
        ("--forest", NOT_IMPLEMENTED, "'--forest'"),
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
