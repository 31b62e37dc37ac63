"""Choices that keep to caps on single buckets, which of the caps bind, and what lifting one would give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.bucket_plan import score_buckets
from scaling_tasks.planning.costs import cost_of
from scaling_tasks.planning.request.request import Choice, NoPlanError, PlanRequest
from scaling_tasks.planning.request.serving import BATCHES, score_requests
from scaling_tasks.planning.solver.effort import EFFORTS
from scaling_tasks.shapes.selection import sort_buckets
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["capped_choice"]


def capped_choice(request: PlanRequest, choose: Callable[[PlanRequest], Choice]) -> Choice:
    """Return the choice of buckets that keep to all caps; its details say which binds.

    Raises:
        NoPlanError: None was found that serves every sample.
    """
    choice = choose(request)
    if not request.caps.names:
        return choice
    buckets = choice.buckets[request.caps.allowed(choice.buckets, request.model)]
    ratio, whole = _served(request, buckets)
    if not whole:
        raise NoPlanError(
            f"no plan was found whose {len(choice.buckets)} buckets keep to the caps and serve every sample",
            where=request.caps.names[0],
            fix="Allow more buckets, or raise it.",
        )
    rows = []
    for name, (used, most) in request.caps.used(buckets, request.model).items():
        lifted = replace(request, caps=request.caps.without(name), effort=EFFORTS["quick"])
        without = choose(lifted).buckets
        gained, served = _served(lifted, without[lifted.caps.allowed(without, request.model)])
        least = min(ratio, gained) if served else ratio
        rows.append(
            {"name": name, "used": used, "most": most, "binds": least < ratio * (1 - 1e-9), "ratio_without": least}
        )
    return replace(choice, buckets=buckets, details={**choice.details, "caps": rows})


def _served(request: PlanRequest, buckets: NDArray[np.int64]) -> tuple[float, bool]:
    """Return the padding ratio on what must be served, and whether all of it is."""
    if not len(buckets):
        return np.inf, False
    if request.requests is not None:
        batch = request.variables.index(str(batch_variable(request.variables)))
        choices = request.lattice.allowed[batch].choices or BATCHES
        score = score_requests(request.requests, request.variables, buckets, request.model, choices)
        return score.padding_ratio, score.coverage > 0
    rows, costs = sort_buckets(buckets, cost_of(request.model, buckets))
    samples, weights = request.original.samples[request.kept], request.original.weights[request.kept]
    found = score_buckets(rows, costs, samples, weights, request.model)
    return found.padding_ratio, found.coverage == 1
