"""docs/soak.md from pytest's JUnit report of a soak: when, which commit, what ran, how long, what was skipped and why.

usage: soak_report.py REPORT.xml [WHAT WAS LEFT OUT AND WHY]      (`make soak LEFT_OUT="…" TESTS="…"` runs it)
"""

import datetime
import os
import subprocess
import sys
import xml.etree.ElementTree as ET

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


def report(xml: str, left_out: str) -> str:
    suite = ET.parse(xml).getroot()
    suite = suite if suite.tag == "testsuite" else next(iter(suite))
    cases = [_case(case) for case in suite.iter("testcase")]
    counts = [sum(outcome == kind for outcome, _ in cases) for kind in ("passed", "failed", "skipped")]
    minutes, seconds = divmod(round(float(suite.get("time", 0))), 60)
    began = datetime.datetime.fromisoformat(suite.get("timestamp", "")).strftime("%Y-%m-%d %H:%M")
    machine = f"Linux {os.uname().release.split('-')[0]}, {os.cpu_count()} cores"
    lines = [
        f"{began}, commit {_commit()}, {machine}: "
        f"{counts[0]} passed, {counts[1]} failed, {counts[2]} skipped in {minutes} min {seconds} s.",
        "", "| test | outcome | seconds |", "|---|---|---:|", *(row for _, row in cases),
    ]  # fmt: skip
    if left_out:
        lines += ["", f"Left out: {left_out}."]
    return HEAD + "\n" + "\n".join(lines) + "\n"


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    text = report(sys.argv[1], "".join(sys.argv[2:]))
    with open(os.path.join(ROOT, "docs", "soak.md"), "w") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
