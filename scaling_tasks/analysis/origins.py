"""Whether a number that is not known comes of data, or of the request's sizes by arithmetic that is not followed."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.placement import Step
from scaling_tasks.analysis.refusal import NotKnown, Refused
from scaling_tasks.analysis.tensors import is_symbolic

__all__ = ["explained"]


def explained(refusal: Refused, op: Operation, steps: Sequence[Step]) -> str:
    """Return what stands in the way, with the operator that lost the sizes where an input is made of them alone."""
    if not isinstance(refusal, NotKnown):
        return refusal.text
    tensor = op.inputs[refusal.index]
    lost = None if tensor is None else _lost(tensor.name, steps)
    if lost is None:
        return refusal.text
    name = lost.node.name or lost.node.output[0]
    return (
        f"its input {refusal.index}, which the size of the result follows, is computed from the request's sizes by "
        f"{lost.node.op_type} {name!r}, whose arithmetic is not followed"
    )


def _lost(name: str, steps: Sequence[Step]) -> Step | None:
    """Return the first operator that made something unknown of sizes; None where data comes in anywhere."""
    made = {tensor.name: at for at, step in enumerate(steps) for tensor in step.outputs}
    waiting, seen, first = [name], {name}, len(steps)
    while waiting:
        at = made.get(waiting.pop())
        if at is None:
            return None
        for tensor in steps[at].inputs:
            if tensor is None or tensor.is_constant:
                continue
            if is_symbolic(tensor.value):
                first = min(first, at)
            elif tensor.name not in seen:
                seen.add(tensor.name)
                waiting.append(tensor.name)
    return steps[first] if first < len(steps) else None
