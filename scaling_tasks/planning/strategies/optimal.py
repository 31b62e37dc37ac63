"""The strategy ``optimal``: exact in one variable, certified in several, a product of lists where needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.request.request import Choice, PlanRequest, problem_of
from scaling_tasks.planning.solver.effort import ONE_BY_ONE
from scaling_tasks.planning.solver.problem import Solution
from scaling_tasks.planning.solver.product import choose_product
from scaling_tasks.planning.solver.solve import solve
from scaling_tasks.planning.strategies.capped import capped_choice
from scaling_tasks.planning.strategies.grids import rule_buckets
from scaling_tasks.planning.strategies.joint import choose_for_requests
from scaling_tasks.planning.strategies.limits import limited_choice
from scaling_tasks.planning.strategies.robust import robust_choice
from scaling_tasks.planning.strategies.rules_of_thumb import RULES

__all__ = ["choose"]


def choose(request: PlanRequest, most: int) -> Choice:
    """Return the buckets of least Σ w·cost (plus prices) that were found, and what no plan can be below."""
    return capped_choice(request, lambda asked: _within_caps(asked, most))


def _within_caps(request: PlanRequest, most: int) -> Choice:
    if request.requests is not None:
        _refuse(request, "requests that are cut into batches", "limits", "buckets_per", "robust")
        return choose_for_requests(request, most)
    if request.options.product:
        _refuse(request, "a product of lists", "limits", "buckets_per", "robust", "reachable", "latency_limit")
    if request.options.limits or request.options.buckets_per:
        _refuse(request, "a plan within limits", "robust")
        return limited_choice(request, most)
    plain = _plain(request, most)
    return robust_choice(request, most, plain) if request.options.robust else plain


def _refuse(request: PlanRequest, what: str, *names: str) -> None:
    for name in names:
        if getattr(request.options, name) not in (None, False):
            raise PlanError(f"it is not minded by {what}", where=name, fix="Leave one of them out.")


def _plain(request: PlanRequest, most: int) -> Choice:
    problem = problem_of(request, most)
    if request.options.product and problem.dimensions > 1:
        # Free buckets cost no more than those of a product.
        return _choice(request, replace(_free(request, most), chosen=choose_product(problem), thinned=False))
    found = solve(problem, request.effort, _rules(request, most))
    price = request.options.bucket_price
    if callable(price):
        # What is left for serving when prices differ is bounded without them.
        return _choice(request, replace(_free(request, most), chosen=found.chosen, thinned=found.thinned))
    # The platform may take no fewer than some number, which are then paid for as well.
    paid = price * max(len(found.chosen), request.options.min_buckets)
    bound, relaxed = (None if value is None else value - paid for value in (found.bound, found.relaxed))
    return _choice(request, replace(found, bound=bound, relaxed=relaxed))


def _rules(request: PlanRequest, most: int) -> list[NDArray[np.int64]]:
    samples, weights = request.rounded.samples, request.rounded.weights
    if samples.shape[1] == 1 or (samples.shape[1] == 2 and most > ONE_BY_ONE and request.options.bucket_price == 0):
        # The solver is exact here, or begins with strips that are cut exactly, which takes less time than the rules.
        return []
    return [rule_buckets(rule, samples, weights, request.planned, most, request.lattice) for rule in RULES]


def _free(request: PlanRequest, most: int) -> Solution:
    effort = replace(request.effort, shakes=0, repairs=0, rounds=0)
    return solve(problem_of(request, most, priced=False), effort)


def _choice(request: PlanRequest, found: Solution) -> Choice:
    bound = found.bound if request.certain else None
    return Choice(found.chosen, bound, found.relaxed if bound is not None else None, found.thinned)
