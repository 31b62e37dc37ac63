"""Plans for samples that were not seen: sizes are spread a little before planning, by as much as the data says helps.

A plan that is optimal for what was seen puts its buckets exactly at seen sizes; the next sample is often a little
larger and pays for the next bucket. So each sample stands for sizes around its own, up to the largest seen, and how far
is decided by the data: for each spread, plans made without one part of the samples are scored on that part. Samples are
spread only where that helps by more than the parts differ in how much it does; less is the luck of the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.bucket_plan import score_buckets
from scaling_tasks.planning.costs import cost_of
from scaling_tasks.planning.request.folds import split_folds
from scaling_tasks.planning.request.request import Choice, PlanRequest, make_request, problem_of
from scaling_tasks.planning.solver.solve import solve
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.selection import sort_buckets

__all__ = ["robust_choice", "spread_out"]

_SPREADS = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
_FOLDS = 5
# Where a sample's weight goes, in units of the spread.
_OFFSETS, _SHARES = (-1.0, -0.5, 0.0, 0.5, 1.0), (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)


def robust_choice(request: PlanRequest, most: int, plain: Choice) -> Choice:
    """Return the choice for unseen samples, with what it costs on the seen ones in its details.

    Args:
        request: The request.
        most: Largest number of buckets.
        plain: The choice for the seen samples; its bound holds for this choice as well.
    """
    unseen = {spread: _held_out(request, most, spread) for spread in _SPREADS}
    best = _clearly_best(unseen)
    buckets = plain.buckets if best == 0 else _buckets(request, most, best)
    found = {
        "spread": best,
        "unseen": [[spread, float(unseen[spread].mean())] for spread in _SPREADS],
        "seen": _ratio(request, buckets),
        "seen_without": _ratio(request, plain.buckets),
    }
    return replace(plain, buckets=buckets, details={**plain.details, "robust": found})


def _clearly_best(unseen: Mapping[float, NDArray[np.float64]]) -> float:
    """Return the spread whose mean ratio is the least, 0 unless it beats 0 by more than two standard errors."""
    best = min(_SPREADS, key=lambda spread: (round(float(unseen[spread].mean()), 3), spread))
    gains = unseen[0.0] - unseen[best]
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
    return best if float(gains.mean()) > 2 * error else 0.0


def spread_out(histogram: ShapeHistogram, spread: float) -> ShapeHistogram:
    """Return the histogram with each sample's weight spread over sizes around it, none above the largest seen."""
    if spread == 0:
        return histogram
    largest = histogram.samples.max(axis=0)
    rows = [
        np.clip(np.rint(histogram.samples * (1 + spread * offset)), 1, largest).astype(np.int64) for offset in _OFFSETS
    ]
    weights = [histogram.weights * share for share in _SHARES]
    return ShapeHistogram.from_samples(np.concatenate(rows), np.concatenate(weights), histogram.variables)


def _buckets(request: PlanRequest, most: int, spread: float) -> NDArray[np.int64]:
    wide = spread_out(_kept(request), spread)
    asked, _ = make_request(wide, request.model, replace(request.options, drop_quantile=0.0), request.effort)
    return solve(problem_of(replace(asked, top=request.top or asked.top), most), request.effort).chosen


def _kept(request: PlanRequest) -> ShapeHistogram:
    original = request.original
    return ShapeHistogram.from_samples(
        original.samples[request.kept], original.weights[request.kept], original.variables
    )


def _held_out(request: PlanRequest, most: int, spread: float) -> NDArray[np.float64]:
    """Return the padding ratio on each part of plans made without it; 1 where there are no parts."""
    ratios = []
    whole = _kept(request)
    top = request.lattice.round(whole.samples.max(axis=0)[None, :])[0][0]
    for seen, unseen in split_folds(whole, _FOLDS):
        asked, _ = make_request(spread_out(seen, spread), request.model, replace(request.options, drop_quantile=0.0))
        # The largest size is known: what is asked is where the others should be.
        asked = replace(asked.quick(), top=request.top or tuple(top.tolist()))
        chosen = solve(problem_of(asked, most), asked.effort).chosen
        rows, costs = sort_buckets(chosen, cost_of(request.model, chosen))
        score = score_buckets(rows, costs, unseen.samples, unseen.weights, request.model)
        ratios.append(score.padding_ratio)
    return np.asarray(ratios or [1.0])


def _ratio(request: PlanRequest, buckets: NDArray[np.int64]) -> float:
    rows, costs = sort_buckets(buckets, cost_of(request.model, buckets))
    whole = _kept(request)
    return score_buckets(rows, costs, whole.samples, whole.weights, request.model).padding_ratio
