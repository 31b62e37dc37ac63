"""What a plan document says beyond the buckets: the curve over their number, the rules' curves, unseen samples."""

from __future__ import annotations

from dataclasses import replace

from scaling_tasks.planning.bucket_plan import BucketPlan, make_plan, score_buckets
from scaling_tasks.planning.request.folds import split_folds
from scaling_tasks.planning.request.request import NoPlanError, PlanRequest, make_request
from scaling_tasks.planning.solver.effort import EFFORTS
from scaling_tasks.planning.strategies.registry import choose
from scaling_tasks.planning.strategies.rules_of_thumb import RULES

__all__ = ["with_details"]

_LADDER = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1000)


def with_details(plan: BucketPlan, request: PlanRequest, strategy: str, most: int) -> BucketPlan:
    """Return the plan with the details that its options ask for."""
    details = dict(plan.details)
    if request.requests is not None:
        # Curves and folds are of samples that are served as they are.
        return plan
    if request.options.curve:
        details["curve"], details["rules"] = _curves(plan, request, strategy, most)
    if request.options.folds > 1:
        details["unseen"] = _unseen(request, strategy, most)
    return replace(plan, details=details)


def _curves(
    plan: BucketPlan, request: PlanRequest, strategy: str, most: int
) -> tuple[list[list[float]], dict[str, list[list[float]]]]:
    """Return [number of buckets, padding ratio] pairs for the strategy and for every rule."""
    last = max(len(plan.buckets), min(most, len(request.rounded.weights)))
    counts = [count for count in _LADDER if count < last]
    light = request.quick(
        bucket_price=0.0, robust=False, limits=None, buckets_per=None, reachable=None, latency_limit=None
    )
    # A list that the user wrote has one length only.
    shorter = () if strategy == "explicit" else counts
    own = dict(pair for count in shorter if (pair := _point(light, strategy, count)))
    own[len(plan.buckets)] = plan.padding_ratio
    rules = {}
    for rule in RULES:
        points = dict(pair for count in [*counts, last] if (pair := _point(light, rule, count)))
        rules[rule] = [[count, points[count]] for count in sorted(points)]
    return [[count, own[count]] for count in sorted(own)], rules


def _point(request: PlanRequest, strategy: str, count: int) -> tuple[int, float] | None:
    """Return the number of buckets used and the ratio, None where they do not contain all samples."""
    try:
        buckets = choose(request, strategy, count).buckets
    except NoPlanError:
        return None
    names = request.original.variables
    plan = make_plan(request.original, names, buckets, request.model, strategy=strategy, parameters={})
    return (len(plan.buckets), plan.padding_ratio) if plan.coverage >= 1 - request.options.drop_quantile else None


def _unseen(request: PlanRequest, strategy: str, most: int) -> dict[str, float | int]:
    """Plan on all folds but one, score on that one, and sum up."""
    paid = needed = covered = total = 0.0
    for seen, unseen in split_folds(request.original, request.options.folds):
        part, _ = make_request(seen, request.model, request.options, EFFORTS["quick"])
        buckets = choose(part, strategy, most).buckets
        plan = make_plan(seen, seen.variables, buckets, request.model, strategy=strategy, parameters={})
        score = score_buckets(plan.buckets, plan.bucket_costs, unseen.samples, unseen.weights, request.model)
        spent = float(score.hits @ plan.bucket_costs)
        paid, needed = paid + spent, needed + spent / score.padding_ratio
        covered, total = covered + float(score.hits.sum()), total + unseen.total
    ratio = paid / needed if needed > 0 else 1.0
    return {"folds": request.options.folds, "padding_ratio": ratio, "coverage": covered / total if total else 1.0}
