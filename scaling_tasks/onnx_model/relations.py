"""How long each output axis is for given sizes of the variables: derived from the model, confirmed by running it.

Candidates come from symbolic shape inference where that can follow the model, else from fitting what was observed.
Every candidate must be exact at every size at which the original model ran; what cannot be explained is an error here,
at build time, instead of a wrong crop at run time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.fitting import fit_line, undecided
from scaling_tasks.onnx_model.probing import Lengths, Probes
from scaling_tasks.onnx_model.reading import ModelSignature
from scaling_tasks.onnx_model.symbolic import infer_symbolically
from scaling_tasks.shapes.expressions import Expression, evaluate, parse_expression

__all__ = ["Relations", "derive_relations"]

_DECIDING_PROBES = 8


@dataclass(frozen=True)
class Relations:
    """One expression of the variables per axis of every output.

    Attributes:
        axes: Output name to the length of each of its axes.
    """

    axes: Mapping[str, tuple[Expression, ...]]

    def shapes(self, values: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Return every output's shape for one value per variable."""
        return {name: tuple(evaluate(axis, values) for axis in axes) for name, axes in self.axes.items()}

    def to_payload(self) -> dict[str, Any]:
        """Return plain lists for a JSON document."""
        return {name: list(axes) for name, axes in self.axes.items()}

    @classmethod
    def from_payload(cls, payload: Mapping[str, Sequence[Any]]) -> Relations:
        """Return what ``to_payload`` gave.

        Raises:
            ValueError: The payload holds something else.
        """
        return cls({name: tuple(parse_expression(axis) for axis in axes) for name, axes in payload.items()})


def derive_relations(path: Path, signature: ModelSignature, buckets: Sequence[Sequence[int]]) -> Relations:
    """Return the relations of the model at ``path``.

    Args:
        path: The original model; it is run at a few dozen small sizes.
        signature: Its inputs with named variables, and its outputs.
        buckets: The planned buckets, columns in the order of the signature's variables: what sizes to expect.

    Raises:
        ModelError: The model runs at none of the sizes, or an axis follows no known relation.
    """
    probes = Probes(path, signature.inputs, buckets)
    symbolic = infer_symbolically(path, signature.inputs)
    axes: dict[str, tuple[Expression, ...]] = {}
    for tensor in signature.outputs:
        candidates = symbolic.get(tensor.name, [])
        rank = probes.rank(tensor.name)
        axes[tensor.name] = tuple(
            _explain(path, probes, tensor.name, axis, candidates[axis] if len(candidates) == rank else None)
            for axis in range(rank)
        )
    relations = Relations(axes)
    _confirm(path, probes, relations)
    return relations


def _explain(path: Path, probes: Probes, output: str, axis: int, candidate: Expression | None) -> Expression:
    """Return the fitted relation, which is the shorter one, or the inferred one where none fits or they differ."""
    lengths = probes.lengths(output, axis)
    fitted = _fit(probes, output, axis)
    if candidate is not None and _exact(candidate, probes.lengths(output, axis)):
        return fitted if fitted is not None and _same(fitted, candidate, probes) else candidate
    if fitted is not None and _exact(fitted, probes.lengths(output, axis)):
        return fitted
    shown = {str(dict(zip(probes.variables, size, strict=True))): length for size, length in list(lengths.items())[:6]}
    raise ModelError(
        f"the length of axis {axis} of output {output!r} follows no known relation to the input sizes: {shown}",
        where=str(path),
        fix="Remove that output from the model, or fix the variable it depends on with input_shape.",
    )


def _fit(probes: Probes, output: str, axis: int) -> Expression | None:
    """Fit one line per variable that matters, and combine them to a sum or a product.

    A product of one is a line times a constant: a detector that first halves and then doubles sizes.
    """
    lengths = probes.lengths(output, axis)
    along = {name: probes.along(output, axis, name) for name in probes.variables}
    moving = [name for name in probes.variables if len(set(along[name].values())) > 1]
    base = lengths[probes.base]
    if not moving:
        return base
    for combine in (_sum, _product):
        combined = combine(probes, output, axis, moving, base)
        if combined is not None and _exact(combined, probes.lengths(output, axis)):
            return combined
    return None


def _fit_line(probes: Probes, output: str, axis: int, variable: str, unit: int) -> Expression | None:
    """Fit the lengths along one variable, divided by ``unit``; probe further where the offset is undecided."""
    for _ in range(_DECIDING_PROBES):
        points = {size: length // unit for size, length in probes.along(output, axis, variable).items()}
        line = fit_line(points)
        size = None if line is None else undecided(line, *probes.span(variable))
        if size is None or not probes.add(variable, size):
            break
    return line.expression(variable) if line else None


def _sum(probes: Probes, output: str, axis: int, moving: Sequence[str], base: int) -> Expression | None:
    whole: Expression = -base * (len(moving) - 1)
    for name in moving:
        line = _fit_line(probes, output, axis, name, 1)
        if line is None:
            return None
        whole = line if whole == 0 else ("+", whole, line)
    return whole


def _product(probes: Probes, output: str, axis: int, moving: Sequence[str], base: int) -> Expression | None:
    whole: Expression = 1
    at_base = 1
    for name in moving:
        unit = math.gcd(*probes.along(output, axis, name).values())
        line = _fit_line(probes, output, axis, name, unit) if unit else None
        if line is None:
            return None
        at_base *= base // unit
        whole = line if whole == 1 else ("*", whole, line)
    factor = base // at_base if at_base else 1
    return whole if factor == 1 else ("*", factor, whole)


def _exact(expression: Expression, lengths: Lengths) -> bool:
    return all(evaluate(expression, values) == length for values, length in lengths.named())


def _same(left: Expression, right: Expression, probes: Probes) -> bool:
    """Whether two expressions agree on a dense grid of the expected sizes."""
    spans = [range(low, high + 1, max(1, (high - low) // 512)) for low, high in map(probes.span, probes.variables)]
    lines = (
        [*probes.base[:column], size, *probes.base[column + 1 :]] for column, span in enumerate(spans) for size in span
    )
    corners = itertools.product(*[(span[0], span[-1]) for span in spans])
    named = (dict(zip(probes.variables, size, strict=True)) for size in itertools.chain(lines, corners))
    return all(evaluate(left, values) == evaluate(right, values) for values in named)


def _confirm(path: Path, probes: Probes, relations: Relations) -> None:
    """Run sizes that played no part in the fit; a product or sum has to hold there too."""
    for values, shapes in probes.joint():
        expected = relations.shapes(values)
        for name, shape in shapes.items():
            if expected[name] != shape:
                raise ModelError(
                    f"output {name!r} has the shape {list(shape)} at {values}, not {list(expected[name])}",
                    where=str(path),
                    fix="Its output sizes depend on more than its input sizes; fix a variable with input_shape.",
                )
