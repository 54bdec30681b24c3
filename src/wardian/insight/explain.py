"""explain: the plan that a container's start carried out, each step with its duration, joined from what was recorded.

containers/ID/plan.json      the steps, as the planner made them        (runtime.plan.Plan.to_json)
containers/ID/explain.json   what the launcher reported of each, and the engine's own phases
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from wardian.errors import NOT_FOUND, WardianError
from wardian.runtime import Plan

_PHASES = ("host", "parent", "child")


def explain_container(directory: str, identity: str, name: str, started: bool) -> dict[str, Any]:
    """Of a container whose files are in `directory`. Raises WardianError(NOT_FOUND) when it was never `started`, or
    when its engine was killed before the record of its start was on disk."""
    documents = []
    for file in ("plan.json", "explain.json"):
        try:
            with open(os.path.join(directory, file), "rb") as opened:
                documents.append(json.loads(opened.read()))
        except FileNotFoundError:
            what = "the record of its start was lost with its engine" if started else "it has not been started"
            message = f"there is nothing to explain of container {identity[:12]}: {what}"
            raise WardianError(NOT_FOUND, message, operation="explain", subject=identity) from None
    return explain(documents[0], documents[1], identity, name)


def explain(plan: Mapping[str, Any], report: Mapping[str, Any], identity: str, name: str) -> dict[str, Any]:
    """Pure: the two documents joined, in the order of steps. Steps that were not reached have no duration."""
    steps = Plan.from_json(dict(plan)).ops if plan else ()
    records = {record["step"]: record for record in report["records"]}
    rows = []
    for number, step in enumerate(steps):
        record = records.get(number)
        rows.append(
            {
                "Step": number,
                "Phase": _PHASES[step.phase],
                "Description": step.describe(),
                "Nanoseconds": record["ns"] if record else None,
                "Errno": record["errno"] if record else 0,
                "Text": record["text"] if record else "",
            }
        )
    return {
        "Id": identity,
        "Name": name,
        "Network": [
            {"Kind": done["kind"], "Description": done["description"], "Nanoseconds": done["ns"]}
            for done in report.get("network", ())  # none in the record of an earlier version
        ],
        "Steps": rows,
        "Phases": [{"Name": phase["name"], "Nanoseconds": phase["ns"]} for phase in report["phases"]],
        "FailedStep": report["failed_step"] if report["failed_step"] >= 0 else None,
        "Error": report["error"],
    }
