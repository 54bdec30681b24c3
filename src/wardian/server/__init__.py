"""The Docker Engine API over a unix socket: routes, encoding, streams. Decides nothing.

- `routes.ROUTES`: every operation of the Engine API 1.51, one row each; docs/api.md is written from it.
- `serve.serve(home)`: the foreground engine (`python -m wardian.server`, `wardian serve`).
- `connection.Connection`: one client's HTTP/1.1, on asyncio; hands the raw socket over for attach and exec.
"""

MIN_API_VERSION = (1, 24)
MAX_API_VERSION = (1, 51)
