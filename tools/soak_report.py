"""docs/soak.md from pytest's JUnit reports of a soak: when, which commit, what ran, how long, what was skipped and why.

usage: soak_report.py [--left-out WHAT AND WHY] REPORT.xml…      (`make soak LEFT_OUT="…" TESTS="…"` runs it with one)

A soak may run in parts: the figures need the machine for themselves, the hour of churn does not.
"""

import argparse
import datetime
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from typing import NamedTuple

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
HEAD = """# The last soak

`make soak` runs what takes long or needs the peers: the newest docker CLI and engine, from Debian unstable, and a
machine with Linux 6.1 and cgroup v2 alone. It writes this page.
"""


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    changed = (
        " with uncommitted changes"
        if git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/soak.md")
        else ""
    )
    return git("log", "-1", "--format=%h (%s)") + changed


def _case(case: ET.Element) -> tuple[str, str]:
    """Its outcome, and a row of the table."""
    name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
    outcome, why = "passed", ""
    for kind in ("failure", "error", "skipped"):
        if (found := case.find(kind)) is not None:
            outcome = {"failure": "failed", "error": "failed", "skipped": "skipped"}[kind]
            why = ": " + " ".join((found.get("message") or "").split())[:300].replace("|", "\\|")
    return outcome, f"| `{name}` | {outcome}{why} | {float(case.get('time', 0)):.1f} |"


class _Part(NamedTuple):
    began: datetime.datetime
    seconds: float
    cases: list[tuple[str, str]]


def _part(xml: str) -> _Part:
    suite = ET.parse(xml).getroot()
    suite = suite if suite.tag == "testsuite" else next(iter(suite))
    began = datetime.datetime.fromisoformat(suite.get("timestamp", ""))
    return _Part(began, float(suite.get("time", 0)), [_case(case) for case in suite.iter("testcase")])


def report(reports: Sequence[str], left_out: str) -> str:
    parts = sorted(map(_part, reports))
    cases = [case for part in parts for case in part.cases]
    counts = [sum(outcome == kind for outcome, _ in cases) for kind in ("passed", "failed", "skipped")]
    minutes, seconds = divmod(round(sum(part.seconds for part in parts)), 60)
    machine = f"Linux {os.uname().release.split('-')[0]}, {os.cpu_count()} cores"
    where = f", in {len(parts)} parts" if len(parts) > 1 else ""
    lines = [
        f"{parts[0].began:%Y-%m-%d %H:%M}, commit {_commit()}, {machine}: "
        f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped in {minutes} min {seconds} s{where}.",
        "", "| test | outcome | seconds |", "|---|---|---:|", *(row for _, row in cases),
    ]  # fmt: skip
    if left_out:
        lines += ["", f"Left out: {left_out}."]
    return HEAD + "\n" + "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", nargs="+", metavar="REPORT.xml")
    parser.add_argument("--left-out", default="")
    given = parser.parse_args()
    with open(os.path.join(ROOT, "docs", "soak.md"), "w") as file:
        file.write(report(given.reports, given.left_out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
