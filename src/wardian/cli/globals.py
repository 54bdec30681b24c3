"""The flags before the verb: which engine to speak to, and Docker's others as far as they mean something here."""

from __future__ import annotations

from wardian.cli.command import Failure
from wardian.cli.pflag import Flag, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TLS_FLAGS = (
    Flag("tls", "", "bool", "", "Use TLS to tcp:// engines; implied by --tlsverify"),
    Flag("tlscacert", "", "string", "", "Certificate of the authority that signed the engine's (ca.pem)"),
    Flag("tlscert", "", "string", "", "This client's certificate (cert.pem)"),
    Flag("tlskey", "", "string", "", "This client's key (key.pem)"),
    Flag("tlsverify", "", "bool", "", "Use TLS and verify the engine"),
)
FLAGS = (
    Flag("config", "", "string", "", "Directory of config.json (default: $DOCKER_CONFIG, ~/.docker)"),
    Flag("context", "c", "string", "", "Name of a context of docker's: the engine that it names"),
    Flag("debug", "D", "bool", "", "Show the traceback of an error of this command itself"),
    Flag("host", "H", "list", "", "The engine: unix:///path, tcp://host:port, ssh://[user@]host"),
    Flag("log-level", "l", "string", "", "Accepted as Docker has it; nothing is logged here", default="info"),
    *TLS_FLAGS,
    Flag("version", "v", "bool", "", "Print the version"),
)

_LEVELS = ("panic", "fatal", "error", "warn", "warning", "info", "debug", "trace")


class Globals:
    """What the flags before the verb said, and the words after them."""

    __slots__ = ("args", "config", "context", "debug", "host", "tls", "version")

    def __init__(
        self,
        args: list[str],
        host: str = "",
        context: str = "",
        config: str = "",
        version: bool = False,
        debug: bool = False,
        tls: Mapping[str, object] | None = None,
    ) -> None:
        self.args = args
        self.host = host
        self.context = context
        self.config = config
        self.version = version
        self.debug = debug
        self.tls = tls or {}


def read_globals(words: Sequence[str]) -> Globals:
    """Reads the flags before the verb. Raises FlagError, HelpAsked, and Failure for what does not go together."""
    if words and not words[0].startswith("-"):
        return Globals(list(words))
    parsed = parse(FLAGS, words, interspersed=False)
    hosts = parsed["host"]
    if len(hosts) > 1:
        raise Failure("Specify only one -H")
    if hosts and parsed["context"]:
        raise Failure("conflicting options: cannot specify both --host and --context")
    if parsed["log-level"] not in _LEVELS:
        raise Failure(f"Unable to parse logging level: {parsed['log-level']}")
    return Globals(
        parsed.args,
        host=hosts[0] if hosts else "",
        context=parsed["context"],
        config=parsed["config"],
        version=parsed["version"],
        debug=parsed["debug"],
        tls={flag.name: parsed[flag.name] for flag in TLS_FLAGS if flag.name in parsed.given},
    )
