"""Answering requests of any size from one bucket of a cleaned model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scaling_tasks.analysis.analyse import Analysis
from scaling_tasks.shapes.expressions import variables_of
from scaling_tasks.shapes.layouts import Layout, valid_positions
from scaling_tasks.shapes.size_inputs import fill_size_input

from benchmarks.zoo.judging import Answer, pad
from benchmarks.zoo.model import Arrays, Sizes

__all__ = ["cleaned_answer", "crop_to_valid", "extra_inputs", "sizes_of"]


def cleaned_answer(analysis: Analysis, bucket: Sizes, run: Callable[[Arrays], Arrays]) -> Answer:
    """Return a function that answers from ``bucket``.

    Args:
        analysis: Of the model.
        bucket: One value per variable of the analysis.
        run: Runs the cleaned model at the bucket.
    """
    shapes = analysis.inputs.shapes(bucket)

    def answer(inputs: Arrays, sizes: Sizes) -> Mapping[str, NDArray[Any]]:
        exact = sizes_of(analysis, inputs)
        given = {name: array for name, array in inputs.items() if name in shapes}
        outputs = run(pad(given, shapes) | extra_inputs(analysis, bucket, [exact]))
        return {name: crop_to_valid(array, analysis.outputs[name], bucket, exact) for name, array in outputs.items()}

    return answer


def sizes_of(analysis: Analysis, inputs: Arrays) -> dict[str, int]:
    """Return the exact size of each variable, read from the shapes of a request."""
    found: dict[str, int] = {}
    for tensor in analysis.inputs.inputs:
        for dim, size in zip(tensor.dims, inputs[tensor.name].shape, strict=True):
            if isinstance(dim, str) and dim not in found:
                found[dim] = size
    return found


def extra_inputs(analysis: Analysis, bucket: Sizes, rows: list[dict[str, int]]) -> Arrays:
    """Return what tells the cleaned model the exact sizes: of one request, or of each row where rows are independent."""
    count = bucket[analysis.rows] if analysis.rows else 1
    each = [rows[min(at, len(rows) - 1)] for at in range(count)]
    sizes = {name: np.array([row[name] for row in each], np.int64) for name in rows[0]}
    made = {spec: fill_size_input(spec, bucket, sizes, analysis.rows) for spec in analysis.size_inputs}
    return {spec.name: array.reshape(spec.shape(bucket)) for spec, array in made.items()}


def crop_to_valid(
    output: NDArray[Any], layouts: tuple[Layout, ...] | None, bucket: Sizes, sizes: Sizes
) -> NDArray[Any]:
    """Return the positions of an output that exist at the exact size."""
    if layouts is None or len(layouts) != output.ndim:
        return output
    for axis, layout in enumerate(layouts):
        if all(variables_of(length) <= set(sizes) for piece in layout for length in piece):
            output = np.take(output, valid_positions(layout, bucket, sizes), axis=axis)
    return output
