"""Help, from the same rows that parse: of `wardian`, of a group, of a command."""

from __future__ import annotations

from wardian.cli import tree
from wardian.cli.command import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from wardian.cli.command import Command
    from wardian.cli.pflag import Flag

_COMMON = ("run", "exec", "ps", "build", "pull", "push", "images", "login", "logout", "search", "version", "info")
_OURS = ("plan", "explain", "serve", "completion", "man")
_WIDTH = 80


def show_help(words: Sequence[str], out: TextIO) -> int:
    """Writes the help of `wardian WORDS`; answers the exit code. Raises Failure for what is no command."""
    if not words:
        out.write(_top())
        return 0
    if len(words) == 1 and words[0] in tree.GROUPS:
        out.write(_group(words[0]))
        return 0
    found = tree.find(list(words))
    if found is None:
        raise Failure(f"unknown help topic: {' '.join(words)}")
    path, target, summary, _ = found
    if not target:
        summary = summary or "A verb of Docker"
        out.write(f"Usage:  wardian {path}\n\n{summary}\n\n'{path}' is not built yet in Wardian.\n")
        return 0
    module, _, name = target.partition(":")
    command = getattr(__import__(f"wardian.cli.{module}", fromlist=[name]), name)
    out.write(_command(path, summary, command))
    return 0


def _top() -> str:
    from wardian.cli.globals import FLAGS

    rest = [verb for verb in sorted({*tree.SHORT, *tree.OWN}) if verb not in _COMMON and verb not in _OURS]
    swarm = ("config", "node", "secret", "service", "stack", "swarm")
    groups = [group for group in tree.GROUPS if group not in swarm]
    return (
        "Usage:  wardian [OPTIONS] COMMAND\n\nA container engine for Linux that shows what it does\n"
        + _verbs("Common Commands", ((verb, _summary(verb)) for verb in _COMMON))
        + _verbs("Only in Wardian", ((verb, _summary(verb)) for verb in _OURS))
        + _verbs("Management Commands", ((group, _group_summary(group)) for group in groups))
        + _verbs("Swarm Commands", ((group, _group_summary(group)) for group in swarm))
        + _verbs("Commands", ((verb, _summary(verb)) for verb in rest))
        + f"\nGlobal Options:\n{flag_lines(FLAGS)}"
        + "\nRun 'wardian COMMAND --help' for more information on a command.\n"
    )


def _group(group: str) -> str:
    summary, verbs = tree.GROUPS[group]
    rows = ((verb, _marked(*row)) for verb, row in sorted(verbs.items()))
    return (
        f"Usage:  wardian {group} COMMAND\n\n{summary}\n"
        + _verbs("Commands", rows)
        + f"\nRun 'wardian {group} COMMAND --help' for more information on a command.\n"
    )


def _command(path: str, summary: str, command: Command) -> str:
    text = f"Usage:  wardian {path} {command.usage}".rstrip() + f"\n\n{summary}\n"
    others = other_names(path)
    if len(others) > 1:
        text += f"\nAliases:\n  {', '.join(f'wardian {name}' for name in others)}\n"
    if command.flags:
        text += f"\nOptions:\n{flag_lines(command.flags)}"
    return text


def other_names(path: str) -> list[str]:
    """All names of a verb, the one in its group first."""
    first, _, second = path.partition(" ")
    group, verb = (first, second) if second else tree.SHORT.get(first, ("", ""))
    if not group:
        return [path]
    aliases = tree.ALIASES.get(group, {})
    verb = aliases.get(verb, verb)
    names = [f"{group} {verb}", *(f"{group} {alias}" for alias, name in aliases.items() if name == verb)]
    return names + [short for short, row in tree.SHORT.items() if row == (group, verb)]


def _summary(verb: str) -> str:
    found = tree.find([verb])
    return _marked(found[1], found[2]) if found else ""


def _marked(target: str, summary: str) -> str:
    return summary if target else f"{summary} (not built yet)".strip()


def _group_summary(group: str) -> str:
    summary, verbs = tree.GROUPS[group]
    return summary if any(target for target, _ in verbs.values()) else f"{summary} (not built yet)"


def _verbs(title: str, rows: Iterable[tuple[str, str]]) -> str:
    return f"\n{title}:\n" + "".join(f"  {verb:<11} {summary}".rstrip() + "\n" for verb, summary in rows)


def flag_lines(flags: Sequence[Flag]) -> str:
    """The options of a command, one paragraph each, wrapped beside their column."""
    heads = []
    for flag in sorted(flags, key=lambda flag: flag.name):
        if not flag.hidden:
            short = f"-{flag.short}, " if flag.short else "    "
            heads.append((f"  {short}--{flag.name} {flag.shown_kind}".rstrip(), flag))
    column = max((len(head) for head, _ in heads), default=0) + 3
    return "".join(_wrapped(head, column, flag.text + default_note(flag)) for head, flag in heads)


def default_note(flag: Flag) -> str:
    """What follows a flag's text where it has a default: ` (default 5)`."""
    if flag.default in ("", 0, None) or flag.default == [] or flag.default is False:
        return ""
    shown = f'"{flag.default}"' if isinstance(flag.default, str) else str(flag.default).lower()
    return f" (default {shown})"


def _wrapped(head: str, column: int, text: str) -> str:
    lines, line = [], ""
    for word in text.split():
        if line and column + len(line) + 1 + len(word) > _WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    lines.append(line)
    margin = "\n" + " " * column
    return head.ljust(column) + margin.join(lines) + "\n"
