"""How long the outputs of a TFLite model are: asked of the interpreter at every size up to a limit, not guessed.

The interpreter works out all shapes without running the model, which is cheap enough to ask for each size. An axis that
one rounded line describes at all of them is described by it; any other axis is an error at build time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.tflite import TfliteEngine
from scaling_tasks.shapes.expressions import Expression, evaluate
from scaling_tasks.shapes.signature import Signature

__all__ = ["LARGEST_ASKED", "output_lengths", "rounded_line"]

# Every size up to here is asked for, so that no rounding of strides can hide between two of them.
LARGEST_ASKED = 1024
_LARGEST_DIVISOR = 512

_Sizes = dict[str, int]
_Shapes = Mapping[str, tuple[int, ...]]


def output_lengths(path: Path, signature: Signature) -> dict[str, tuple[Expression, ...]]:
    """Return the length of every axis of every output, an expression of one variable each.

    Args:
        path: The TFLite model.
        signature: Its inputs with named variables.

    Raises:
        ModelError: The interpreter takes less than two sizes of a variable, or an axis follows no line.
    """
    model = TfliteEngine(path)
    try:
        seen = list(_seen(model, signature, path))
    finally:
        model.close()
    _, first = seen[0]
    return {
        output: tuple(
            _explain([(sizes, shapes[output][axis]) for sizes, shapes in seen], output, axis, path)
            for axis in range(len(shape))
        )
        for output, shape in first.items()
    }


def _seen(model: TfliteEngine, signature: Signature, path: Path) -> Iterator[tuple[_Sizes, _Shapes]]:
    """Yield sizes and output shapes: each variable by itself, then all of them at once."""
    base = _base(model, signature, path)
    for name in signature.variables:
        ran = 0
        for size in range(1, LARGEST_ASKED + 1):
            sizes = base | {name: size}
            shapes = _asked(model, signature, sizes)
            if shapes is not None:
                ran += 1
                yield sizes, shapes
        if ran < 2:
            raise ModelError(f"it runs at one size of {name} only", where=str(path), fix="Fix it with `input_shape`.")
    for step in range(1, LARGEST_ASKED // 16):
        sizes = {name: 1 + step * (16 - place) for place, name in enumerate(signature.variables)}
        shapes = _asked(model, signature, sizes)
        if shapes is not None:
            yield sizes, shapes


def _base(model: TfliteEngine, signature: Signature, path: Path) -> _Sizes:
    """Return the first size, one for all variables, that the interpreter takes."""
    for size in range(1, LARGEST_ASKED + 1):
        sizes = dict.fromkeys(signature.variables, size)
        if _asked(model, signature, sizes) is not None:
            return sizes
    raise ModelError(
        f"the interpreter takes no size up to {LARGEST_ASKED}", where=str(path), fix="Check `input_shape`."
    )


def _asked(model: TfliteEngine, signature: Signature, sizes: Mapping[str, int]) -> _Shapes | None:
    try:
        return model.output_shapes({tensor.name: tensor.shape(sizes) for tensor in signature.inputs})
    except ModelError:
        return None  # many models run at some sizes only


def _explain(lengths: list[tuple[_Sizes, int]], output: str, axis: int, path: Path) -> Expression:
    first = lengths[0][1]
    if all(length == first for _, length in lengths):
        return first
    for name in lengths[0][0]:
        points = {sizes[name]: length for sizes, length in lengths}
        line = rounded_line(name, points) if len(points) > 1 else None
        if line is not None and all(evaluate(line, sizes) == length for sizes, length in lengths):
            return line
    raise ModelError(
        f"the length of axis {axis} of output {output!r} is no rounded multiple of one input size",
        where=str(path),
        fix="Remove that output from the model, or fix the variable it depends on with `input_shape`.",
    )


def rounded_line(variable: str, points: Mapping[int, int]) -> Expression | None:
    """Return ``floor((factor * v + offset) / divisor)`` through all points, None where there is no such line.

    Strided convolutions, pooling and their chains, cropping, padding and scaling by a constant all have this form; a
    ceiling is a floor with a larger offset.

    Args:
        variable: The name of v.
        points: Size to length, two or more.
    """
    first, last = min(points), max(points)
    rise, run = points[last] - points[first], last - first
    # Lengths are exact to less than one, so the slope is too.
    low, high = Fraction(rise - 1, run), Fraction(rise + 1, run)
    for divisor in range(1, _LARGEST_DIVISOR + 1):
        for factor in range(max(1, math.floor(low * divisor)), math.ceil(high * divisor) + 1):
            smallest = max(divisor * length - factor * size for size, length in points.items())
            largest = min(divisor * length - factor * size for size, length in points.items()) + divisor - 1
            if smallest <= largest:
                return _expression(variable, factor, largest, divisor)
    return None


def _expression(variable: str, factor: int, offset: int, divisor: int) -> Expression:
    whole: Expression = variable if factor == 1 else ("*", factor, variable)
    if offset:
        whole = ("+", whole, offset) if offset > 0 else ("-", whole, -offset)
    return whole if divisor == 1 else ("//", whole, divisor)
