"""`man DIRECTORY`: the manual pages, one for each command that is built, from the tables that parse and help.

man(7) and groff_man(7) say what the macros are; a page is named as docker's are, wardian-container-run(1).
"""

from __future__ import annotations

import os

from wardian import __version__
from wardian.cli import tree
from wardian.cli.command import Command, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wardian.cli.command import Invocation
    from wardian.cli.pflag import Flag

_SUMMARY = "a container engine for Linux that shows what it does"
_ENVIRONMENT = (
    ("WARDIAN_HOST, DOCKER_HOST", "The engine: unix:///path, tcp://host:port, ssh://[user@]host."),
    ("DOCKER_CONTEXT", "The context to use where neither of them is set."),
    ("DOCKER_CONFIG", "Directory of config.json and of the contexts."),
    ("DOCKER_TLS_VERIFY, DOCKER_CERT_PATH", "TLS to tcp:// engines, and where its files are."),
)


def escape(text: str) -> str:
    """Text as roff reads it: no escapes, no requests, and a dash that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    text = "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in text)
    return f"\\&{text}" if text.startswith((".", "'")) else text


def pages() -> Iterator[tuple[str, str]]:
    """(file name, text) of each page."""
    yield "wardian.1", _main_page()
    for group, (summary, verbs) in tree.GROUPS.items():
        built = {verb: row for verb, row in verbs.items() if row[0]}
        if built:
            yield f"wardian-{group}.1", _group_page(group, summary, built)
        for verb, (target, text) in built.items():
            yield f"wardian-{group}-{verb}.1", _command_page((group, verb), target, text)
    for verb, (target, text) in tree.OWN.items():
        if target:
            yield f"wardian-{verb}.1", _command_page(("", verb), target, text)
    for short, (group, verb) in tree.SHORT.items():
        if tree.GROUPS[group][1][verb][0]:
            yield f"wardian-{short}.1", f".so man1/wardian-{group}-{verb}.1\n"


def _head(name: str, summary: str) -> str:
    return (
        f'.TH "{escape(name.upper())}" "1" "" "Wardian {__version__}" "Wardian Manual"\n'
        f".SH NAME\n{escape(name)} \\- {escape(summary)}\n"
    )


def _main_page() -> str:
    from wardian.cli.globals import FLAGS

    verbs = {verb: (row[1], row[2]) for verb in {**tree.SHORT, **tree.OWN} if (row := tree.find([verb]))}
    groups = [(group, text) for group, (text, rows) in tree.GROUPS.items() if any(one for one, _ in rows.values())]
    return (
        _head("wardian", _SUMMARY)
        + ".SH SYNOPSIS\n.B wardian\n[OPTIONS] COMMAND [ARG...]\n"
        + ".SH OPTIONS\n"
        + _options(FLAGS)
        + ".SH COMMANDS\n"
        + "".join(_reference(verb, text) for verb, (target, text) in sorted(verbs.items()) if target)
        + ".SH GROUPS OF COMMANDS\n"
        + "".join(_reference(group, text) for group, text in groups)
        + ".SH ENVIRONMENT\n"
        + "".join(f".TP\n.B {escape(name)}\n{escape(text)}\n" for name, text in _ENVIRONMENT)
    )


def _reference(name: str, text: str) -> str:
    return f".TP\n.BR wardian\\-{escape(name)} (1)\n{escape(text)}\n"


def _group_page(group: str, summary: str, verbs: dict[str, tuple[str, str]]) -> str:
    return (
        _head(f"wardian-{group}", summary)
        + f".SH SYNOPSIS\n.B wardian {escape(group)}\nCOMMAND [ARG...]\n.SH COMMANDS\n"
        + "".join(_reference(f"{group}-{verb}", text) for verb, (_, text) in sorted(verbs.items()))
        + ".SH SEE ALSO\n.BR wardian (1)\n"
    )


def _command_page(path: tuple[str, str], target: str, summary: str) -> str:
    from wardian.cli.help import other_names

    module, _, name = target.partition(":")
    command: Command = getattr(__import__(f"wardian.cli.{module}", fromlist=[name]), name)
    words = " ".join(path).strip()
    text = _head(f"wardian-{words.replace(' ', '-')}", summary)
    text += f".SH SYNOPSIS\n.B wardian {escape(words)}\n{escape(command.usage)}\n"
    text += f".SH DESCRIPTION\n{escape(summary)}.\n"
    others = other_names(words)
    if len(others) > 1:
        text += f".PP\nAlso called {escape(', '.join(others[1:]))}.\n"
    if command.flags:
        text += ".SH OPTIONS\n" + _options(command.flags)
    return text + ".SH SEE ALSO\n.BR wardian (1)\n"


def _options(flags: Sequence[Flag]) -> str:
    from wardian.cli.help import default_note

    out = ""
    for flag in sorted(flags, key=lambda flag: flag.name):
        if flag.hidden:
            continue
        names = (f"\\-{flag.short}, " if flag.short else "") + f"\\-\\-{escape(flag.name)}"
        value = f" \\fI{escape(flag.shown_kind)}\\fR" if flag.shown_kind else ""
        out += f".TP\n\\fB{names}\\fR{value}\n{escape(flag.text + default_note(flag))}\n"
    return out


def man(invocation: Invocation) -> int:
    directory = invocation.args[0]
    count = 0
    try:
        os.makedirs(directory, mode=0o755, exist_ok=True)
        for name, text in pages():
            with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
                file.write(text)
            count += 1
    except OSError as error:
        raise Failure(f"cannot write {error.filename}: {error.strerror}") from None
    print(f"{count} pages in {directory}")
    return 0


MAN = Command(man, "DIRECTORY", least=1, most=1)
