"""Why a registry could not be reached, in the words that Docker's people know (those of Go's net package)."""

import logging
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from urllib3 import exceptions

from wardian.errors import UNAVAILABLE, WardianError

# Each try of a connection is a warning to urllib3; what came of them all is our one error.
logging.getLogger("urllib3").setLevel(logging.ERROR)


def unreachable(error: Exception, url: str, operation: str, domain: str) -> WardianError:
    """The error of an operation with the registry `domain`, for what kept `url` from it."""
    text, number = failure(error, url)
    return WardianError(UNAVAILABLE, f'Get "{url}": {text}', operation=operation, subject=domain, errno=number)


def failure(error: BaseException, url: str) -> tuple[str, int]:
    """(text, errno) of an exception that urllib3 raised for `url`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = f"{f'[{host}]' if ':' in host else host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    number = next((one.errno or 0 for one in _causes(error) if isinstance(one, OSError)), 0)
    for one in _causes(error):
        match one:
            case socket.gaierror():
                return f"dial tcp: lookup {host}: {_lookup(one)}", 0
            case exceptions.ConnectTimeoutError() if not isinstance(one, exceptions.NewConnectionError):
                return f"dial tcp {address}: i/o timeout", number
            case exceptions.ReadTimeoutError():
                return "i/o timeout: the registry said nothing more", number
            case ssl.SSLCertVerificationError():
                return f"tls: failed to verify certificate: {one.verify_message or one.reason}", 0
            case ssl.SSLError():
                said = "WRONG_VERSION_NUMBER" in str(one) or "HTTP_REQUEST" in str(one)
                return ("server gave HTTP response to HTTPS client" if said else f"tls: {one.reason or one}"), 0
            case ConnectionRefusedError() | OSError(errno=int()):
                text = (one.strerror or str(one)).lower()
                dialled = any(isinstance(outer, exceptions.NewConnectionError) for outer in _causes(error))
                return (f"dial tcp {address}: connect: {text}" if dialled else f"read tcp {address}: {text}"), number
    return _plain(error), number


def _lookup(error: socket.gaierror) -> str:
    temporary = error.errno in (socket.EAI_AGAIN, socket.EAI_FAIL)
    return f"server misbehaving ({error.strerror})" if temporary else "no such host"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what is behind it, outermost first."""
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        one = pending.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            pending += [getattr(one, "reason", None), one.__cause__, one.__context__, *one.args]


def _plain(error: BaseException) -> str:
    """What an exception of urllib3 says, without its object's address."""
    reason = getattr(error, "reason", None) or error
    text = re.sub(r"^<[^>]*>: ", "", str(reason))
    text = re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", text)
    return text or type(reason).__name__
