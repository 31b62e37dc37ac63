"""What a strategy chooses from: samples on the lattice, and what of them must be covered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import CostModel, cost_of
from scaling_tasks.planning.lattice import Lattice, make_lattice
from scaling_tasks.planning.options import PlanOptions
from scaling_tasks.planning.rectangles import EFFORTS, Effort
from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["Task", "dropped", "make_task"]


@dataclass(frozen=True, eq=False)
class Task:
    """What a strategy chooses from.

    Attributes:
        original: The samples as they were counted.
        rounded: The samples that must be covered, rounded up to the lattice, distinct.
        lattice: The shapes that buckets may have.
        model: The cost model.
        options: Everything else.
        top: A shape that the largest bucket must have.
        effort: How much work may be done for several variables.
        columns: Samples of single variables that MindOCR's statistics use in place of ``original``'s columns.
    """

    original: ShapeHistogram
    rounded: ShapeHistogram
    lattice: Lattice
    model: CostModel
    options: PlanOptions
    top: tuple[int, ...] | None = None
    effort: Effort | None = None
    columns: Mapping[str, ShapeHistogram] = field(default_factory=dict)


def make_task(
    histogram: ShapeHistogram, model: CostModel, options: PlanOptions, effort: Effort | None = None
) -> tuple[Task, tuple[str, ...]]:
    """Return what a strategy chooses from, and what the user should know about the samples.

    Raises:
        PlanError: No sample can be covered.
    """
    lattice = make_lattice(histogram.variables, options.interval, options.choices, options.ranges)
    rounded, servable = lattice.round(histogram.samples)
    if not servable.any():
        raise PlanError("every sample is above the allowed sizes", where="ranges", fix="Widen the range.")
    kept = servable & ~dropped(histogram, model, options.drop_quantile)
    if not kept.any():
        kept = servable
    notes = _notes(histogram, servable)
    covered = ShapeHistogram.from_samples(rounded[kept], histogram.weights[kept], histogram.variables)
    top = _top(covered.samples.max(axis=0), histogram, lattice, options)
    return Task(histogram, covered, lattice, model, options, top, effort or EFFORTS[options.effort]), notes


def dropped(histogram: ShapeHistogram, model: CostModel, share: float) -> NDArray[np.bool_]:
    """Return which samples need not be covered: the costliest ones whose weight is at most ``share`` of the whole."""
    dropped = np.zeros(len(histogram.weights), dtype=bool)
    if share > 0:
        order = np.argsort(-cost_of(model, histogram.samples), kind="stable")
        mass = histogram.weights[order].cumsum()
        dropped[order[mass <= share * histogram.total * (1 + 1e-12)]] = True
    return dropped


def _notes(histogram: ShapeHistogram, servable: NDArray[np.bool_]) -> tuple[str, ...]:
    if servable.all():
        return ()
    share = float(histogram.weights[~servable].sum()) / histogram.total
    return (f"{share:.2%} of the samples are above the allowed sizes and are left to the oversize policy.",)


def _top(
    largest: NDArray[np.int64], histogram: ShapeHistogram, lattice: Lattice, options: PlanOptions
) -> tuple[int, ...] | None:
    """Return the shape that the headroom asks for, None where it asks for nothing."""
    headroom = options.headroom
    if headroom is None:
        return None
    if isinstance(headroom, Mapping):
        unknown = [name for name in headroom if name not in histogram.variables]
        if unknown:
            fix = f"There are {list(histogram.variables)}."
            raise PlanError(f"{unknown[0]!r} is no variable", where="headroom", fix=fix)
        wanted = [int(headroom.get(name, 1)) for name in histogram.variables]
    else:
        wanted = [math.ceil(size * headroom - 1e-9) for size in largest.tolist()]
    sizes = []
    for size, least, allowed in zip(wanted, largest.tolist(), lattice.allowed, strict=True):
        rounded = int(allowed.round(np.asarray([max(size, least)]))[0])
        sizes.append(rounded or allowed.largest or least)
    return tuple(sizes)
