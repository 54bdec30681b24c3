"""Contexts: names for engines, in docker's own store (`contexts` beside config.json), read and written as docker does.

    contexts/meta/SHA256(NAME)/meta.json                      {"Name", "Metadata", "Endpoints": {"docker": {"Host", …}}}
    contexts/tls/SHA256(NAME)/docker/{ca,cert,key}.pem

Which of them is the current one is Wardian's own note (`wardian-context`): docker's `currentContext` says which engine
*docker* speaks to, and `wardian context use` must not turn docker away from its own.
"""

from __future__ import annotations

import os

from wardian.cli.command import Failure
from wardian.cli.settings import CURRENT, current_context
from wardian.cli.whole_file import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wardian.client import TlsFiles

DEFAULT = "default"
TLS_NAMES = {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class ContextStore:
    """The store below one configuration directory."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._root = os.path.join(directory, "contexts")

    def meta_path(self, name: str) -> str:
        return os.path.join(self._root, "meta", _digest(name), "meta.json")

    def tls_directory(self, name: str) -> str:
        return os.path.join(self._root, "tls", _digest(name), "docker")

    def read(self, name: str) -> dict[str, Any]:
        """What the store holds of a context. Raises Failure in docker's words."""
        from wardian.client import jsontext

        path = self.meta_path(name)
        try:
            with open(path, "rb") as file:
                meta = jsontext.decode(file.read())
        except OSError as error:
            reason = str(error.strerror).lower()
            raise Failure(f'context "{name}": context not found: open {path}: {reason}') from None
        except ValueError:
            meta = None
        if not isinstance(meta, dict):
            raise Failure(f'context "{name}": {path} holds no context')
        return meta

    def exists(self, name: str) -> bool:
        return os.path.exists(self.meta_path(name))

    def all(self) -> list[dict[str, Any]]:
        """Every context in the store that can be read, by name."""
        return self.sorted_out()[0]

    def sorted_out(self) -> tuple[list[dict[str, Any]], list[str]]:
        """Every context in the store, by name, and what is wrong with those that cannot be read, in docker's words."""
        from wardian.client import jsontext

        found, wrong = [], []
        for entry in _names(os.path.join(self._root, "meta")):
            path = os.path.join(self._root, "meta", entry, "meta.json")
            try:
                with open(path, "rb") as file:
                    meta = jsontext.decode(file.read())
            except FileNotFoundError:
                continue  # a directory that was left empty, or is being removed
            except OSError as error:
                wrong.append(f"failed to read metadata: open {path}: {str(error.strerror).lower()}")
                continue
            except ValueError as error:
                wrong.append(f"failed to read metadata: parsing {path}: {error}")
                continue
            if isinstance(meta, dict) and meta.get("Name"):
                found.append(meta)
            else:
                wrong.append(f"failed to read metadata: parsing {path}: it names no context")
        return sorted(found, key=lambda meta: str(meta["Name"])), wrong

    def write(self, meta: dict[str, Any], tls: dict[str, bytes]) -> None:
        """A context as a whole: its description last, so that it is there when all of it is."""
        from wardian.client import jsontext

        name = meta["Name"]
        self._clear_tls(name)
        if tls:
            os.makedirs(self.tls_directory(name), mode=0o700, exist_ok=True)
            for file, content in tls.items():
                write_whole([content], os.path.join(self.tls_directory(name), file))
        os.makedirs(os.path.dirname(self.meta_path(name)), mode=0o755, exist_ok=True)
        write_whole([jsontext.encode(meta)], self.meta_path(name), 0o644)

    def tls_files(self, name: str) -> dict[str, bytes]:
        found = {}
        for file in sorted(TLS_NAMES.values()):
            try:
                with open(os.path.join(self.tls_directory(name), file), "rb") as stored:
                    found[file] = stored.read()
            except FileNotFoundError:
                continue
        return found

    def remove(self, name: str) -> None:
        self._clear_tls(name)
        path = self.meta_path(name)
        os.unlink(path)
        os.rmdir(os.path.dirname(path))

    def _clear_tls(self, name: str) -> None:
        directory = self.tls_directory(name)
        for file in _names(directory):
            os.unlink(os.path.join(directory, file))
        for one in (directory, os.path.dirname(directory)):
            if os.path.isdir(one):
                os.rmdir(one)

    def current(self) -> str:
        return current_context(self.directory)

    def use(self, name: str) -> None:
        path = os.path.join(self.directory, CURRENT)
        if name == DEFAULT:
            if os.path.exists(path):
                os.unlink(path)
            return
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        write_whole([name.encode() + b"\n"], path, 0o644)

    def endpoint(self, name: str) -> tuple[str, TlsFiles | None]:
        """The engine that a context names, and its TLS. Raises Failure."""
        from wardian.client import TlsFiles

        try:
            endpoint = self.read(name)["Endpoints"]["docker"]
            host, skip = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
        except (LookupError, TypeError, AttributeError):
            raise Failure(f'context "{name}": {self.meta_path(name)} names no engine of docker') from None
        stored = set(_names(self.tls_directory(name)))
        if not stored and not skip:
            return host, None
        authority, certificate, key = (
            os.path.join(self.tls_directory(name), file) if file in stored else "" for file in TLS_NAMES.values()
        )
        return host, TlsFiles(authority, certificate, key, not skip)


def check_name(name: str) -> None:
    """Raises Failure for what docker takes for no name, in its words."""
    if not name:
        raise Failure("context name cannot be empty")
    if name == DEFAULT:
        raise Failure('"default" is a reserved context name')
    if len(name) < 2 or name[0] not in _LETTERS or any(letter not in _LETTERS + "_.+-" for letter in name):
        raise Failure(
            f'context name "{name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"'
        )


def _digest(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []
