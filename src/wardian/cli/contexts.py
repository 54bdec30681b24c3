"""`context`: names for engines, in the store that docker's command has too."""

from __future__ import annotations

import os
import sys

from wardian.cli.command import Command, Failure
from wardian.cli.context_store import DEFAULT, TLS_NAMES, ContextStore, check_name
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.settings import configuration_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record

_KIND = "*formatter.clientContextContext"
_HEADERS = {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT", "Error": "ERROR"}
_DEFAULT_TEXT = "Current DOCKER_HOST based configuration"
_ERROR_WIDTH = 45


def _store(invocation: Invocation) -> ContextStore:
    return ContextStore(configuration_directory(invocation.options.config))


def _default_host(invocation: Invocation) -> str:
    from wardian.home import make_home

    for text in (invocation.options.host, os.environ.get("WARDIAN_HOST"), os.environ.get("DOCKER_HOST")):
        if text:
            return text
    return f"unix://{make_home().socket}"


def ls(invocation: Invocation) -> int:
    from wardian.cli.natural_order import natural_key
    from wardian.cli.table import Listing

    store, current = _store(invocation), invocation.context
    rows = [(DEFAULT, _DEFAULT_TEXT, _default_host(invocation), "")]
    contexts, wrong = store.sorted_out()
    for meta in contexts:
        endpoint = (meta.get("Endpoints") or {}).get("docker") or {}
        description = str((meta.get("Metadata") or {}).get("Description", ""))
        rows.append((str(meta["Name"]), description, str(endpoint.get("Host", "")), ""))
    if current not in [name for name, *_ in rows]:
        try:
            store.read(current)
        except Failure as failure:
            error = failure.message
            rows.append((current, "", "", error if len(error) <= _ERROR_WIDTH else error[: _ERROR_WIDTH - 1] + "…"))
    rows.sort(key=lambda row: natural_key(row[0]))
    form = invocation.text("format")
    plain = form in ("", "table")
    records = [_record(row, row[0] == current, plain) for row in rows]
    listing = Listing(_KIND, _HEADERS, "Name Description DockerEndpoint Error", "Bare")
    listing.show(records, form, invocation.flag("quiet"))
    _warn_of_variable(invocation)
    for one in wrong:
        print(one, file=sys.stderr)
    return 1 if wrong else 0


def _record(row: tuple[str, str, str, str], current: bool, plain: bool) -> Record:
    from wardian.cli.record import Record

    name, description, endpoint, error = row
    fields = {
        "Current": lambda: current,
        "Description": lambda: description,
        "DockerEndpoint": lambda: endpoint,
        "Error": lambda: error,
        "Name": lambda: f"{name} *" if current and plain else name,
    }
    if plain:
        fields["Bare"] = lambda: name
    return Record(_KIND, fields)


def _warn_of_variable(invocation: Invocation) -> None:
    """A variable that names an engine stands before the context that was chosen (docker's warning)."""
    name = next((name for name in ("WARDIAN_HOST", "DOCKER_HOST") if os.environ.get(name)), "")
    if name and _store(invocation).current() != DEFAULT:
        sys.stderr.write(
            f"Warning: {name} environment variable overrides the active context. To use a context, either set the "
            f"global --context flag, or unset {name} environment variable.\n"
        )


def show(invocation: Invocation) -> int:
    print(invocation.context)
    return 0


def use(invocation: Invocation) -> int:
    name, store = invocation.args[0], _store(invocation)
    if name != DEFAULT:
        store.read(name)
    store.use(name)
    print(name)
    print(f'Current context is now "{name}"', file=sys.stderr)
    if name != DEFAULT:
        _warn_of_variable(invocation)
    return 0


def inspect(invocation: Invocation) -> int:
    from wardian.cli.inspect import show_all

    store = _store(invocation)
    return show_all(
        invocation, lambda name: _described(invocation, store, name), invocation.args or [invocation.context]
    )


def _described(invocation: Invocation, store: ContextStore, name: str) -> dict[str, Any]:
    if name == DEFAULT:
        memory = "<IN MEMORY>"
        endpoint = {"Host": _default_host(invocation), "SkipTLSVerify": False}
        storage = {"MetadataPath": memory, "TLSPath": memory}
        return {"Name": name, "Metadata": {}, "Endpoints": {"docker": endpoint}, "TLSMaterial": {}, "Storage": storage}
    meta, tls = store.read(name), sorted(store.tls_files(name))
    return {
        "Name": meta.get("Name", name),
        "Metadata": meta.get("Metadata") or {},
        "Endpoints": meta.get("Endpoints") or {},
        "TLSMaterial": {"docker": tls} if tls else {},
        "Storage": {
            "MetadataPath": os.path.dirname(store.meta_path(name)),
            "TLSPath": os.path.dirname(store.tls_directory(name)),
        },
    }


def create(invocation: Invocation) -> int:
    name, store = invocation.args[0], _store(invocation)
    check_name(name)
    if store.exists(name):
        raise Failure(f'context "{name}" already exists')
    source = invocation.text("from")
    if source and invocation.words("docker"):
        raise Failure("cannot use --docker flag when --from is set")
    if source or not invocation.words("docker"):
        meta, tls = _copied(invocation, store, source or invocation.context)
    else:
        meta, tls = {"Metadata": {}, "Endpoints": {}}, {}
        endpoint, tls = _endpoint(invocation, store)
        meta["Endpoints"]["docker"] = endpoint
    if invocation.given("description"):
        meta["Metadata"] = {**(meta.get("Metadata") or {}), "Description": invocation.text("description")}
    store.write({**meta, "Name": name}, tls)
    print(name)
    print(f'Successfully created context "{name}"', file=sys.stderr)
    return 0


def _copied(invocation: Invocation, store: ContextStore, source: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    if source != DEFAULT:
        return dict(store.read(source)), store.tls_files(source)
    host = {"Host": _default_host(invocation), "SkipTLSVerify": False}
    return {"Metadata": {"Description": _DEFAULT_TEXT}, "Endpoints": {"docker": host}}, {}


def _endpoint(invocation: Invocation, store: ContextStore) -> tuple[dict[str, Any], dict[str, bytes]]:
    """--docker host=…,ca=…: the endpoint and its files. Raises Failure."""
    given = dict(text.partition("=")[::2] for text in invocation.words("docker"))
    if "from" in given:
        meta, tls = _copied(invocation, store, given["from"])
        return (meta.get("Endpoints") or {}).get("docker") or {}, tls
    unknown = [key for key in given if key not in ("host", "skip-tls-verify", *TLS_NAMES)]
    if unknown:
        raise Failure(f"unable to create docker endpoint config: unrecognized config key: {unknown[0]}")
    if given.get("skip-tls-verify", "false") not in ("true", "false", "1", "0"):
        value = given["skip-tls-verify"]
        raise Failure(f"unable to create docker endpoint config: skip-tls-verify: {value} is neither true nor false")
    host = given.get("host", "")
    if not host:
        raise Failure("unable to create docker endpoint config: a host is needed: --docker host=ssh://user@machine")
    from wardian.client import choose_target
    from wardian.errors import WardianError

    try:
        choose_target(host)
    except WardianError as error:
        raise Failure(f"unable to create docker endpoint config: {error}") from None
    skip = given.get("skip-tls-verify", "false") in ("true", "1")
    return {"Host": host, "SkipTLSVerify": skip}, _tls_files(given)


def _tls_files(given: dict[str, str]) -> dict[str, bytes]:
    tls = {}
    for key, file in TLS_NAMES.items():
        if given.get(key):
            try:
                with open(given[key], "rb") as content:
                    tls[file] = content.read()
            except OSError as error:
                reason = str(error.strerror).lower()
                raise Failure(f"unable to create docker endpoint config: open {given[key]}: {reason}") from None
    return tls


def update(invocation: Invocation) -> int:
    name, store = invocation.args[0], _store(invocation)
    check_name(name)
    meta, tls = dict(store.read(name)), store.tls_files(name)
    if invocation.words("docker"):
        endpoint, tls = _endpoint(invocation, store)
        meta["Endpoints"] = {**(meta.get("Endpoints") or {}), "docker": endpoint}
    if invocation.given("description"):
        meta["Metadata"] = {**(meta.get("Metadata") or {}), "Description": invocation.text("description")}
    store.write(meta, tls)
    print(name)
    print(f'Successfully updated context "{name}"', file=sys.stderr)
    return 0


def rm(invocation: Invocation) -> int:
    store, errors = _store(invocation), []
    for name in invocation.args:
        if name == DEFAULT:
            errors.append('context "default" cannot be removed')
        elif not store.exists(name):
            errors += [] if invocation.flag("force") else [f'context "{name}" does not exist']
        elif name == store.current() and not invocation.flag("force"):
            errors.append(f'context "{name}" is in use, set -f flag to force remove')
        else:
            if name == store.current():
                store.use(DEFAULT)
            store.remove(name)
            print(name)
    if errors:
        raise Failure("\n".join(errors))
    return 0


def export(invocation: Invocation) -> int:
    from wardian.cli.context_archive import write_archive
    from wardian.client import jsontext

    name, store = invocation.args[0], _store(invocation)
    meta, tls = (_copied(invocation, store, name)) if name == DEFAULT else (store.read(name), store.tls_files(name))
    data = write_archive(jsontext.encode({**meta, "Name": name}), tls)
    target = invocation.args[1] if len(invocation.args) > 1 else f"{name}.dockercontext"
    if target == "-":
        if os.isatty(1):
            raise Failure("cowardly refusing to export to a terminal, specify a file path")
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return 0
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failure(f"open {target}: {str(error.strerror).lower()}") from None
    with open(fd, "wb") as file:
        file.write(data)
    print(f'Written file "{target}"', file=sys.stderr)
    return 0


def import_(invocation: Invocation) -> int:
    from wardian.cli.context_archive import MOST, read_archive
    from wardian.client import jsontext

    name, path = invocation.args
    store = _store(invocation)
    check_name(name)
    if store.exists(name):
        raise Failure(f'context "{name}" already exists')
    try:
        with open(0 if path == "-" else path, "rb") as file:
            content = file.read(MOST + 1)
    except OSError as error:
        raise Failure(f"open {path}: {str(error.strerror).lower()}") from None
    text, tls = read_archive(content)
    try:
        meta = jsontext.decode(text)
    except ValueError as error:
        raise Failure(f"invalid context: {error}") from None
    if not isinstance(meta, dict):
        raise Failure("invalid context: its meta.json holds no object")
    store.write({**meta, "Name": name}, tls)
    print(name)
    print(f'Successfully imported context "{name}"', file=sys.stderr)
    return 0


_DESCRIPTION = Flag("description", "", "string", "", "Description of the context")
_DOCKER = Flag("docker", "", "strings", "", "The engine: host=…[,ca=…,cert=…,key=…,skip-tls-verify=…], or from=CONTEXT")
_FORMAT = Flag("format", "f", "string", "", "'json', or a Go template")
LS = Command(
    ls,
    "[OPTIONS]",
    (
        TABLE_FORMAT,
        Flag("quiet", "q", "bool", "", "Only show names"),
    ),
    most=0,
)
SHOW = Command(show, "", most=0)
USE = Command(use, "CONTEXT", least=1, most=1)
INSPECT = Command(inspect, "[OPTIONS] [CONTEXT...]", (_FORMAT,))
CREATE = Command(
    create,
    "[OPTIONS] CONTEXT",
    (_DESCRIPTION, _DOCKER, Flag("from", "", "string", "", "Copy another context")),
    least=1,
    most=1,
)
UPDATE = Command(update, "[OPTIONS] CONTEXT", (_DESCRIPTION, _DOCKER), least=1, most=1)
RM = Command(rm, "[OPTIONS] CONTEXT [CONTEXT...]", (Flag("force", "f", "bool", "", "Also one in use"),), least=1)
EXPORT = Command(export, "CONTEXT [FILE|-]", least=1, most=2)
IMPORT = Command(import_, "CONTEXT FILE|-", least=2, most=2)
