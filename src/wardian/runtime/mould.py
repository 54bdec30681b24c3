"""Execs in one container are planned alike: only the directory, the id and the command are each one's own.

The forty steps that they share are planned and encoded for the first of them, which takes an idle machine a third of a
millisecond; the others' plans are cast in its mould.
"""

from wardian.runtime import ops
from wardian.runtime.inputs import Supervision
from wardian.runtime.ops import Step
from wardian.runtime.plan import Plan, encode_header, encode_step
from wardian.runtime.plan_process import environment_of
from wardian.runtime.planner import RUN_DIRECTORY
from wardian.runtime.rootfacts import RootFacts
from wardian.runtime.spec import Process


class _Cast(Plan):
    """A plan whose bytes are there already."""

    data: bytes

    def encode(self, fail_step: int | None = None) -> bytes:
        return self.data if fail_step is None else super().encode(fail_step)


class Mould:
    """Made of one exec's plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._own: list[tuple[int, dict[str, int]]] = []  # places, and the handles that are known before each
        self._between = [b""]  # the bytes before, between and after them
        numbers = plan.slots()
        for place, step in enumerate(plan.ops):
            own = _is_own(step)
            if own:
                self._own.append((place, dict(numbers)))
                self._between.append(b"")
            data = encode_step(step, numbers)
            if not own:
                self._between[-1] += data
        self._handles = len(numbers)

    def cast(self, process: Process, root: RootFacts, supervision: Supervision) -> Plan:
        """What `plan_exec` would make of these, and of what the mould's own plan was made of besides."""
        steps = list(self._plan.ops)
        pieces = [self._between[0]]
        for (place, numbers), after in zip(self._own, self._between[1:], strict=True):
            step = steps[place]
            steps[place] = step = step._replace(op=_own(step.op, process, root, supervision))
            pieces += (encode_step(step, dict(numbers)), after)
        body = b"".join(pieces)
        cast = _Cast(tuple(steps), self._plan.descriptors, self._plan.warnings)
        cast.data = encode_header(cast, len(body), self._handles) + body
        return cast


def _is_own(step: Step) -> bool:
    op = step.op
    return isinstance(op, ops.Supervise | ops.Exec) or (isinstance(op, ops.Open) and op.handle == RUN_DIRECTORY)


def _own(op: ops.Operation, process: Process, root: RootFacts, supervision: Supervision) -> ops.Operation:
    if isinstance(op, ops.Exec):
        return ops.Exec(root.command, tuple(process["args"]), environment_of(process, root))
    if isinstance(op, ops.Supervise):
        return op._replace(identity=supervision.container_id)
    assert isinstance(op, ops.Open)
    return op._replace(path=supervision.run_dir)
