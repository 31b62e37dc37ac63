"""Answering requests of any size from one bucket of a cleaned model: alone, and with others in one batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.zoo.judging import Answer, pad
from benchmarks.zoo.model import Arrays, Sizes
from scaling_tasks.analysis.analyse import Analysis
from scaling_tasks.shapes.expressions import evaluate, variables_of
from scaling_tasks.shapes.layouts import Layout, valid_positions
from scaling_tasks.shapes.size_inputs import fill_size_input

__all__ = ["admits", "answer_together", "cleaned_answer", "crop_to_valid", "extra_inputs", "sizes_of"]


def cleaned_answer(analysis: Analysis, bucket: Sizes, run: Callable[[Arrays], Arrays]) -> Answer:
    """Return a function that answers one request at a time from ``bucket``.

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


def answer_together(
    analysis: Analysis, bucket: Sizes, run: Callable[[Arrays], Arrays], requests: Sequence[Arrays]
) -> list[Arrays]:
    """Answer requests of one row each in one run, where the analysis found independent rows.

    All must have the same size in the variables of ``analysis.uniform``; there may be at most as many as the bucket
    has rows.
    """
    rows = str(analysis.rows)
    one_row = {**bucket, rows: 1}
    shapes = analysis.inputs.shapes(one_row)
    padded = [pad({name: request[name] for name in shapes}, shapes) for request in requests]
    given: Arrays = {}
    for tensor in analysis.inputs.inputs:
        axis = tensor.dims.index(rows)
        whole = np.concatenate([request[tensor.name] for request in padded], axis=axis)
        given |= pad({tensor.name: whole}, {tensor.name: tensor.shape(bucket)})
    exact = [sizes_of(analysis, request) for request in requests]
    outputs = run(given | extra_inputs(analysis, bucket, exact))
    answers = []
    for at, sizes in enumerate(exact):
        found = {}
        for name, array in outputs.items():
            layouts = analysis.outputs[name]
            if layouts is not None:
                row = np.take(array, [at], axis=layouts.index(((rows,),)))
                found[name] = crop_to_valid(row, layouts, one_row, {**sizes, rows: 1})
        answers.append(found)
    return answers


def admits(analysis: Analysis, sizes: Sizes) -> bool:
    """Return whether the model runs at these sizes, as far as the analysis knows."""
    return all(evaluate(left, sizes) == evaluate(right, sizes) for left, right in analysis.requirements)


def sizes_of(analysis: Analysis, inputs: Arrays) -> dict[str, int]:
    """Return the exact size of each variable, read from the shapes of a request."""
    found: dict[str, int] = {}
    for tensor in analysis.inputs.inputs:
        for dim, size in zip(tensor.dims, inputs[tensor.name].shape, strict=True):
            if isinstance(dim, str) and dim not in found:
                found[dim] = size
    return found


def extra_inputs(analysis: Analysis, bucket: Sizes, rows: Sequence[Sizes]) -> Arrays:
    """Return what tells the cleaned model the exact sizes, of each row where rows are independent.

    Rows that no request has are told the last one's sizes.
    """
    count = bucket[analysis.rows] if analysis.rows else 1
    each = [rows[min(at, len(rows) - 1)] for at in range(count)]
    sizes = {name: np.array([row[name] for row in each], np.int64) for name in rows[0]}
    return {spec.name: fill_size_input(spec, bucket, sizes, analysis.rows) for spec in analysis.size_inputs}


def crop_to_valid(
    output: NDArray[Any], layouts: tuple[Layout, ...] | None, bucket: Sizes, sizes: Sizes
) -> NDArray[Any]:
    """Return the positions of an output that exist at the exact size; an axis that depends on data stays as it is."""
    if layouts is None or len(layouts) != output.ndim:
        return output
    for axis, layout in enumerate(layouts):
        if all(variables_of(length) <= set(sizes) for piece in layout for length in piece):
            output = np.take(output, valid_positions(layout, bucket, sizes), axis=axis)
    return output
