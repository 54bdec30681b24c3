"""A registry's client: the OCI distribution-spec over urllib3, used from worker threads. Reading is here, and what both
halves need: authentication, redirects, errors; writing is in uploads.py.

Where credentials go (CVE-2020-15157 and its family):

- Only to the registry whose name the reference carries, and only when they were given for that name.
- To the token server that this registry itself names, in an answer that was no redirect, over https
  (plain http only when the registry is on loopback).
- Never along a redirect to another origin: a CDN gets the bare request. A challenge from there is an error.

urllib3 is imported with this module, which is imported at the first pull.
"""

import base64
import contextlib
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3

from wardian.errors import FORBIDDEN, INVALID, SYSTEM, UNAVAILABLE, WardianError
from wardian.images.auth import RegistryAuth
from wardian.images.connections import connections, is_loopback
from wardian.images.content import digest_of, mismatch
from wardian.images.manifests import ACCEPTED, MANIFEST_LIMIT, Descriptor
from wardian.images.progress import Cancelled
from wardian.images.reference import DEFAULT_DOMAIN, Reference
from wardian.images.refusals import LOGIN, PULL, PUSH, denial, json_object, refusal
from wardian.images.streams import CHUNK
from wardian.images.unreachable import failure

_HUB = "registry-1.docker.io"
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_RESUMES = 5  # how often a broken download goes on where it stopped
_ERROR_LIMIT = 1 << 16
_SHORT = 4096  # bytes of a body nobody asked for that are read, to keep its connection; past it the connection ends
_CHALLENGE = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"', re.ASCII)


class Said(NamedTuple):
    """A whole answer of a registry; header names in lower case."""

    status: int
    headers: dict[str, str]
    data: bytes


class RegistryClient:
    """One repository of one registry. Thread-safe: layers are fetched in parallel. `close` drops its connections.

    `operation` says what for: the access that is asked for, and the words of errors. `sources` are other repositories
    of the same registry that blobs are to be mounted from.
    """

    def __init__(
        self,
        reference: Reference,
        auth: RegistryAuth | None = None,
        operation: str = PULL,
        sources: Sequence[str] = (),
    ) -> None:
        self._reference = reference
        self._operation = operation
        self._sources = sources
        self.identity_token = ""  # that a token server gave at a login
        host = _HUB if reference.domain == DEFAULT_DOMAIN else reference.domain
        self._plain = is_loopback(reference.domain)
        self._base = f"{'http' if self._plain else 'https'}://{host}"
        self._auth = auth if auth and auth.is_for(reference.domain) else None
        self._authorization = f"Bearer {self._auth.registry_token}" if self._auth and self._auth.registry_token else ""
        self._lock = threading.Lock()
        self._pool = connections(self._base)
        self._live_lock = threading.Lock()  # never held while anything is waited for, as the other is for a token
        self._live: set[urllib3.BaseHTTPResponse] = set()
        self._aborted = False

    @property
    def name(self) -> str:
        """The image's, in full, for errors."""
        return str(self._reference)

    def close(self) -> None:
        self._pool.clear()

    def abort(self) -> None:
        """End the answers that are under way, from another thread: a registry may have fallen silent."""
        with self._live_lock:
            self._aborted = True
            live = tuple(self._live)
        for response in live:
            with contextlib.suppress(ValueError, RuntimeError, OSError):  # it ends by itself just now
                response.shutdown()

    def manifest(self, at: str) -> tuple[bytes, str, str]:
        """A manifest or index by tag or digest: bytes, digest, media type. Verified when `at` is a digest."""
        path = f"/v2/{self._reference.path}/manifests/{at}"
        response = self._open("GET", path, {"Accept": ", ".join(ACCEPTED)})
        try:
            data = self._body(response, MANIFEST_LIMIT, path)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        finally:
            self._end(response)
        digest = digest_of(data)
        if at.startswith("sha256:") and digest != at:
            raise mismatch(at, digest, self._reference.domain)
        return data, digest, media_type

    def blob(self, wanted: Descriptor, limit: int) -> bytes:
        """A small blob whole, verified."""
        if wanted.size > limit:
            raise WardianError(INVALID, f"blob {wanted.digest} is of {wanted.size} bytes: more than {limit}")
        data = b"".join(self.blob_chunks(wanted))
        if (found := digest_of(data)) != wanted.digest:
            raise mismatch(wanted.digest, found, self._reference.domain)
        return data

    def blob_chunks(self, wanted: Descriptor) -> Iterator[bytes]:
        """A blob's bytes as they come, at most as many as stated; not verified. A broken connection is resumed."""
        path = f"/v2/{self._reference.path}/blobs/{wanted.digest}"
        done = attempts = 0
        while True:
            try:
                for chunk in self._blob_from(path, done):
                    done += len(chunk)
                    attempts = 0
                    yield chunk
                    if done > wanted.size:
                        raise mismatch(wanted.digest, f"of a longer one ({wanted.size} bytes stated)", path)
                return
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if done == wanted.size:
                    return
                if self._aborted:
                    raise Cancelled from None
                attempts += 1
                if attempts > _RESUMES:
                    raise self._unreachable(path, error) from error

    def _blob_from(self, path: str, start: int) -> Iterator[bytes]:
        response = self._open("GET", path, {"Range": f"bytes={start}-"} if start else {})
        try:
            skip = start if start and response.status != 206 else 0  # a server without ranges begins anew
            for chunk in response.stream(CHUNK, decode_content=False):
                if skip >= len(chunk):
                    skip -= len(chunk)
                    continue
                yield chunk[skip:]
                skip = 0
        finally:
            self._end(response)

    def _begin(self, response: urllib3.BaseHTTPResponse) -> None:
        """From here to its `_end`, `abort` ends this answer too."""
        with self._live_lock:
            self._live.add(response)
            aborted = self._aborted
        if aborted:
            self._end(response)
            raise Cancelled

    def _end(self, response: urllib3.BaseHTTPResponse) -> None:
        with self._live_lock:
            self._live.discard(response)
        response.close()  # whatever was not read ends with its connection; one read to its end was given back before
        response.release_conn()

    def _skip(self, response: urllib3.BaseHTTPResponse) -> None:
        """End an answer that matters by its head only. urllib3's drain_conn would read a body without end."""
        length = response.headers.get("Content-Length", "")
        try:
            if length.isdecimal() and len(length) <= 4 and int(length) <= _SHORT:
                response.read(decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError):
            pass  # its connection ends then
        finally:
            self._end(response)

    def ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        expected: Sequence[int] = (200,),
    ) -> Said:
        """One request with a short answer. `path` may be a whole URL of this registry's choice. Raises for a status
        that is not expected."""
        response = self._open(method, path, headers or {}, body, expected)
        try:
            data = self._body(response, MANIFEST_LIMIT, path) if method != "HEAD" else b""
            return Said(response.status, {name.lower(): text for name, text in response.headers.items()}, data)
        finally:
            self._end(response)

    def location(self, path: str, said: Said) -> str:
        """Where a registry says that an upload goes on. Raises WardianError."""
        found = said.headers.get("location", "")
        if not found:
            message = f"registry {self._reference.domain} does not say where the upload goes on"
            raise WardianError(SYSTEM, message, operation=self._operation, subject=path)
        return self._redirected(self._url(path), found)

    def beside(self, path: str, found: str) -> str:
        """Where a list goes on that the registry answered at `path`. Raises WardianError."""
        return self._redirected(self._url(path), found)

    def _url(self, path: str) -> str:
        return path if "://" in path else self._base + path

    def _open(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None = None,
        expected: Sequence[int] = (200, 206),
    ) -> urllib3.BaseHTTPResponse:
        """With authentication and redirects; an answer that is expected, for the caller to `_end`, or WardianError.

        A body that comes in pieces is sent once: what it goes to has let us in just before.
        """
        authorization = self._authorization
        response, own = self._follow(method, path, headers, body, authorization)
        if response.status == 401 and own and (body is None or isinstance(body, bytes)) and 401 not in expected:
            challenge = response.headers.get("WWW-Authenticate", "")
            self._skip(response)
            with self._lock:  # one thread gets the token, the others take it
                if self._authorization == authorization:
                    self._authorization = self._authorize(challenge, self._url(path))
            response, _ = self._follow(method, path, headers, body, self._authorization)
        if response.status not in expected:
            try:
                data = self._body(response, _ERROR_LIMIT, path) if method != "HEAD" else b""
                raise refusal(
                    self._operation,
                    self._reference,
                    response.status,
                    response.reason or "",
                    data,
                    self._url(path),
                    known=self._auth is not None,
                )
            finally:
                self._end(response)
        return response

    def _follow(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | Iterable[bytes] | None,
        authorization: str,
    ) -> tuple[urllib3.BaseHTTPResponse, bool]:
        """The answer at the end of the redirects (only what reads has any), and whether it is the registry's own."""
        url = self._url(path)
        for _ in range(_MAX_REDIRECTS):
            own = _origin(url) == _origin(self._base)
            sent = {**headers, "Authorization": authorization} if own and authorization else headers
            try:
                response = self._pool.request(
                    method, url, body=body, headers=sent, redirect=False, preload_content=False
                )
            except urllib3.exceptions.HTTPError as error:
                raise self._unreachable(url, error) from error
            self._begin(response)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location or method not in ("GET", "HEAD"):
                return response, own
            self._skip(response)
            url = self._redirected(url, location)
        raise WardianError(UNAVAILABLE, f"registry {self._reference.domain} redirects without end", subject=path)

    def _redirected(self, url: str, location: str) -> str:
        name = self._reference.domain
        try:
            following = urljoin(url, location)
            scheme = urlsplit(following).scheme
        except ValueError as error:
            raise WardianError(SYSTEM, f"registry {name} redirects to {location[:200]!r}: {error}") from None
        if scheme not in (("http", "https") if self._plain else ("https",)):
            raise WardianError(FORBIDDEN, f"registry {name} redirects to {following[:200]}, which is not https")
        return following

    def _authorize(self, challenge: str, url: str) -> str:
        """The Authorization header that answers a challenge (RFC 9110 11.6.1; distribution's token specification)."""
        scheme, _, rest = challenge.partition(" ")
        fields = {key.lower(): value for key, value in _CHALLENGE.findall(rest)}
        if scheme.lower() == "basic":
            if self._auth is None or not self._auth.username:
                said = (
                    "no basic auth credentials"
                    if self._operation == PUSH
                    else f'Get "{url}": no basic auth credentials'
                )
                raise WardianError(SYSTEM, said, operation=self._operation, hint="docker login first")
            return _basic(self._auth)
        if scheme.lower() != "bearer" or not fields.get("realm"):
            raise WardianError(SYSTEM, f'Get "{url}": unsupported authentication {scheme or "without a scheme"!r}')
        return f"Bearer {self._token(fields)}"

    def _token(self, fields: dict[str, str]) -> str:
        realm = fields["realm"]
        try:
            scheme, host = urlsplit(realm)[:2]
        except ValueError:
            scheme = host = ""
        if scheme != "https" and not (scheme == "http" and self._plain and is_loopback(host)):
            message = f"token server {realm[:200]} of {self._reference.domain} is not https: refused"
            raise WardianError(FORBIDDEN, message, operation=self._operation, subject=self._reference.domain)
        pool = connections(realm)
        try:
            response = self._ask_for_token(pool, realm, fields.get("service", ""))
            self._begin(response)
            try:
                data = self._body(response, MANIFEST_LIMIT, realm)
            finally:
                self._end(response)
        except urllib3.exceptions.HTTPError as error:
            raise self._unreachable(realm, error) from error
        finally:
            pool.clear()
        if response.status != 200:
            known = self._auth is not None
            raise denial(self._operation, self._reference, data, response.status, self._base + "/v2/", known=known)
        self.identity_token = str(json_object(data).get("refresh_token") or "")
        token = json_object(data).get("token") or json_object(data).get("access_token")
        if not isinstance(token, str) or not token:
            raise WardianError(SYSTEM, f"token server {realm} gave no token", operation=self._operation)
        return token

    def _ask_for_token(self, pool: urllib3.PoolManager, realm: str, service: str) -> urllib3.BaseHTTPResponse:
        scopes = [] if self._operation == LOGIN else [f"repository:{self._reference.path}:{self._access()}"]
        scopes += [f"repository:{source}:pull" for source in self._sources]
        if self._auth is not None and self._auth.identity_token:
            form = {"service": service, "scope": " ".join(scopes), "client_id": "wardian"}
            body = urlencode({**form, "grant_type": "refresh_token", "refresh_token": self._auth.identity_token})
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return pool.request("POST", realm, body=body, headers=headers, redirect=False, preload_content=False)
        query = [("service", service), *(("scope", scope) for scope in scopes)]
        if self._operation == LOGIN:
            query += [("client_id", "wardian"), ("offline_token", "true")]
        joint = "&" if urlsplit(realm).query else "?"
        headers = {"Authorization": _basic(self._auth)} if self._auth and self._auth.username else {}
        url = f"{realm}{joint}{urlencode([pair for pair in query if pair[1]])}"
        return pool.request("GET", url, headers=headers, redirect=False, preload_content=False)

    def _access(self) -> str:
        return "pull,push" if self._operation == PUSH else "pull"

    def _body(self, response: urllib3.BaseHTTPResponse, limit: int, path: str) -> bytes:
        try:
            data = response.read(limit + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if self._aborted:
                raise Cancelled from None
            raise self._unreachable(path, error) from error
        if self._aborted:  # what there is of it may be the first half
            raise Cancelled
        if len(data) > limit:
            raise WardianError(INVALID, f"{self._reference.domain}{path} is larger than {limit} bytes")
        return data

    def _unreachable(self, path: str, error: Exception) -> WardianError:
        url = self._url(path)
        text, number = failure(error, url)
        message = f'Get "{url}": {text}'
        return WardianError(
            UNAVAILABLE, message, operation=self._operation, subject=self._reference.domain, errno=number
        )


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _basic(auth: RegistryAuth) -> str:
    return "Basic " + base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
