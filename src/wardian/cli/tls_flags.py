"""TLS as docker's flags and variables ask for it: --tls…, DOCKER_TLS, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from wardian.client import TlsFiles

_FILES = (("tlscacert", "ca.pem"), ("tlscert", "cert.pem"), ("tlskey", "key.pem"))


def tls_files(given: Mapping[str, object], directory: str) -> TlsFiles | None:
    """What these flags and the environment say; None: no TLS. A file that only the default names need not be there."""
    from wardian.client import TlsFiles

    verify = given.get("tlsverify", bool(os.environ.get("DOCKER_TLS_VERIFY")))
    named = "tlsverify" in given or bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (named or given.get("tls", bool(os.environ.get("DOCKER_TLS")))):
        return None
    where = os.environ.get("DOCKER_CERT_PATH") or directory
    paths: list[str] = []
    for name, default in _FILES:
        path = str(given.get(name) or "") or os.path.join(where, default)
        paths.append(path if given.get(name) or os.path.exists(path) else "")
    authority, certificate, key = paths
    return TlsFiles(authority, certificate, key, bool(verify))
