"""Connections to registries and what is beside them: over which proxy, with which patience."""

import os
from urllib.parse import urlsplit

import urllib3

from wardian import __version__

_TIMEOUT = urllib3.Timeout(connect=15, read=60)


def is_loopback(domain: str) -> bool:
    """Whether a registry is this machine's own: spoken to over plain http, as Docker does by default."""
    host = urlsplit(f"//{domain}").hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def connections(base: str) -> urllib3.PoolManager:
    """Connections for one operation; through HTTPS_PROXY or HTTP_PROXY unless NO_PROXY or loopback says otherwise."""
    retries = urllib3.Retry(total=None, connect=2, read=0, redirect=False, status=0, other=0)
    headers = {"User-Agent": f"wardian/{__version__}"}
    parts = urlsplit(base)
    proxy = os.environ.get(f"{parts.scheme.upper()}_PROXY") or os.environ.get(f"{parts.scheme}_proxy")
    if proxy and not is_loopback(parts.netloc) and not _bypasses_proxy(parts.hostname or ""):
        return urllib3.ProxyManager(proxy, headers=headers, retries=retries, timeout=_TIMEOUT, maxsize=8)
    return urllib3.PoolManager(headers=headers, retries=retries, timeout=_TIMEOUT, maxsize=8)


def _bypasses_proxy(host: str) -> bool:
    listed = os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or ""
    names = [name.strip().lstrip(".") for name in listed.split(",") if name.strip()]
    return any(name == "*" or host == name or host.endswith(f".{name}") for name in names)
