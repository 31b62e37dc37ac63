"""Loops: the body is followed until what is known of its states holds for every turn, and takes as many turns as truly.

A number of turns that follows the sizes is told (as all sizes are that are used as data), so that a loop never comes to
padding. What it collects is then shorter than in a bucket, and is filled up to that length behind it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.bodies import GraphWalk, as_either, emitted_body, join_facts, replace_body, walk_body
from scaling_tasks.analysis.lengths import Length, as_length, larger
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.preparation import outer_names
from scaling_tasks.analysis.tensors import Tensor, is_symbolic

if TYPE_CHECKING:
    import onnx

__all__ = ["follow_loop"]

_ROUNDS = 8
_INT64, _BOOL = 7, 9


@dataclass(frozen=True)
class _Turn:
    """One walk over the body.

    Attributes:
        nodes: What it emitted.
        again: Whether there is another turn.
        states: Those after the turn.
        collected: What is kept of each turn.
    """

    nodes: Sequence[onnx.NodeProto]
    again: Tensor
    states: Sequence[Tensor]
    collected: Sequence[Tensor]


@dataclass(frozen=True)
class _Count:
    """How many turns there are, where the sizes tell it.

    Attributes:
        length: The number.
        name: A tensor that holds ``length - less`` in a bucket, empty where the number is the same at all sizes.
        less: See there.
    """

    length: Length
    name: str = ""
    less: int = 0


def follow_loop(walk: GraphWalk, op: Operation) -> list[Tensor]:
    """Follow a Loop; its node gets the body as it was emitted.

    Raises:
        Refused: A state has another shape after a turn, or what is known of it does not settle.
    """
    body = next(attribute.g for attribute in op.node.attribute if attribute.name == "body")
    given = list(op.inputs)
    for at, tensor in enumerate(given):
        if tensor is not None and is_symbolic(tensor.value):
            op.use(at, walk.told(tensor))
    known = [tensor for tensor in op.inputs[2:] if tensor is not None]
    if len(known) + 2 != len(body.input):
        raise Refused("its body takes another number of states")
    passed = zip(known, body.input[2:], body.output[1:], strict=False)
    states = [each if each.is_constant and _is_kept(body, *names) else _forgetful(each) for each, *names in passed]
    turn, states = _settled(walk, op, body, states)
    count = _count(op, body, given, turn)
    results = [turn.again, *turn.states, *turn.collected]
    replace_body(op, "body", emitted_body(walk, body, turn.nodes, results))
    return _outputs(op, states, turn, count)


def _settled(walk: GraphWalk, op: Operation, body: onnx.GraphProto, states: list[Tensor]) -> tuple[_Turn, list[Tensor]]:
    """Walk over the body until what is known of its states is true before and after each turn.

    An axis that holds no padding and has another length after a turn is as long as data says.
    """
    used = {name for node in body.node for name in (*node.input, *outer_names(node))}
    used |= {value.name for value in body.output}
    read = {at for at, value in enumerate(body.input[2:]) if value.name in used}
    for _ in range(_ROUNDS):
        mark = walk.mark()
        turn = _walked(walk, body, states)
        pairs = [
            as_either(op, value.name, *pair) for value, *pair in zip(body.input[2:], states, turn.states, strict=True)
        ]
        joined = [join_facts(*pair) if at in read else _unread(*pair) for at, pair in enumerate(pairs)]
        walk.leave(mark, keep=joined == states)
        if joined == states:
            return turn, states
        states = joined
    raise Refused("what its states hold does not settle from turn to turn")


def _walked(walk: GraphWalk, body: onnx.GraphProto, states: Sequence[Tensor]) -> _Turn:
    for value, dtype in zip(body.input, (_INT64, _BOOL), strict=False):
        axes = tuple(grid(1) for _ in value.type.tensor_type.shape.dim)
        walk.tensors[value.name] = Tensor(value.name, dtype, axes, low=0.0, high=math.inf if dtype == _INT64 else 1.0)
    for value, state in zip(body.input[2:], states, strict=True):
        walk.tensors[value.name] = state.named(value.name)
    nodes, found = walk_body(walk, body)
    return _Turn(nodes, found[0], found[1 : len(states) + 1], found[len(states) + 1 :])


def _forgetful(tensor: Tensor) -> Tensor:
    """Return what is known of a tensor less its content, which differs from turn to turn."""
    return tensor.changed(tensor.name)


def _unread(before: Tensor, after: Tensor) -> Tensor:
    """Return what is true of a state that no turn reads; exporters begin such ones with whatever shape."""
    alike = before.axes is not None and after.axes is not None and before.axes == after.axes
    return join_facts(before, after) if alike else replace(before, axes=None, blames={**after.blames, **before.blames})


def _count(op: Operation, body: onnx.GraphProto, given: Sequence[Tensor | None], turn: _Turn) -> _Count | None:
    """Return how many turns there are; None where data decides."""
    start = given[1]
    if start is not None and not (start.is_constant and bool(np.all(start.value))):
        return None
    most = given[0]
    limit = None if most is None or most.value is None else as_length(most.value.reshape(-1)[0])
    if _passes_on(body, body.output[0].name, body.input[1].name) or (turn.again.uniform or 0) == 1:
        if limit is None or most is None:
            return None
        return _Count(larger(limit, as_length(0)), most.name if limit.constant is None else "")
    counted = _counted(op, body, given)
    if counted is None or (limit is not None and not op.domain.at_most(counted.length, limit)):
        return None
    return counted


def _counted(op: Operation, body: onnx.GraphProto, given: Sequence[Tensor | None]) -> _Count | None:
    """Recognise counters that are compared with a number of turns; of several, all of which must hold, the least."""
    producers = {name: node for node in body.node for name in node.output}
    names, found = [body.output[0].name], []
    while names:
        compared = producers.get(_source(body, producers, names.pop()))
        if compared is not None and compared.op_type == "And":
            names += compared.input
            continue
        count = None
        if compared is not None and compared.op_type == "Less":
            sides = [_source(body, producers, name) for name in compared.input]
            count = _compared(op, body, given, producers, sides)
        if count is None:
            return None
        found.append(count)
    return next((count for count in found if all(op.domain.at_most(count.length, each.length) for each in found)), None)


def _compared(
    op: Operation,
    body: onnx.GraphProto,
    given: Sequence[Tensor | None],
    producers: dict[str, onnx.NodeProto],
    sides: Sequence[str],
) -> _Count | None:
    """Return after how many turns a counter, ``n = n + 1``, or the number of the turn itself is no longer below."""
    left, right = sides
    outs = [_source(body, producers, value.name) for value in body.output[1:]]
    limit = _limit(op, body, outs, given, right)
    if limit is None or limit.value is None:
        return None
    whole = as_length(limit.value.reshape(-1)[0])
    named = limit.name if whole.constant is None else ""
    if left == body.input[0].name:
        return _Count(larger(whole + 1, as_length(1)), named, -1)
    added = producers.get(left)
    if added is None or added.op_type != "Add" or left not in outs:
        return None
    counter = outs.index(left)
    own = body.input[2 + counter].name
    step = next((walked for walked in added.input if walked != own), "")
    constants = {each.name: each for each in body.initializer}
    first = given[2 + counter]
    if own not in added.input or first is None or first.value is None or not _is_one(op, constants, step):
        return None
    begin = as_length(first.value.reshape(-1)[0]).constant
    # The first turn is taken whatever the counter says.
    return None if begin is None else _Count(larger(whole - int(begin), as_length(1)), named, int(begin))


def _limit(
    op: Operation, body: onnx.GraphProto, outs: Sequence[str], given: Sequence[Tensor | None], name: str
) -> Tensor | None:
    for at, value in enumerate(body.input[2:]):
        if value.name == name:
            return given[2 + at] if outs[at] == name else None
    return op.outer(name)


def _is_one(op: Operation, constants: dict[str, Any], name: str) -> bool:
    from onnx import numpy_helper

    if name in constants:
        return bool(np.all(numpy_helper.to_array(constants[name]) == 1))
    outer = op.outer(name)
    return outer is not None and outer.uniform == 1


def _source(body: onnx.GraphProto, producers: dict[str, Any], name: str) -> str:
    """Return what a value is a copy of, perhaps of another element type."""
    while (node := producers.get(name)) is not None and node.op_type in ("Identity", "Cast"):
        name = node.input[0]
    return name


def _passes_on(body: onnx.GraphProto, output: str, given: str) -> bool:
    return _source(body, {name: node for node in body.node for name in node.output}, output) == given


def _is_kept(body: onnx.GraphProto, given: onnx.ValueInfoProto, output: onnx.ValueInfoProto) -> bool:
    """Return whether a state is the same in every turn."""
    copies = {node.output[0]: node.input[0] for node in body.node if node.op_type == "Identity"}
    name = output.name
    while name in copies:
        name = copies[name]
    return bool(name == given.name)


def _outputs(op: Operation, states: Sequence[Tensor], turn: _Turn, count: _Count | None) -> list[Tensor]:
    names = list(op.node.output)
    # How often a state is changed is how many turns there are; of what each turn gives, only what follows the last.
    turns = turn.again.cleaned.union(*[each.cleaned for each in op.inputs[:2] if each is not None])
    ended = [replace(state, cleaned=state.cleaned | turns) for state in states]
    found = [_named(op, state, name) for state, name in zip(ended, names, strict=False)]
    collected = names[len(states) :]
    if count is not None and count.name and any(collected):
        op.emitter.nodes.append(op.node)
        op.replaced = True
    for at, (tensor, name) in enumerate(zip(turn.collected, collected, strict=True), start=len(states)):
        if tensor.axes is None:
            found.append(_named(op, tensor, name))
            continue
        axis = op.data_axis() if count is None else grid(count.length)
        if count is None or (count.name and name):
            tensor = replace(tensor, cleaned=tensor.cleaned | turns)
        fills = {place + 1: fill for place, fill in tensor.fills.items()}
        if count is not None and count.name and name:
            if any(each.constant is None for each in tensor.known_axes):
                # Of no turns a runtime cannot tell what shape each would have given.
                op.positive(count.length, "it collects what it never makes")
            op.node.output[at] = op.emitter.fresh("collected")
            _filled_up(op, op.node.output[at], name, tensor.rank, count)
            fills = {place: fill for place, fill in fills.items() if fill == 0} | {0: 0.0}
        low, high = min(tensor.low, 0.0), max(tensor.high, 0.0)
        whole = tensor.changed(name, axes=(axis, *tensor.known_axes), fills=fills, low=low, high=high)
        found.append(_named(op, whole, name))
    return found


def _named(op: Operation, tensor: Tensor, name: str) -> Tensor:
    cleaned = tensor.cleaned | frozenset(op.newly_cleaned)
    blames = {**tensor.blames, **op.blames}
    return tensor.changed(name, cleaned=cleaned, blames=blames)


def _filled_up(op: Operation, raw: str, name: str, rank: int, count: _Count) -> None:
    """Fill what was collected up to as many turns as a bucket has."""
    if op.opset < 11:
        raise Refused("it collects what follows the sizes", "Export the model with opset 11 or newer.")
    emitter = op.emitter
    one, less = (emitter.numbers([number]) for number in (1, count.less))
    bucket = emitter.once("Sub", [emitter.once("Reshape", [emitter.cast(count.name, _INT64), one]), less])
    own = emitter.part_of_shape(raw, 0, 1)
    zeros = [emitter.constant(np.zeros(size, np.int64)) for size in (rank + 1, rank)]
    missing = emitter.node("Sub", [bucket, own])
    pads = [zeros[0], missing, *([zeros[1]] if rank else [])]
    emitter.into(name, "Pad", [raw, emitter.node("Concat", pads, axis=0)])
