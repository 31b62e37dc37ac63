"""Comparing a model of which data decides lengths with the same in which all of them are fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from hypothesis.errors import UnsatisfiedAssumption
from numpy.typing import NDArray

from scaling_tasks.analysis.fixed_lengths import Bounded, bound_lengths
from scaling_tasks.onnx_model.fixing import fix_dimensions
from tests.analysis.drafts import session

__all__ = ["assert_bounded"]


def assert_bounded(
    model: onnx.ModelProto,
    inputs: Sequence[Mapping[str, NDArray[Any]]],
    *,
    longest: Mapping[str, int] | None = None,
    tolerance: float = 1e-4,
) -> Bounded:
    """Assert that a model with fixed lengths gives what the model gives, whatever the data.

    Args:
        model: The model.
        inputs: Of several requests, all of one shape.
        longest: See ``bound_lengths``.
        tolerance: Of the largest number.
    """
    fixed = fix_dimensions(model, {name: array.shape for name, array in inputs[0].items()})
    bounded = bound_lengths(fixed, longest or {})
    assert bounded is not None
    kept = {value.name for value in bounded.model.graph.input}
    original, other = session(fixed), session(bounded.model)
    answers = [_answer(original, each) for each in inputs]
    names = [value.name for value in bounded.model.graph.output]
    shapes = set()
    for each, answer in zip(inputs, answers, strict=True):
        given = dict(zip(names, other.run(names, {n: a for n, a in each.items() if n in kept}), strict=True))
        shapes.add(tuple(array.shape for array in given.values()))
        found = bounded.lengths.cut(given)
        for value, wanted in zip(fixed.graph.output, answer, strict=True):
            got = found[value.name]
            assert got.shape == wanted.shape, (value.name, got.shape, wanted.shape)
            assert got.dtype == wanted.dtype
            scale = float(np.abs(wanted).max(initial=1.0, where=np.isfinite(wanted))) if wanted.dtype.kind == "f" else 0
            np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * scale)
    assert len(shapes) == 1
    return bounded


def _answer(original: Any, inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Run the original; what it cannot do at some data tells nothing."""
    try:
        return list(original.run(None, dict(inputs)))
    except Exception as error:  # onnxruntime raises types of its own for each kind of mistake.
        raise UnsatisfiedAssumption from error
