"""The analysis of a model: verdicts, the layout of its outputs, independent rows, and the cleaned model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.analysis.assembly import assemble
from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.cleaning import RowsMixed
from scaling_tasks.analysis.domain import Domain, Requirement
from scaling_tasks.analysis.lengths import as_length
from scaling_tasks.analysis.operators import load_rules
from scaling_tasks.analysis.placement import cleaned_elements, early_tensors
from scaling_tasks.analysis.preparation import PreparedModel, prepare
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.analysis.verdicts import untold_axis, verdicts_of
from scaling_tasks.analysis.walk import Walk
from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.shapes.behaviour import DATA, Behaviour
from scaling_tasks.shapes.expressions import Expression
from scaling_tasks.shapes.layouts import Layout
from scaling_tasks.shapes.signature import Signature

if TYPE_CHECKING:
    import onnx

__all__ = ["LARGEST_SIZE", "Analysis", "analyse_model", "input_tensors", "names_of"]


LARGEST_SIZE = 1 << 20
"""Up to which sizes claims are tested where no limit is given."""


@dataclass(frozen=True)
class Analysis:
    """What was found of a model.

    Attributes:
        inputs: Its inputs with named variables, without those whose value is fixed.
        behaviour: How answers relate to sizes and padding.
        places: How many tensors are cleaned.
        cleaned: The cleaned model, still dynamic; its inputs are those of the original and the
            behaviour's ``size_inputs``.
    """

    inputs: Signature
    behaviour: Behaviour
    places: int
    cleaned: onnx.ModelProto


def analyse_model(
    model: Path | onnx.ModelProto,
    *,
    input_shape: Mapping[str, Sequence[int | str | None]] | None = None,
    fixed_inputs: Mapping[str, Any] | None = None,
    bucket_limits: Mapping[str, int] | None = None,
    least_sizes: Mapping[str, int] | None = None,
    multiples: Mapping[str, int] | None = None,
    cut: bool = False,
) -> Analysis:
    """Return what padding does to a model's answers, and the model cleaned so that it does nothing.

    Args:
        model: A path or a loaded model with its weights.
        input_shape: Dimensions that override the model's, per input: -1 is dynamic, a number fixes, a text names.
        fixed_inputs: Values of inputs that are always the same.
        bucket_limits: The largest size per variable; ``LARGEST_SIZE`` where absent.
        least_sizes: The least size per variable; where absent 1, or 0 where the signature says that it may be empty.
        multiples: Per variable the number that all its sizes are multiples of, such as 32 for a detector behind
            preprocessing that rounds. Less needs cleaning then, and other sizes become some at which the model does
            not run.
        cut: Whether requests may be cut into pieces: it is found along which variables that may change answers.

    Raises:
        ModelError: The model cannot be read, or does not fit the arguments.
    """
    load_rules()
    prepared = prepare(model, input_shape or {}, fixed_inputs or {})
    for name in multiples or {}:
        if name not in prepared.inputs.variables:
            what = f"{one_line(repr(name), 60)} is no variable of the model"
            known = ", ".join(prepared.inputs.variables)
            raise ModelError(what, where="runtime.multiples", fix=f"The model's variables: {known}.")
    limits, lows, steps = bucket_limits or {}, dict(least_sizes or {}), multiples or {}
    empty = dict.fromkeys(prepared.inputs.may_be_empty, 0)
    try:
        found = _analysed(prepared, limits, {**empty, **lows}, steps)
    except ModelError as error:
        where = error.where or (str(model) if isinstance(model, Path) else "model")
        raise ModelError(error.what, where=where, fix=error.fix) from error
    if empty and found.behaviour.refusals:
        # What is refused may be so for the sake of sizes of 0 alone.
        other = _analysed(prepared, limits, lows, steps)
        found = found if len(other.behaviour.refusals) >= len(found.behaviour.refusals) else other
    if cut:
        alone = {found.behaviour.rows}
        alone |= {
            name
            for name in _candidates(prepared.inputs)
            if name not in alone and _by_rows(prepared.model, prepared.inputs, limits, {**empty, **lows}, steps, name)
        }
        mixed = tuple(name for name in prepared.inputs.variables if name not in alone)
        found = replace(found, behaviour=replace(found.behaviour, mixed=mixed))
    return found


def _analysed(
    prepared: PreparedModel, limits: Mapping[str, int], lows: Mapping[str, int], multiples: Mapping[str, int]
) -> Analysis:
    walk, rows = _walked(prepared.model, prepared.inputs, limits, lows, multiples)
    names = [value.name for value in prepared.model.graph.output]
    found = {name: walk.tensors[name] for name in names}
    outputs = {
        name: None if tensor.axes is None or untold_axis(tensor) is not None else _layouts(tensor)
        for name, tensor in found.items()
    }
    cleaned, size_inputs = assemble(prepared, walk, names)
    behaviour = Behaviour(
        outputs,
        verdicts_of(found.items(), prepared.inputs.variables),
        rows,
        tuple(sorted(name for name in walk.cleaner.uniform if not name.startswith(DATA))),
        tuple(_expressions(each) for each in walk.domain.requirements if _is_of_sizes(each)),
        size_inputs,
        tuple(name for name in prepared.inputs.variables if lows.get(name, 1) == 0),
        data_lengths=(
            *sorted(name for name in walk.domain.points if name.startswith(DATA)),
            # Nobody knows what decides those; who needs lengths that are fixed has to look.
            *(f"{DATA}{name}" for name, axes in outputs.items() if axes is None),
        ),
        limits=tuple(_expressions(each) for each in walk.domain.ends),
    )
    return Analysis(prepared.inputs, behaviour, walk.cleaner.places, cleaned)


def _layouts(tensor: Tensor) -> tuple[Layout, ...]:
    return tuple(axis.layout() for axis in tensor.known_axes)


def _walked(
    model: onnx.ModelProto,
    inputs: Signature,
    limits: Mapping[str, int],
    lows: Mapping[str, int],
    multiples: Mapping[str, int],
) -> tuple[Walk, str | None]:
    """Walk with each variable that may count rows until one does, else with none."""
    for rows in [*_candidates(inputs), None]:
        if walk := _by_rows(model, inputs, limits, lows, multiples, rows):
            return walk, rows
    raise AssertionError("the walk without rows does not end early")


def _by_rows(
    model: onnx.ModelProto,
    inputs: Signature,
    limits: Mapping[str, int],
    lows: Mapping[str, int],
    multiples: Mapping[str, int],
    rows: str | None,
) -> Walk | None:
    """Walk with a variable that counts rows, or without one; None where its positions are not independent rows."""
    try:
        walk = _cheapest(model, inputs, limits, lows, multiples, rows)
    except RowsMixed:
        return None
    outputs = [walk.tensors.get(value.name) for value in model.graph.output]
    if any(tensor is None for tensor in outputs):
        raise ModelError("an output is computed by no node", fix="Export the model again.")
    return walk if rows is None or all(_carries(tensor, rows) for tensor in outputs if tensor is not None) else None


def _cheapest(
    model: onnx.ModelProto,
    inputs: Signature,
    limits: Mapping[str, int],
    lows: Mapping[str, int],
    multiples: Mapping[str, int],
    rows: str | None,
) -> Walk:
    """Walk again with what a walk found: at which sizes the model runs, then where cleaning costs least."""
    given = [(as_length(name), as_length(name) // step * step) for name, step in multiples.items()]

    def follow(known: Sequence[Requirement], early: frozenset[str] = frozenset()) -> Walk:
        domain = Domain({name: limits.get(name, LARGEST_SIZE) for name in inputs.variables}, lows)
        for left, right in known:
            if left.variables | right.variables <= set(domain.limits):
                domain.require(left, right)
        walk = Walk(model, input_tensors(inputs), domain, rows, taken=names_of(model), early=early)
        walk.run(model.graph)
        walk.finish(value.name for value in model.graph.output)
        return walk

    walk = follow(given)
    if len(walk.domain.requirements) > len(given):
        walk = follow(walk.domain.requirements)
    early = early_tensors(walk.steps, walk.cleaner, walk.domain, walk.emitter.opset)
    if not early:
        return walk
    return min(
        walk, follow(walk.domain.requirements, early), key=lambda each: cleaned_elements(each.cleaner, each.domain)
    )


def _carries(tensor: Tensor, rows: str) -> bool:
    """Whether an output has one plain axis of rows, by which answers can be told apart, and does not number them."""
    if tensor.counts_rows:
        return False
    if tensor.axes is None:
        return True
    counting = [axis for axis in tensor.axes if rows in axis.variables]
    return len(counting) == 1 and counting[0].layout() == ((rows,),)


def _candidates(inputs: Signature) -> list[str]:
    """Return the variables that are a whole axis of every input and of no input twice."""
    found = []
    for name in inputs.variables:
        if all(sum(dim == name for dim in tensor.dims) == 1 for tensor in inputs.inputs):
            found.append(name)
    return found


def input_tensors(inputs: Signature) -> list[Tensor]:
    """Return what is known of a model's inputs, which the runtime pads."""
    import numpy as np
    from onnx import helper

    tensors = []
    for spec in inputs.inputs:
        axes = tuple(grid(as_length(dim)) for dim in spec.dims)
        dtype = int(helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)))
        kind = np.dtype(spec.dtype).kind
        # The runtime pads with zeros; it refuses what is not finite.
        fills = {at: 0.0 for at, axis in enumerate(axes) if axis.variables}
        low, high = (0.0, 1.0) if kind == "b" else (-float("inf"), float("inf"))
        tensors.append(Tensor(spec.name, dtype, axes, fills=fills, low=low, high=high))
    return tensors


def names_of(model: onnx.ModelProto) -> set[str]:
    """Return the names that a model's graph uses."""
    graph = model.graph
    taken = {value.name for value in (*graph.input, *graph.output, *graph.initializer)}
    return taken | {name for node in graph.node for name in (*node.input, *node.output, node.name)}


def _is_of_sizes(requirement: Requirement) -> bool:
    """Whether a request's sizes tell if it holds, not what data makes of it."""
    return not any(name.startswith(DATA) for length in requirement for name in length.variables)


def _expressions(requirement: Requirement) -> tuple[Expression, Expression]:
    left, right = requirement
    return left.expression(), right.expression()
