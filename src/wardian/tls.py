"""TLS as bytes in, bytes out: one end of a connection over memory, for the engine's relay and for the command's.

`ssl` wraps sockets so that a half-closed stream cannot be had: a close_notify ends both ways in asyncio, and SSLSocket
hides it. RFC 8446 section 6.1 closes each direction by itself, and OpenSSL does so: here its alerts are told apart.
"""

from __future__ import annotations

import ssl
from typing import Any

_READ = 65536


class TlsStream:
    """One end. What came from the peer goes to `receive`; `take` is what is to be sent to the peer, after each call."""

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_name: str | None = None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, server_name)
        self.ready = False  # the handshake is done
        self.ended = False  # the peer said that it sends no more
        self.finished = False  # we said so

    def receive(self, data: bytes) -> bytes:
        """The clear bytes that these complete; b"" for none. Raises ssl.SSLError, with an alert left to be sent."""
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        if not self.ready and not self._shake_hands():
            return b""
        pieces = []
        while not self.ended:
            try:
                piece = self._object.read(_READ)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                piece = b""
            if piece:
                pieces.append(piece)
            else:
                self.ended = True
        return b"".join(pieces)

    def _shake_hands(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.ready = True
        return True

    def begin(self) -> None:
        """The client's first flight."""
        self._shake_hands()

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._object.write(view) :]

    def finish(self) -> None:
        """Nothing more will be sent (close_notify); what the peer still sends is read on."""
        if self.finished or not self.ready:
            return
        self.finished = True
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # SSLWantRead: the peer goes on sending; anything else: it is gone already

    def take(self) -> bytes:
        return self._outgoing.read()

    def peer_name(self) -> str:
        """The common name in the peer's verified certificate; its whole subject where it has none."""
        certificate: dict[str, Any] = self._object.getpeercert() or {}
        subject = [pair for group in certificate.get("subject", ()) for pair in group]
        names = [value for key, value in subject if key == "commonName"]
        return names[0] if names else ",".join(f"{key}={value}" for key, value in subject)


def server_context(authority: str, certificate: str, key: str) -> ssl.SSLContext:
    """Speaks only to clients whose certificate `authority` signed. Raises OSError (ssl.SSLError is one)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def client_context(authority: str, certificate: str, key: str, verify: bool) -> ssl.SSLContext:
    """`authority` "" is the system's; without `verify` any server is believed, as `docker --tls` has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif authority:
        context.load_verify_locations(authority)
    else:
        context.load_default_certs()
    if certificate:
        context.load_cert_chain(certificate, key)
    return context
