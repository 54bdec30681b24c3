"""A plan: the whole of what will be done to start a container, as a value that can be shown, kept and sent."""

import base64
from typing import Any, NamedTuple

from wardian.errors import INVALID, WardianError
from wardian.runtime import ops, protocol
from wardian.runtime.ops import Step

JSON_VERSION = 1
# Most short steps of a plan are those of the plan before: devices, masks, the groups' hierarchies.
_REMEMBERED = 2048
_SHORT = 512  # bytes: no environment, no filter
_known: dict[tuple[Any, ...], bytes] = {}
_GONE = frozenset({("exec", "preserve")})  # fields in plans that an earlier version kept; it was always 0


class Plan(NamedTuple):
    """Steps in order; `descriptors` names what the launching side brings (index = slot), `warnings` is for the user."""

    ops: tuple[Step, ...]
    descriptors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def encode(self, fail_step: int | None = None) -> bytes:
        """The launcher's bytes (`protocol`). `fail_step` makes that step fail with ECANCELED: a test's hook."""
        numbers = self.slots()
        body = b"".join([encode_step(step, numbers) for step in self.ops])
        return encode_header(self, len(body), len(numbers), fail_step) + body

    def slots(self) -> dict[str, int]:
        """The handles that are there before the first step."""
        return {name: slot for slot, name in enumerate(self.descriptors)}

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads: kept beside the container, for `explain`."""
        return {
            "version": JSON_VERSION,
            "descriptors": list(self.descriptors),
            "warnings": list(self.warnings),
            "ops": [_step_to_json(step) for step in self.ops],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Plan":
        """Raises WardianError when `data` was not written by `to_json` of this or an earlier version."""
        if data.get("version") != JSON_VERSION:
            raise WardianError(INVALID, f"a plan of version {data.get('version')!r}: this Wardian reads {JSON_VERSION}")
        steps = tuple(_step_from_json(row) for row in data["ops"])
        return Plan(steps, tuple(data["descriptors"]), tuple(data["warnings"]))


def encode_header(plan: Plan, length: int, handles: int, fail_step: int | None = None) -> bytes:
    """What stands before `length` bytes of steps, which know so many handles."""
    return protocol.PLAN_HEADER.pack(
        protocol.PLAN_MAGIC,
        protocol.VERSION,
        0,
        protocol.PLAN_HEADER.size + length,
        len(plan.ops),
        len(plan.descriptors),
        handles,
        protocol.NONE if fail_step is None else fail_step,
        0,
    )


def encode_step(step: Step, numbers: dict[str, int]) -> bytes:
    """Handles become numbers; one that the step makes gets the next."""
    op = step.op
    number, types, handles = _CODINGS[type(op)]
    values: tuple[object, ...] = op
    if handles:
        resolved: list[object] = list(op)
        for place, kind in handles:
            resolved[place] = _resolve(kind, resolved[place], numbers)
        values = tuple(resolved)
    return _bytes_of(number, types, values, step.phase, step.may_fail)


def _bytes_of(*step: Any) -> bytes:
    """Of a step's number, its fields' types, its fields, its phase, and whether it may fail."""
    known = _known.get(step)
    if known is not None:
        return known
    number, types, values, phase, may_fail = step
    fields = protocol.encode_fields(types, values)
    data = protocol.OP_HEADER.pack(number, phase, protocol.MAY_FAIL if may_fail else 0, len(fields)) + fields
    if len(data) <= _SHORT:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[step] = data
    return data


def _coding(name: str) -> tuple[int, str, tuple[tuple[int, str], ...]]:
    """An operation's number, the types of its fields, and which of them are handles."""
    types = protocol.field_types(ops.ROWS[name])
    return ops.ROWS[name].number, types, tuple((place, kind) for place, kind in enumerate(types) if kind in "nhH")


_CODINGS = {kind: _coding(name) for name, kind in ops.CLASSES.items()}


def _resolve(kind: str, value: object, numbers: dict[str, int]) -> object:
    if kind == "n":
        assert isinstance(value, str) and value not in numbers, value
        numbers[value] = len(numbers)
        return numbers[value]
    if kind == "h":
        assert isinstance(value, str)
        return numbers[value] if value else protocol.NONE
    assert isinstance(value, tuple)
    return tuple(numbers[name] for name in value)


def _step_to_json(step: Step) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in step.op._asdict().items():
        fields[name] = {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
    row: dict[str, Any] = {"op": ops.row_name(type(step.op)), "phase": step.phase, "fields": fields}
    if step.may_fail:
        row["may_fail"] = True
    return row


def _step_from_json(row: dict[str, Any]) -> Step:
    kind = ops.CLASSES[row["op"]]
    known = {name: value for name, value in row["fields"].items() if (row["op"], name) not in _GONE}
    fields = {name: _field_from_json(value) for name, value in known.items()}
    return Step(kind(**fields), row["phase"], row.get("may_fail", False))


def _field_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return tuple(value) if isinstance(value, list) else value
