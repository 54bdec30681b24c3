"""What people type: `wardian`, with Docker's grammar. One module for each command group, imported when needed.

What others may use: `main()`, the console entry point. A command's start is most of what a person waits for, so that
nothing on the way of `run` imports asyncio, argparse, re, socket, dataclasses, typing, logging, json, signal or enum
(a test looks at sys.modules).
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # `signal` costs an import of enum
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wardian.cli.command import Command
    from wardian.cli.globals import Globals

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and answers its exit code; as the console entry point, it ends the process itself."""
    if arguments is None:
        _settle_streams()
    try:
        if arguments is None:
            _interruptible()
        code = _run(_typed() if arguments is None else list(arguments))
        _flush()
        if arguments is None and "coverage" not in sys.modules:
            # All is written and closed by the kernel: taking the interpreter down first is 4 ms of every command.
            os._exit(code)
    except KeyboardInterrupt:
        if arguments is None:
            _interruptible(False)
        return 130
    except BrokenPipeError:
        # Whoever read our output went away (`wardian ps | head`): end as a program killed by SIGPIPE is seen to.
        return _unwritten(141)
    except OSError as error:
        return _say(f"wardian: {error.filename + ': ' if error.filename else ''}{error.strerror}", _unwritten(1))
    return code


def _settle_streams() -> None:
    """Makes 0 to 2 what the rest relies on: open, and taking any text.

    One that our parent closed becomes /dev/null, or the next socket would be our stdin. What is printed is UTF-8 as in
    docker, whatever the locale; bytes of the command line that are none come out as they came in.
    """
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free descriptor: this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


def _interruptible(on: bool = True) -> None:
    """Ctrl-C raises KeyboardInterrupt from here on; or, at the end, is not looked at, as one more would be a traceback.

    One that our parent ignores (a script's background) is no matter of ours.
    """
    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, _signal.default_int_handler if on else _signal.SIG_IGN)


def _typed() -> list[str]:
    """The words of the command line. What is not ASCII in them stays bytes (PEP 383) where the locale is not UTF-8.

    So names of files are what was typed in any locale, and the engine is asked in UTF-8 (client.jsontext).
    """
    if sys.getfilesystemencoding() == "utf-8":
        return sys.argv[1:]
    return [os.fsencode(word).decode("ascii", "surrogateescape") for word in sys.argv[1:]]


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _unwritten(code: int) -> int:
    """What is left in the buffer goes nowhere: the interpreter would complain of it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return code


def _run(words: list[str]) -> int:
    from wardian.cli import pflag, tree
    from wardian.cli.command import Failure
    from wardian.cli.globals import read_globals

    try:
        options = read_globals(words)
    except pflag.FlagError as error:
        usage = "Usage:  wardian [OPTIONS] COMMAND [ARG...]"
        return _say(f"{error}\n\n{usage}\n\nRun 'wardian --help' for more information", 125)
    except pflag.HelpAsked:
        return _help([])
    except Failure as failure:
        return _say(failure.message, failure.code)
    words = options.args
    if options.version:
        from wardian import __version__

        print(f"Wardian version {__version__}")
        return 0
    if not words:
        return _help([], asked=False)
    if words[0] == "help":
        return _help(words[1:])
    found = tree.find(words)
    if found is None:
        return _not_a_command(words)
    path, target, _, rest = found
    if not target:
        if "--help" in rest:
            return _help(path.split())
        return _say(f"wardian: '{path}' is not built yet", 1)
    return _invoke(path, _load(target), rest, options)


def _load(target: str) -> Command:
    module, _, name = target.partition(":")
    command: Command = getattr(__import__(f"wardian.cli.{module}", fromlist=[name]), name)
    return command


def _invoke(path: str, command: Command, rest: list[str], options: Globals) -> int:
    from wardian.cli import pflag
    from wardian.cli.command import Failure, Invocation, UsageFailure, count_failure, error_text
    from wardian.errors import WardianError

    usage = f"Usage:  wardian {path} {command.usage}".rstrip()
    try:
        parsed = pflag.parse(command.flags, rest, command.interspersed)
        wrong = count_failure(path, command, len(parsed.args))
        if wrong:
            raise wrong
        return command.action(Invocation(path, parsed, options))
    except pflag.HelpAsked:
        return _help(path.split())
    except pflag.FlagError as error:
        return _say(f"{error}\n\n{usage}\n\nRun 'wardian {path} --help' for more information", 125)
    except UsageFailure as failure:
        return _say(
            f"{failure.message}\n\n{usage}\n\n{failure.pointer} 'wardian {path} --help' for more information",
            failure.code,
        )
    except Failure as failure:
        return _say(failure.message, failure.code)
    except WardianError as error:
        return _say(error_text(error), 1)
    except (OSError, KeyboardInterrupt):
        raise
    except Exception as error:
        if options.debug:
            raise
        return _say(f"wardian: a mistake in '{path}': {type(error).__name__}: {error} (-D shows where)", 1)


def _not_a_command(words: list[str]) -> int:
    from wardian.cli import tree

    group = words[0]
    if group not in tree.GROUPS:
        return _say(f"wardian: unknown command: wardian {group}\n\nRun 'wardian --help' for more information", 1)
    if len(words) == 1:
        return _help([group], asked=False)
    if words[1] in ("--help", "-h", "help"):
        return _help([group])
    usage = f"Usage:  wardian {group}\n\nRun 'wardian {group} --help' for more information"
    if words[1].startswith("-"):
        return _say(f"unknown flag: {words[1]}\n\n{usage}", 125)
    return _say(f"wardian: unknown command: wardian {group} {words[1]}\n\n{usage}", 1)


def _help(words: list[str], asked: bool = True) -> int:
    """Help that was asked for goes to stdout; where a verb is missing, it goes to stderr."""
    from wardian.cli.command import Failure
    from wardian.cli.help import show_help

    try:
        return show_help(words, sys.stdout if asked else sys.stderr)
    except Failure as failure:
        return _say(failure.message, failure.code)


def _say(message: str, code: int) -> int:
    if message:
        sys.stdout.flush()
        sys.stderr.write(message + "\n")
    return code
