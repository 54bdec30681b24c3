"""What a machine and a network namespace have used: the texts of /proc/stat and /proc/PID/net/dev (proc(5)). Pure."""

from typing import NamedTuple


class Traffic(NamedTuple):
    """Of one interface."""

    received_bytes: int
    received_packets: int
    received_errors: int
    received_dropped: int
    sent_bytes: int
    sent_packets: int
    sent_errors: int
    sent_dropped: int


def parse_processors(text: str, clock_ticks: int = 100) -> tuple[int, int]:
    """All processors' time in ns, idle too (guests' time is in user's already), and how many processors there are."""
    total = count = 0
    for line in text.splitlines():
        if not line.startswith("cpu"):
            break
        name, *fields = line.split()
        if name == "cpu":
            total = sum(int(field) for field in fields[:7]) * (1_000_000_000 // clock_ticks)
        else:
            count += 1
    return total, count


def parse_traffic(text: str) -> dict[str, Traffic]:
    """By interface, without lo."""
    found = {}
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and len(fields) >= 16 and name.strip() != "lo":
            values = [int(field) for field in fields]
            found[name.strip()] = Traffic(*values[0:4], *values[8:12])
    return found
