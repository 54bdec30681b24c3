"""A token server for a docker-registry (distribution's "Token Authentication Specification"): openssl(1) signs JWTs.

It gives whoever knows the secret all that is asked for, and everybody else nothing.
"""

import base64
import json
import secrets
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import needs

_ISSUER, _SERVICE = "wardian-test", "test registry"


class TokenServer:
    """`asked` are the queries that came; `settings()` goes into the registry's configuration as `auth`."""

    def __init__(self, directory: Path, user: str, password: str) -> None:
        self.asked: list[str] = []
        self._authorization = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self._key, self._certificate = directory / "token.key", directory / "token.pem"
        command = [needs.program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tokens"]
        command += ["-days", "2", "-keyout", str(self._key), "-out", str(self._certificate)]
        subprocess.run(command, check=True, capture_output=True)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    def __enter__(self) -> "TokenServer":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def settings(self) -> dict[str, Any]:
        realm = f"http://127.0.0.1:{self._server.server_port}/token"
        bundle = str(self._certificate)
        return {"token": {"realm": realm, "service": _SERVICE, "issuer": _ISSUER, "rootcertbundle": bundle}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tokens = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                tokens.asked.append(urlsplit(self.path).query)
                known = self.headers.get("Authorization") == tokens._authorization
                content = tokens._answer(urlsplit(self.path).query) if known else b"{}"
                self.send_response(200 if known else 401)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:  # type: ignore[override]
                pass

        return Handler

    def _answer(self, query: str) -> bytes:
        access = []
        for scope in " ".join(parse_qs(query).get("scope", [])).split():
            kind, name, actions = scope.split(":")
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        return json.dumps({"token": self._signed(access), "expires_in": 300}).encode()

    def _signed(self, access: list[dict[str, Any]]) -> str:
        lines = self._certificate.read_text().splitlines()
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(line for line in lines if "-----" not in line)]}
        now = int(time.time())
        claims = {
            "iss": _ISSUER, "sub": "user", "aud": _SERVICE, "exp": now + 300, "nbf": now - 10, "iat": now,
            "jti": secrets.token_hex(8), "access": access,
        }  # fmt: skip
        text = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        command = [needs.program("openssl"), "dgst", "-sha256", "-sign", str(self._key)]
        signature = subprocess.run(command, input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
