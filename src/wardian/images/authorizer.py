"""How requests to a registry are authorized: its challenge is answered by the password, or by a token that the token
server gives which it names (RFC 9110 11.6.1; distribution's token specification).

That server is asked over https only: plain http when it and the registry are both on loopback.
"""

import base64
import re
import threading
from collections.abc import Sequence
from urllib.parse import urlencode, urlsplit

import urllib3

from wardian.errors import FORBIDDEN, SYSTEM, WardianError
from wardian.images.answers import Answers
from wardian.images.auth import RegistryAuth
from wardian.images.connections import connections, is_loopback
from wardian.images.manifests import MANIFEST_LIMIT
from wardian.images.reference import Reference
from wardian.images.refusals import LOGIN, PUSH, denial, json_object
from wardian.images.unreachable import unreachable

_CHALLENGE = re.compile(r'([a-zA-Z_]+)="((?:[^"\\]|\\.)*)"', re.ASCII)


class Authorizer:
    """For one repository, at `base`. `sources` are other repositories of the same registry that are read. Thread-safe:
    one thread gets the token, the others take it."""

    def __init__(
        self,
        reference: Reference,
        base: str,
        auth: RegistryAuth | None,
        operation: str,
        sources: Sequence[str],
        answers: Answers,
    ) -> None:
        self._reference = reference
        self._base = base
        self._auth = auth if auth and auth.is_for(reference.domain) else None
        self._operation = operation
        self._sources = sources
        self._answers = answers
        self._lock = threading.Lock()
        self.header = f"Bearer {self._auth.registry_token}" if self._auth and self._auth.registry_token else ""
        self.identity_token = ""  # that a token server gave at a login

    @property
    def known(self) -> bool:
        """Whether credentials were given for this registry."""
        return self._auth is not None

    def renewed(self, refused: str, challenge: str, url: str) -> str:
        """The Authorization header to go on with where `refused` was met with a challenge. Raises WardianError."""
        with self._lock:
            if self.header == refused:
                self.header = self._answer(challenge, url)
            return self.header

    def _answer(self, challenge: str, url: str) -> str:
        scheme, _, rest = challenge.partition(" ")
        fields = {key.lower(): value for key, value in _CHALLENGE.findall(rest)}
        if scheme.lower() == "basic":
            if self._auth is None or not self._auth.username:
                said = "no basic auth credentials"
                said = said if self._operation == PUSH else f'Get "{url}": {said}'
                raise WardianError(SYSTEM, said, operation=self._operation, hint="docker login first")
            return _basic(self._auth)
        if scheme.lower() != "bearer" or not fields.get("realm"):
            raise WardianError(SYSTEM, f'Get "{url}": unsupported authentication {scheme or "without a scheme"!r}')
        return f"Bearer {self._token(fields)}"

    def _token(self, fields: dict[str, str]) -> str:
        realm = fields["realm"]
        domain = self._reference.domain
        try:
            scheme, host = urlsplit(realm)[:2]
        except ValueError:
            scheme = host = ""
        if scheme != "https" and not (scheme == "http" and is_loopback(domain) and is_loopback(host)):
            message = f"token server {realm[:200]} of {domain} is not https: refused"
            raise WardianError(FORBIDDEN, message, operation=self._operation, subject=domain)
        pool = connections(realm)
        try:
            response = self._ask_for_token(pool, realm, fields.get("service", ""))
            self._answers.begin(response)
            try:
                data = self._answers.body(response, MANIFEST_LIMIT, realm, realm)
            finally:
                self._answers.end(response)
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(error, realm, self._operation, domain) from error
        finally:
            pool.clear()
        if response.status != 200:
            raise denial(self._operation, self._reference, data, response.status, self._base + "/v2/", known=self.known)
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


def _basic(auth: RegistryAuth) -> str:
    return "Basic " + base64.b64encode(f"{auth.username}:{auth.password}".encode()).decode()
