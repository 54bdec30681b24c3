"""What people type: `wardian`, with Docker's grammar. One module for each command group, imported when needed.

What others may use: `main()`, the console entry point. A command's start is most of what a person waits for, so that
nothing on the way of `run` imports asyncio, argparse, re, socket, dataclasses, typing, logging, json, signal or enum
(a test looks at sys.modules).
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wardian.cli.command import Command

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and answers its exit code; as the console entry point, it ends the process itself."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        _flush()
        if arguments is None and "coverage" not in sys.modules:
            # All is written and closed by the kernel: taking the interpreter down first is 4 ms of every command.
            import os

            os._exit(code)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output went away (`wardian ps | head`): end as a program killed by SIGPIPE is seen to.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    return code


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


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
    if options.version or not words or words[0] == "help":
        if options.version:
            from wardian import __version__

            print(f"Wardian version {__version__}")
            return 0
        return _help(words[1:])
    found = tree.find(words)
    if found is None:
        return _not_a_command(words)
    path, target, _, rest = found
    if not target:
        if "--help" in rest:
            return _help(path.split())
        return _say(f"wardian: '{path}' is not built yet", 1)
    return _invoke(path, _load(target), rest, options.host)


def _load(target: str) -> Command:
    module, _, name = target.partition(":")
    command: Command = getattr(__import__(f"wardian.cli.{module}", fromlist=[name]), name)
    return command


def _invoke(path: str, command: Command, rest: list[str], host: str) -> int:
    from wardian.cli import pflag
    from wardian.cli.command import Failure, Invocation, UsageFailure, count_failure
    from wardian.errors import WardianError

    usage = f"Usage:  wardian {path} {command.usage}".rstrip()
    try:
        parsed = pflag.parse(command.flags, rest, command.interspersed)
        wrong = count_failure(path, command, len(parsed.args))
        if wrong:
            raise wrong
        return command.action(Invocation(path, parsed, host))
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


def error_text(error: Exception) -> str:
    """How an error is told: what the engine said is marked as the engine's."""
    text = str(error)
    return f"Error response from daemon: {text}" if hasattr(error, "status") else text


def _not_a_command(words: list[str]) -> int:
    from wardian.cli import tree

    group = words[0]
    if group not in tree.GROUPS:
        return _say(f"wardian: unknown command: wardian {group}\n\nRun 'wardian --help' for more information", 1)
    if len(words) == 1 or words[1] in ("--help", "-h", "help"):
        return _help([group])
    usage = f"Usage:  wardian {group}\n\nRun 'wardian {group} --help' for more information"
    if words[1].startswith("-"):
        return _say(f"unknown flag: {words[1]}\n\n{usage}", 125)
    return _say(f"wardian: unknown command: wardian {group} {words[1]}\n\n{usage}", 1)


def _help(words: list[str]) -> int:
    from wardian.cli.help import show_help

    return show_help(words)


def _say(message: str, code: int) -> int:
    if message:
        sys.stdout.flush()
        sys.stderr.write(message + "\n")
    return code
