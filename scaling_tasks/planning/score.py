"""How a choice serves what was asked for: the score of a plan, and what its bound means for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.bucket_plan import BucketPlan, make_plan
from scaling_tasks.planning.costs import cost_of
from scaling_tasks.planning.request.request import Choice, NoPlanError, PlanRequest
from scaling_tasks.planning.request.serving import BATCHES, score_requests
from scaling_tasks.planning.strategies.registry import choose
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["evaluated", "ratio_of"]


def ratio_of(request: PlanRequest, strategy: str, most: int) -> float:
    """Return the padding ratio of a strategy with at most ``most`` buckets, infinite where it finds no plan."""
    try:
        return evaluated(request, choose(request, strategy, most), strategy, most).padding_ratio
    except NoPlanError:
        return float("inf")


def evaluated(
    request: PlanRequest,
    choice: Choice,
    strategy: str,
    most: int,
    digest: str | None = None,
    warnings: tuple[str, ...] = (),
) -> BucketPlan:
    """Return the plan of chosen buckets: scored on all samples, or on all requests cut into batches at least cost."""
    parameters: dict[str, Any] = {"max_buckets": most, **request.options.parameters()}
    if request.requests is not None:
        parameters["batching"] = "partition"
    plan = make_plan(
        request.original,
        request.variables,
        choice.buckets,
        request.model,
        strategy=strategy,
        parameters=parameters,
        bound=None if request.requests is not None else _bounds(request, choice),
        digest=digest,
        warnings=warnings,
        details=choice.details,
    )
    return plan if request.requests is None else _cut(plan, request, choice)


def _bounds(request: PlanRequest, choice: Choice) -> tuple[float, float | None] | None:
    """Return a lower bound of the padding ratio of any plan, and of what this relaxation can prove at best if known.

    Samples that need not be covered, but may be, cost at least what they need: covering all of them at that is the
    lowest that the ratio can come to.
    """
    if choice.bound is None:
        return None
    needed = cost_of(request.model, request.original.samples) * request.original.weights
    rounded, servable = request.lattice.round(request.original.samples)
    servable &= request.caps.reached(rounded, request.model)
    spare = float(needed[servable & ~request.kept].sum())
    whole = float(needed[request.kept].sum()) + spare
    if whole <= 0:
        return 1.0, None
    relaxed = None if choice.relaxed is None else (max(choice.relaxed, choice.bound) + spare) / whole
    return (choice.bound + spare) / whole, relaxed


def _cut(plan: BucketPlan, request: PlanRequest, choice: Choice) -> BucketPlan:
    """Return the plan with the score of requests that are cut into batches; buckets that nothing runs stay."""
    assert request.requests is not None
    batch = request.variables.index(str(batch_variable(request.variables)))
    choices = request.lattice.allowed[batch].choices or BATCHES
    score = score_requests(request.requests, request.variables, plan.buckets, request.model, choices)
    if score.coverage == 0:
        raise PlanError("no item fits any bucket", where="ranges", fix="Widen the range.")
    bound = None
    if choice.bound is not None and score.ideal > 0 and score.coverage == 1 and request.kept.all():
        bound = float(np.clip(choice.bound / score.ideal, 1.0, score.padding_ratio))
    missing = f"{1 - score.coverage:.2%} of the items fit no bucket and are left to the oversize policy."
    return replace(
        plan,
        padding_ratio=score.padding_ratio,
        lower_bound=bound,
        coverage=score.coverage,
        hits=score.hits,
        warnings=plan.warnings if score.coverage == 1 else (*plan.warnings, missing),
        details={**plan.details, "request_cost": score.cost},
    )
