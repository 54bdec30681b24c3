"""`stats`: what containers use, once or as it changes."""

from __future__ import annotations

import sys
import threading
import time

from wardian.cli.command import Command, Failure, error_text, path_name
from wardian.cli.pflag import TABLE_FORMAT, Flag
from wardian.cli.table import Listing
from wardian.errors import WardianError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from wardian.cli.command import Invocation
    from wardian.cli.record import Record
    from wardian.client import Client

_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
    "PageCache": "PAGE CACHE",
    "Throttled": "THROTTLED",
    "Pressure": "PRESSURE CPU / MEM / IO",
}
_TABLE = "ID Name CPUPerc MemUsage MemPerc NetIO BlockIO PIDs"
_NOTHING = "--"
_EVERY = 0.5
_TOP, _LINE_END, _BELOW = "\033[H", "\033[K", "\033[J"


class Watched:
    """One container as it is shown: `body` is the newest of the engine's, None as long as there is none."""

    def __init__(self, shown_as: str) -> None:
        self.shown_as = shown_as
        self.body: dict[str, Any] | None = None
        self.error: Exception | None = None
        self.answered = threading.Event()

    def watch(self, client: Client, once: bool) -> None:
        """In a thread of its own, until the container is gone."""
        path = f"/containers/{path_name(self.shown_as)}/stats"
        try:
            with client.stream("GET", path, query={"stream": "0" if once else "1"}) as stream:
                for body in stream.objects():
                    self.body = body if isinstance(body, dict) else None
                    self.answered.set()
        except (WardianError, Failure, ValueError, OSError) as error:
            self.error = error
        finally:
            self.answered.set()


class Board:
    """All that are watched, in the order that they are shown."""

    def __init__(self, client: Client, once: bool) -> None:
        self._client = client
        self._once = once
        self._rows: dict[str, Watched] = {}
        self._lock = threading.Lock()

    def add(self, name: str) -> None:
        from wardian.client import Client

        with self._lock:
            if name in self._rows:
                return
            row = self._rows[name] = Watched(name)
        client = Client(self._client.target, self._client.version)
        threading.Thread(target=row.watch, args=(client, self._once), daemon=True).start()

    def drop(self, name: str) -> None:
        with self._lock:
            self._rows.pop(name, None)

    def rows(self) -> list[Watched]:
        with self._lock:
            return list(self._rows.values())


def stats(invocation: Invocation) -> int:
    once, everything = invocation.flag("no-stream"), invocation.flag("all")
    form = invocation.text("format") or invocation.setting("statsFormat")
    whole = invocation.flag("no-trunc")
    listing = Listing("*container.statsContext", _HEADERS, _TABLE, "ID")
    board = Board(invocation.client, once)
    for name in invocation.args or _listed(invocation, everything):
        board.add(name)
    invocation.client.call("GET", "/_ping")  # what version it speaks, and that it is there
    if once:
        return _show_once(board.rows(), lambda rows: listing.show(rows, form, False), whole)
    if not invocation.args:
        threading.Thread(target=_follow, args=(board, invocation.client, everything), daemon=True).start()
    return _show_on(board, lambda rows: listing.render(rows, form, False), whole, bool(invocation.args))


def _listed(invocation: Invocation, everything: bool) -> list[str]:
    found = invocation.client.call("GET", "/containers/json", query={"all": everything})
    return [one["Id"][:12] for one in found] if isinstance(found, list) else []


def _show_once(rows: list[Watched], show: Callable[[list[Record]], None], whole: bool) -> int:
    for row in rows:
        row.answered.wait()
    errors = [error_text(row.error) for row in rows if row.error is not None]
    if errors:
        raise Failure("\n".join(errors))
    show([_record(row, whole) for row in rows])
    return 0


def _show_on(board: Board, render: Callable[[list[Record]], str], whole: bool, ends: bool) -> int:
    """Again and again from the top of the screen. Ends, with the names given, when none of them is there."""
    time.sleep(0.05)  # a name that nobody has is said at once
    while True:
        rows = board.rows()
        errors = [error_text(row.error) for row in rows if row.error is not None and row.body is None]
        if errors:
            raise Failure("\n".join(errors))
        text = render([_record(row, whole) for row in rows])
        lines = "".join(f"{line} {_LINE_END}\n" for line in text.split("\n"))
        sys.stdout.write(_TOP + lines + _BELOW)
        sys.stdout.flush()
        if ends and all(row.error is not None for row in rows):
            return 0
        time.sleep(_EVERY)


def _follow(board: Board, client: Client, everything: bool) -> None:
    """Containers that come and go."""
    from wardian.client import Client

    comes, goes = (("create", "start"), ("destroy",)) if everything else (("start",), ("die",))
    query = {"filters": {"type": {"container": True}}}
    try:
        with Client(client.target, client.version).stream("GET", "/events", query=query) as stream:
            for event in stream.objects():
                if not isinstance(event, dict):
                    continue
                name = str((event.get("Actor") or {}).get("ID", ""))[:12]
                if event.get("Action") in comes:
                    board.add(name)
                elif event.get("Action") in goes:
                    board.drop(name)
    except (WardianError, ValueError, OSError):
        return  # the engine ended: those that are shown say so


def _record(row: Watched, whole: bool) -> Record:
    from wardian.cli.record import Record

    body = row.body
    if body is None or row.error is not None:
        fields: dict[str, Callable[..., object]] = dict.fromkeys(_HEADERS, _nothing)
        return Record("*container.statsContext", fields | {"Container": lambda: row.shown_as})
    identity = str(body.get("id") or row.shown_as)
    own: dict[str, Callable[..., object]] = {
        "Container": lambda: row.shown_as,
        "ID": lambda: identity if whole else identity[:12],
        "Name": lambda: str(body.get("name", "")).removeprefix("/") or _NOTHING,
    }
    return Record("*container.statsContext", own | _use_fields(body))


def _nothing() -> str:
    return _NOTHING


def _use_fields(body: dict[str, Any]) -> dict[str, Callable[..., object]]:
    from wardian.cli.human import memory_text, size_text

    memory = body.get("memory_stats") or {}
    used, limit = memory_without_cache(memory), memory.get("limit") or 0
    own = body.get("Wardian") or {}
    return {
        "CPUPerc": lambda: f"{cpu_percent(body.get('precpu_stats') or {}, body.get('cpu_stats') or {}):.2f}%",
        "MemUsage": lambda: f"{memory_text(used)} / {memory_text(limit)}",
        "MemPerc": lambda: f"{used / limit * 100 if limit else 0:.2f}%",
        "NetIO": lambda: " / ".join(size_text(count) for count in traffic(body.get("networks") or {})),
        "BlockIO": lambda: " / ".join(size_text(count) for count in blocks(body.get("blkio_stats") or {})),
        "PIDs": lambda: str((body.get("pids_stats") or {}).get("current") or 0),
        "PageCache": lambda: memory_text((own.get("Memory") or {}).get("PageCache") or 0) if own else _NOTHING,
        "Throttled": lambda: _throttled(body.get("precpu_stats") or {}, body.get("cpu_stats") or {}),
        "Pressure": lambda: _pressure(own.get("Pressure") or {}),
    }


def cpu_percent(before: dict[str, Any], now: dict[str, Any]) -> float:
    """Docker's arithmetic: 100 for each processor that was busy all the time between two samples."""
    usage, earlier = now.get("cpu_usage") or {}, before.get("cpu_usage") or {}
    used = (usage.get("total_usage") or 0) - (earlier.get("total_usage") or 0)
    passed = (now.get("system_cpu_usage") or 0) - (before.get("system_cpu_usage") or 0)
    cpus = now.get("online_cpus") or len(usage.get("percpu_usage") or ())
    return used / passed * cpus * 100 if used > 0 and passed > 0 else 0.0


def memory_without_cache(memory: dict[str, Any]) -> int:
    """Docker's: without the inactive part of the page cache, which version 1 and 2 call differently."""
    usage, stat = memory.get("usage") or 0, memory.get("stats") or {}
    inactive = stat.get("total_inactive_file", stat.get("inactive_file", 0))
    return int(usage - inactive if inactive < usage else usage)


def traffic(networks: dict[str, dict[str, int]]) -> tuple[int, int]:
    """Bytes received and sent on all interfaces."""
    values = networks.values()
    return sum(one.get("rx_bytes", 0) for one in values), sum(one.get("tx_bytes", 0) for one in values)


def blocks(found: dict[str, Any]) -> tuple[int, int]:
    """Bytes read and written on all devices."""
    rows = found.get("io_service_bytes_recursive") or ()
    return _of_kind(rows, "r"), _of_kind(rows, "w")


def _of_kind(rows: Iterable[dict[str, Any]], letter: str) -> int:
    return sum(row["value"] for row in rows if str(row.get("op", ""))[:1].lower() == letter)


def _throttled(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Of the scheduler's periods since the sample before: in how many it had to wait."""
    last, first = now.get("throttling_data") or {}, before.get("throttling_data") or {}
    periods = last.get("periods", 0) - first.get("periods", 0)
    waited = last.get("throttled_periods", 0) - first.get("throttled_periods", 0)
    return f"{waited / periods * 100 if periods else 0:.2f}%"


def _pressure(pressure: dict[str, Any]) -> str:
    """Shares of the last ten seconds in which something had to wait."""
    shares = ((pressure.get(name) or {}).get("some") or {} for name in ("cpu", "memory", "io"))
    return " / ".join(f"{one['Avg10']:.2f}%" if one else _NOTHING for one in shares)


STATS = Command(
    stats,
    "[OPTIONS] [CONTAINER...]",
    (
        Flag("all", "a", "bool", "", "Show those that do not run, too"),
        TABLE_FORMAT,
        Flag("no-stream", "", "bool", "", "Show them once"),
        Flag("no-trunc", "", "bool", "", "Do not cut ids short"),
    ),
)
