"""A registry's client: the OCI distribution-spec over urllib3, used from worker threads. Reading is here, and what both
halves need: redirects, errors; writing is in uploads.py, authentication in authorizer.py.

Where credentials go (CVE-2020-15157 and its family):

- Only to the registry whose name the reference carries, and only when they were given for that name.
- To the token server that this registry itself names, in an answer that was no redirect, over https
  (plain http only when the registry is on loopback).
- Never along a redirect to another origin: a CDN gets the bare request. A challenge from there is an error.

urllib3 is imported with this module, which is imported at the first pull.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import urllib3

from wardian.errors import FORBIDDEN, INVALID, SYSTEM, UNAVAILABLE, WardianError
from wardian.images.answers import Answers
from wardian.images.auth import RegistryAuth
from wardian.images.authorizer import Authorizer
from wardian.images.connections import connections, is_loopback
from wardian.images.content import digest_of, mismatch
from wardian.images.manifests import ACCEPTED, MANIFEST_LIMIT, Descriptor
from wardian.images.progress import Cancelled
from wardian.images.reference import DEFAULT_DOMAIN, Reference
from wardian.images.refusals import PULL, refusal
from wardian.images.streams import CHUNK
from wardian.images.unreachable import unreachable

_HUB = "registry-1.docker.io"
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_REDIRECTS = 5
_RESUMES = 5  # how often a broken download goes on where it stopped
_ERROR_LIMIT = 1 << 16


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
        host = _HUB if reference.domain == DEFAULT_DOMAIN else reference.domain
        self._plain = is_loopback(reference.domain)
        self._base = f"{'http' if self._plain else 'https'}://{host}"
        self._answers = Answers(reference.domain, operation)
        self._authorizer = Authorizer(reference, self._base, auth, operation, sources, self._answers)
        self._pool = connections(self._base)

    @property
    def name(self) -> str:
        """The image's, in full, for errors."""
        return str(self._reference)

    @property
    def identity_token(self) -> str:
        """That a token server gave at a login, or ""."""
        return self._authorizer.identity_token

    def close(self) -> None:
        self._pool.clear()

    def abort(self) -> None:
        """End the answers that are under way, from another thread: a registry may have fallen silent."""
        self._answers.abort()

    def manifest(self, at: str) -> tuple[bytes, str, str]:
        """A manifest or index by tag or digest: bytes, digest, media type. Verified when `at` is a digest."""
        path = f"/v2/{self._reference.path}/manifests/{at}"
        response = self._open("GET", path, {"Accept": ", ".join(ACCEPTED)})
        try:
            data = self._body(response, MANIFEST_LIMIT, path)
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        finally:
            self._answers.end(response)
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
                if self._answers.aborted:
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
            self._answers.end(response)

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
            self._answers.end(response)

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
        """With authentication and redirects; an answer that is expected, which the caller ends (`Answers.end`), or
        WardianError.

        A body that comes in pieces is sent once: what it goes to has let us in just before.
        """
        authorization = self._authorizer.header
        response, own = self._follow(method, path, headers, body, authorization)
        if response.status == 401 and own and (body is None or isinstance(body, bytes)) and 401 not in expected:
            challenge = response.headers.get("WWW-Authenticate", "")
            self._answers.skip(response)
            authorization = self._authorizer.renewed(authorization, challenge, self._url(path))
            response, _ = self._follow(method, path, headers, body, authorization)
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
                    known=self._authorizer.known,
                )
            finally:
                self._answers.end(response)
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
            self._answers.begin(response)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or not location or method not in ("GET", "HEAD"):
                return response, own
            self._answers.skip(response)
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

    def _body(self, response: urllib3.BaseHTTPResponse, limit: int, path: str) -> bytes:
        return self._answers.body(response, limit, path, self._url(path))

    def _unreachable(self, path: str, error: Exception) -> WardianError:
        return unreachable(error, self._url(path), self._operation, self._reference.domain)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
