"""Certificates for tests: an authority, and what it signed, made with openssl(1) in a directory."""

import subprocess
from pathlib import Path
from typing import NamedTuple

import needs

_CONFIGURATION = "subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n"


class Certificate(NamedTuple):
    authority: str
    certificate: str
    key: str

    def flags(self) -> list[str]:
        """As docker, wardian and the engine take them."""
        return [
            "--tlsverify",
            f"--tlscacert={self.authority}",
            f"--tlscert={self.certificate}",
            f"--tlskey={self.key}",
        ]


class Authority:
    """A directory with ca.pem; `sign(NAME)` adds NAME/{ca,cert,key}.pem, as docker's DOCKER_CERT_PATH has them."""

    def __init__(self, directory: Path) -> None:
        needs.program("openssl")
        self.directory = directory
        directory.mkdir(parents=True)
        self._openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority"),
            *("-keyout", "ca-key.pem", "-out", "ca.pem"),
        )
        (directory / "extensions").write_text(_CONFIGURATION)

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=60)

    def sign(self, name: str) -> Certificate:
        own = self.directory / name
        own.mkdir()
        request, certificate, key = own / "request.pem", own / "cert.pem", own / "key.pem"
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)  # type: ignore[arg-type]
        self._openssl(
            *("x509", "-req", "-days", "2", "-in", str(request), "-CA", "ca.pem", "-CAkey", "ca-key.pem"),
            *("-CAcreateserial", "-extfile", "extensions", "-out", str(certificate)),
        )
        (own / "ca.pem").write_bytes((self.directory / "ca.pem").read_bytes())
        return Certificate(str(own / "ca.pem"), str(certificate), str(key))
