"""NonMaxSuppression written out: the best box of each class, one after another, and what overlaps it is gone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling_tasks.analysis.bounding.bounds import Bounds
from scaling_tasks.analysis.bounding.chosen import chosen_positions
from scaling_tasks.analysis.bounding.told import Count
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.operation import Operation
from scaling_tasks.analysis.refusal import Refused

__all__ = ["suppress"]

_FLOAT = 1
_MOST_TURNS = 1 << 10
_MOST_PAIRS = 1 << 24
"""Of boxes; more are not compared all at once, which takes 64 MiB."""
_GONE = -1.7e38
"""The score of a box that is gone; twice as much is a number too."""


def suppress(op: Operation, bounds: Bounds) -> Sequence[Count]:
    """Write NonMaxSuppression; of boxes that score the same the first is taken, as onnxruntime does.

    Which boxes overlap is told once for all pairs where these are few, else in each turn for the box that is taken.
    """
    emitter = op.emitter
    images, classes, count = (bounds.full(axis) for axis in op.input(1).known_axes)
    most, overlap, least = (_setting(op, at) for at in (2, 3, 4))
    turns = int(min(most or 0, count))
    if not 0 < turns <= _MOST_TURNS:
        raise Refused(
            f"it takes up to {turns} boxes of a class, one after another",
            f"Let it take between 1 and {_MOST_TURNS} (max_output_boxes_per_class).",
        )
    scores, gone = op.node.input[1], _number(emitter, _GONE)
    if least is not None:
        scores = emitter.node("Where", [emitter.node("Greater", [scores, _number(emitter, least)]), scores, gone])
    overlapping = _Overlap(op, images, count, overlap or 0.0)
    numbers, best = [], []
    for _ in range(turns):
        best.append(emitter.reduce("ReduceMax", scores, [2], keepdims=1))
        numbers.append(emitter.node("ArgMax", [scores], axis=2, keepdims=1))
        scores = emitter.node("Min", [scores, overlapping.left(numbers[-1])])
    return [_rows(op, numbers, best, (images, classes, turns), *bounds.said(op, images * classes * turns))]


def _setting(op: Operation, index: int) -> float | None:
    value = op.value_of(index)
    if value is None and op.has(index):
        raise Refused(f"its input {index} is no constant")
    # What an earlier rule has set is not among the inputs that are known.
    if value is None and index < len(op.node.input) and op.node.input[index]:
        value = op.emitter.constants[op.node.input[index]]
    return None if value is None else float(value.reshape(-1)[0])


def _number(emitter: Emitter, value: float) -> str:
    return emitter.constant(np.array(value, np.float32))


class _Overlap:
    """Tells which boxes one box leaves.

    Args:
        op: The operator.
        images: How many there are.
        count: Boxes in each.
        most: The share of two boxes up to which they do not overlap.
    """

    def __init__(self, op: Operation, images: int, count: int, most: float) -> None:
        self._emitter, self._most, self._images, self._count = op.emitter, most, images, count
        emitter = self._emitter
        columns = _corners(op, op.node.input[0])  # [images, count, 1] each
        self._corners = [emitter.node("Transpose", [column], perm=[0, 2, 1]) for column in columns]
        self._pairs = images * count**2 <= _MOST_PAIRS
        if self._pairs:
            left = self._left(columns, emitter.constant(np.eye(count, dtype=bool)[None]))
            self._listed = emitter.node("Reshape", [left, emitter.numbers([images * count, count])])
        else:
            listed = emitter.node("Concat", columns, axis=2)
            self._listed = emitter.node("Reshape", [listed, emitter.numbers([images * count, len(columns)])])

    def left(self, number: str) -> str:
        """Return the most that boxes can score once one of them is taken: nothing for it and all that overlap it.

        Args:
            number: That box, ``[images, classes, 1]``.
        """
        emitter, place = self._emitter, number
        if self._images > 1:
            first = np.arange(self._images, dtype=np.int64).reshape(-1, 1, 1) * self._count
            place = emitter.node("Add", [number, emitter.constant(first)])
        own = emitter.node("Gather", [self._listed, emitter.squeeze(place, [2])], axis=0)
        if self._pairs:
            return own
        columns = []
        for at in range(len(self._corners)):
            bounds = [emitter.numbers([each]) for each in (at, at + 1, 2)]
            columns.append(emitter.node("Slice", [own, *bounds]))
        return self._left(columns, emitter.node("Equal", [emitter.numbers(range(self._count)), number]))

    def _left(self, columns: Sequence[str], themselves: str) -> str:
        """Return the same for several boxes, one per line; a box of no size does not overlap itself."""
        emitter = self._emitter
        (low_y, low_x, high_y, high_x, area), own = columns, self._corners
        sides = []
        for low, high, other_low, other_high in ((low_y, high_y, own[0], own[2]), (low_x, high_x, own[1], own[3])):
            ends = emitter.node("Min", [high, other_high]), emitter.node("Max", [low, other_low])
            sides.append(emitter.node("Max", [emitter.node("Sub", ends), _number(emitter, 0.0)]))
        both = emitter.node("Mul", sides)
        either = emitter.node("Sub", [emitter.node("Add", [area, own[4]]), both])
        share = emitter.node("Div", [both, emitter.node("Max", [either, _number(emitter, 1e-30)])])
        over = emitter.node("Or", [emitter.node("Greater", [share, _number(emitter, self._most)]), themselves])
        gone = emitter.node("Mul", [emitter.cast(over, _FLOAT), _number(emitter, -2 * _GONE)])
        return emitter.node("Sub", [_number(emitter, -_GONE), gone])


def _corners(op: Operation, boxes: str) -> list[str]:
    """Return the lower and upper ends of boxes along both axes, and their areas, ``[images, boxes, 1]`` each."""
    emitter = op.emitter
    two = emitter.numbers([2])
    first, second, third, fourth = (
        emitter.node("Slice", [boxes, emitter.numbers([at]), emitter.numbers([at + 1]), two]) for at in range(4)
    )
    if op.attribute("center_point_box", 0):
        half = _number(emitter, 0.5)
        ends = []
        for kind in ("Sub", "Add"):
            for middle, size in ((second, fourth), (first, third)):
                ends.append(emitter.node(kind, [middle, emitter.once("Mul", [size, half])]))
    else:
        ends = [
            emitter.node(kind, list(pair)) for kind in ("Min", "Max") for pair in ((first, third), (second, fourth))
        ]
    sides = [emitter.node("Sub", [ends[at + 2], ends[at]]) for at in range(2)]
    return [*ends, emitter.node("Mul", sides)]


def _rows(
    op: Operation, numbers: Sequence[str], best: Sequence[str], shape: tuple[int, int, int], most: int, proven: bool
) -> Count:
    """Write the output, ``[most, 3]``: image, class and number of each box that was taken."""
    emitter, output = op.emitter, op.node.output[0]
    images, classes, turns = shape
    length = images * classes * turns
    taken = emitter.node("Reshape", [emitter.node("Concat", best, axis=2), emitter.numbers([length])])
    taken = emitter.cast(emitter.node("Greater", [taken, _number(emitter, _GONE)]), _FLOAT)
    column = emitter.node("Reshape", [emitter.node("Concat", numbers, axis=2), emitter.numbers([length, 1])])
    whose = np.indices(shape).reshape(3, length)[:2].T.astype(np.int64)
    rows = [emitter.constant(np.ascontiguousarray(whose)), column]
    listed = emitter.node("Concat", rows, axis=1)
    if images * classes == 1:  # Those that were taken come first.
        zero = emitter.numbers([0])
        emitter.into(output, "Slice", [listed, zero, emitter.numbers([most]), zero])
        return Count(most, emitter.reduce("ReduceSum", taken, [0], keepdims=1), proven)
    place, count = chosen_positions(emitter, taken, length, most)
    emitter.into(output, "Gather", [listed, place], axis=0)
    return Count(most, count, proven)
