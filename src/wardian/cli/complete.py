"""`__complete -- WORDS`: what may stand in place of the last word, a line each with a tab and a description.

The last line tells the shell more: `:files` and `:directories` (names of those, too), `:nospace` (the word goes on), or
`:none`. Verbs and flags come from the tables that parse; names come from the engine, if one runs: none is started for
a press of a key, and none is waited for longer than a person would.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]

from wardian.cli import tree
from wardian.cli.command import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.pflag import Flag

    Candidates = list[tuple[str, str]]
    Ask = Callable[[str], Candidates]

_SECONDS = 3
NONE, FILES, DIRECTORIES, NOSPACE = ":none", ":files", ":directories", ":nospace"

# What the arguments of a verb name, one after the other; the last stands for all that follow when it ends in "…".
ARGUMENTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("container", "attach"): ("running",),
    ("container", "commit"): ("containers",),
    ("container", "cp"): ("containers or files…",),
    ("container", "create"): ("images",),
    ("container", "diff"): ("containers",),
    ("container", "exec"): ("running",),
    ("container", "export"): ("containers",),
    ("container", "inspect"): ("containers…",),
    ("container", "kill"): ("running…",),
    ("container", "logs"): ("containers",),
    ("container", "pause"): ("running…",),
    ("container", "port"): ("containers",),
    ("container", "rename"): ("containers",),
    ("container", "restart"): ("containers…",),
    ("container", "rm"): ("containers…",),
    ("container", "run"): ("images",),
    ("container", "start"): ("stopped…",),
    ("container", "stats"): ("running…",),
    ("container", "stop"): ("running…",),
    ("container", "top"): ("running",),
    ("container", "unpause"): ("running…",),
    ("container", "update"): ("containers…",),
    ("container", "wait"): ("containers…",),
    ("context", "export"): ("contexts", FILES),
    ("context", "import"): ("", FILES),
    ("context", "inspect"): ("contexts…",),
    ("context", "rm"): ("contexts…",),
    ("context", "update"): ("contexts",),
    ("context", "use"): ("contexts",),
    ("image", "build"): (DIRECTORIES,),
    ("image", "history"): ("images",),
    ("image", "import"): (FILES,),
    ("image", "inspect"): ("images…",),
    ("image", "push"): ("images",),
    ("image", "rm"): ("images…",),
    ("image", "save"): ("images…",),
    ("image", "tag"): ("images",),
    ("network", "connect"): ("networks", "containers"),
    ("network", "disconnect"): ("networks", "containers"),
    ("network", "inspect"): ("networks…",),
    ("network", "rm"): ("networks…",),
    ("volume", "inspect"): ("volumes…",),
    ("volume", "rm"): ("volumes…",),
    ("", "completion"): ("shells",),
    ("", "explain"): ("containers",),
    ("", "inspect"): ("objects…",),
    ("", "man"): (DIRECTORIES,),
    ("", "plan"): ("images",),
}
_WORDS = {
    "shells": ("bash", "fish", "zsh"),
    "attach": ("stderr", "stdin", "stdout"),
    "cgroupns": ("host", "private"),
    "firewall-backend": ("iptables", "nftables"),
    "log-driver": ("fluentd", "journald", "json-file", "local", "none", "syslog"),
    "log-level": ("debug", "error", "fatal", "info", "warn"),
    "pull": ("always", "missing", "never"),
    "restart": ("always", "no", "on-failure", "unless-stopped"),
    "signal": ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2"),
    "uts": ("host",),
}
_DYNAMIC = {"network": "networks", "net": "networks", "volumes-from": "containers", "link": "containers"}
_DYNAMIC |= {"context": "contexts", "from": "contexts"}
_FILE_FLAGS = frozenset(
    "cidfile config env-file file iidfile input label-file output tlscacert tlscert tlskey volume".split()
)
_DIRECTORY_FLAGS = frozenset(("data-root", "run-root", "unit-dir"))


def candidates(words: Sequence[str], ask: Ask) -> tuple[Candidates, str]:
    """What may stand for the last of `words`, and the line for the shell. `ask` gives the names of a kind."""
    from wardian.cli.globals import FLAGS

    *before, current = words or [""]
    before, pending = _after_flags(before, FLAGS, until_word=True)
    if pending:
        return _values(pending, current, ask)
    if not before:
        return _first_word(current, FLAGS, ask)
    if before[0] in tree.GROUPS and len(before) == 1:
        verbs = tree.GROUPS[before[0]][1]
        return [(verb, summary) for verb, (target, summary) in sorted(verbs.items()) if target], NONE
    found = tree.find(before)
    if found is None or not found[1]:
        return [], NONE
    return _in_command(tree.canonical(before), found[1], found[3], current, ask)


def _first_word(current: str, flags: Iterable[Flag], ask: Ask) -> tuple[Candidates, str]:
    if current.startswith("-"):
        return _flags(flags, current, ask)
    built = [(verb, row) for verb in {**tree.SHORT, **tree.OWN} if (row := tree.find([verb])) and row[1]]
    rows = [(verb, row[2]) for verb, row in built]
    rows += [(group, summary) for group, (summary, verbs) in tree.GROUPS.items() if any(t for t, _ in verbs.values())]
    return sorted(rows), NONE


def _in_command(
    verb: tuple[str, str], target: str, rest: Sequence[str], current: str, ask: Ask
) -> tuple[Candidates, str]:
    module, _, name = target.partition(":")
    command: Command = getattr(__import__(f"wardian.cli.{module}", fromlist=[name]), name)
    arguments, pending = _after_flags(rest, command.flags, until_word=not command.interspersed)
    if pending:
        return _values(pending, current, ask)
    if current.startswith("-") and (command.interspersed or not arguments):
        return _flags(command.flags, current, ask)
    kinds = ARGUMENTS.get(verb, ())
    if not kinds:
        return [], NONE
    if len(arguments) >= len(kinds):
        kind = kinds[-1] if kinds[-1].endswith("…") else ""
        if verb in (("container", "run"), ("container", "create"), ("container", "exec")):
            return [], FILES
    else:
        kind = kinds[len(arguments)]
    taken = set(arguments)
    found, directive = _of_kind(kind.rstrip("…"), ask)
    return [(value, text) for value, text in found if value not in taken], directive


def _after_flags(words: Sequence[str], flags: Iterable[Flag], until_word: bool) -> tuple[list[str], Flag | None]:
    """(the words that are no flags, the flag whose value comes next)."""
    by_name = {f"--{flag.name}": flag for flag in flags} | {f"-{flag.short}": flag for flag in flags if flag.short}
    left, arguments = list(words), list[str]()
    while left:
        word = left.pop(0)
        if word == "--":
            return arguments + left, None
        if not word.startswith("-") or word == "-":
            arguments.append(word)
            if until_word:
                return arguments + left, None
            continue
        # -it: the last letter may want a value
        flag = by_name.get(word) if word.startswith("--") or len(word) == 2 else by_name.get(f"-{word[-1]}")
        if flag is not None and flag.kind != "bool":
            if not left:
                return arguments, flag
            left.pop(0)
    return arguments, None


def _flags(flags: Iterable[Flag], current: str, ask: Ask) -> tuple[Candidates, str]:
    name, equals, value = current.partition("=")
    if equals:
        named = [flag for flag in flags if f"--{flag.name}" == name]
        if not named:
            return [], NONE
        found, directive = _values(named[0], value, ask)
        return [(f"{name}={one}", text) for one, text in found], directive
    shown = [flag for flag in flags if not flag.hidden]
    rows = [(f"--{flag.name}", flag.text) for flag in shown]
    if len(current) < 2:
        rows += [(f"-{flag.short}", flag.text) for flag in shown if flag.short]
    return [*sorted(rows), ("--help", "Show help")], NONE


def _values(flag: Flag, current: str, ask: Ask) -> tuple[Candidates, str]:
    if flag.name in _WORDS:
        return [(word, "") for word in _WORDS[flag.name]], NONE
    if flag.name in _DYNAMIC:
        found, directive = _of_kind(_DYNAMIC[flag.name], ask)
        return found + ([("host", ""), ("none", "")] if _DYNAMIC[flag.name] == "networks" else []), directive
    if flag.name in _DIRECTORY_FLAGS:
        return [], DIRECTORIES
    if flag.name == "volume" and not current.startswith(("/", ".", "~")):
        return [(f"{name}:", text) for name, text in ask("volumes")], f"{NOSPACE}{FILES}"
    return [], FILES if flag.name in _FILE_FLAGS else NONE


def _of_kind(kind: str, ask: Ask) -> tuple[Candidates, str]:
    if kind in (FILES, DIRECTORIES):
        return [], kind
    if kind in _WORDS:
        return [(word, "") for word in _WORDS[kind]], NONE
    if kind == "containers or files":
        return [(f"{name}:", text) for name, text in ask("containers")], f"{NOSPACE}{FILES}"
    if kind == "objects":
        return [row for one in ("containers", "images", "networks", "volumes") for row in ask(one)], NONE
    return (ask(kind) if kind else []), NONE


_PATHS: dict[str, tuple[str, dict[str, object]]] = {
    "containers": ("/containers/json", {"all": True}),
    "running": ("/containers/json", {}),
    "stopped": ("/containers/json", {"filters": {"status": ["created", "exited"]}}),
    "images": ("/images/json", {}),
    "networks": ("/networks", {}),
    "volumes": ("/volumes", {}),
}


def _names(invocation: Invocation, kind: str) -> Candidates:
    """Names of a kind. None when there is no engine: a key that is pressed is no wish to start one."""
    if kind == "contexts":
        from wardian.cli.context_store import ContextStore
        from wardian.cli.settings import configuration_directory

        store = ContextStore(configuration_directory(invocation.options.config))
        return [("default", ""), *((str(meta["Name"]), "") for meta in store.all())]
    client = invocation.client
    client.target.home = None
    path, query = _PATHS[kind]
    found: Any = client.call("GET", path, query=query)
    if kind == "images":
        return [(name, "") for image in found for name in image.get("RepoTags") or () if name != "<none>:<none>"]
    if kind in ("networks", "volumes"):
        rows = found if kind == "networks" else found.get("Volumes") or []
        return [(row["Name"], row.get("Driver", "")) for row in rows]
    return [(row["Names"][0].lstrip("/"), f"{row['Image']}, {row['Status']}") for row in found if row["Names"]]


def complete(invocation: Invocation) -> int:
    from wardian.cli.globals import read_globals
    from wardian.cli.pflag import FlagError, HelpAsked

    _signal.alarm(_SECONDS)  # its default ends the process: no candidates are better than a shell that hangs
    try:
        leading = _leading(invocation.args)
        invocation.options = read_globals([*leading, "ps"])
    except (FlagError, HelpAsked):
        pass

    def ask(kind: str) -> Candidates:
        try:
            return _names(invocation, kind)
        except Exception:  # nothing that an engine can say belongs into somebody's command line
            return []

    found, directive = candidates(invocation.args, ask)
    current = invocation.args[-1] if invocation.args else ""
    for value, text in found:
        if value.startswith(current):
            print(f"{value}\t{text}")
    print(directive)
    return 0


def _leading(words: Sequence[str]) -> list[str]:
    """The flags before the verb, which say where the engine is."""
    from wardian.cli.globals import FLAGS

    arguments, pending = _after_flags(words[:-1], FLAGS, until_word=True)
    count = len(words) - 1 - len(arguments)
    return [] if pending else list(words[:count])


COMPLETE = Command(complete, "-- WORD...", interspersed=False)
