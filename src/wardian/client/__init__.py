"""The thin client: the Engine API over a unix socket, TLS or ssh, for the command line. Small and quick to import.

Nothing here imports asyncio, http.client, re, dataclasses, typing or socket: a command's start is most of what a person
waits for. What others may use:

- `connect(host="", tls=None) -> Client`: chooses the engine (`-H`, WARDIAN_HOST, DOCKER_HOST, the default) and connects
  late; on the default socket it starts an engine when none runs.
- `Client.request(method, path, body=None, query=None, headers=None) -> Response(status, headers, body)`; never raises
  for a status. `body` is a JSON value, bytes, or an iterator of bytes (sent chunked). `path` has no version prefix.
- `Client.call(…)`: the decoded JSON answer (None when empty); raises `ApiError` (a WardianError with `.status`) from
  400 on.
- `Client.stream(…) -> Stream`: head read (ApiError from 400 on), then `.chunks()`, `.lines()`, `.objects()`, `.json()`,
  `.close()`. On a connection of its own, so `wait` may be open while `start` is called.
- `Client.hijack(…) -> Hijacked(sock, early, multiplexed)`: a raw connection after 101 (or 200).
- `wardian.client.console` (import it when needed): `RawMode(fd)`, `terminal_size(fd)`, `CopyLoop(hijacked, multiplexed,
  stdin, stdout, stderr).run(wake, woken)`, `Demultiplexer`, `write_frames(stream.chunks())` for logs.
- `wardian.client.start.start_engine(home)`: the engine of this Home, started if it does not run.
"""

from wardian.client.hosts import Target, TlsFiles, choose_target
from wardian.client.http import Client
from wardian.client.wire import ApiError, Hijacked, Response, Stream

__all__ = ["ApiError", "Client", "Hijacked", "Response", "Stream", "Target", "TlsFiles", "choose_target", "connect"]


def connect(host: str = "", tls: TlsFiles | None = None) -> Client:
    """A client for the chosen engine; `host` is what `-H` gave, `tls` is for tcp://. Nothing is connected before the
    first request."""
    return Client(choose_target(host, tls))
