"""From a histogram and options to a scored plan, whatever the strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.planning.costs import CostModel
from scaling_tasks.planning.plan_details import with_details
from scaling_tasks.planning.request.options import PlanOptions
from scaling_tasks.planning.request.request import PlanRequest, make_request
from scaling_tasks.planning.score import evaluated, ratio_of
from scaling_tasks.planning.solver.effort import Effort
from scaling_tasks.planning.solver.product import product_of
from scaling_tasks.planning.strategies.batches import fold_batches
from scaling_tasks.planning.strategies.registry import choose
from scaling_tasks.shapes.dataset_statistics import Column, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["plan_histogram", "plan_request", "plan_requests"]


def plan_histogram(
    histogram: ShapeHistogram,
    strategy: str,
    max_buckets: int | str,
    model: CostModel,
    options: PlanOptions,
    *,
    effort: Effort | None = None,
    digest: str | None = None,
    warnings: tuple[str, ...] = (),
    columns: Mapping[str, Column] | None = None,
    requests: ItemRequests | None = None,
) -> BucketPlan:
    """Return the scored plan of a strategy.

    Args:
        histogram: The samples.
        strategy: A name out of the registry.
        max_buckets: Largest number of buckets, or ``auto``.
        model: The cost model.
        options: Checked options.
        effort: How much work may be done for several variables.
        digest: Digest of the statistics, the histogram's own by default.
        warnings: Put in front of the plan's own.
        columns: What MindOCR's statistics look at, per variable, in place of the histogram's columns.
        requests: Requests of many items that may be cut into batches, in place of one sample each.

    Raises:
        PlanError: Nothing can be covered, or the options do not fit the samples or the strategy.
    """
    request, notes = make_request(histogram, model, options, effort, columns, requests)
    most = fewest_buckets(request, strategy) if max_buckets == "auto" else int(max_buckets)
    plan = plan_request(request, strategy, most, digest=digest, warnings=(*warnings, *notes))
    return with_details(plan, request, strategy, most)


def plan_requests(
    requests: ItemRequests,
    variables: tuple[str, ...],
    max_buckets: int | str,
    model: CostModel,
    options: PlanOptions,
    digest: str | None = None,
    strategy: str = "optimal",
) -> BucketPlan:
    """Return the plan for requests that may be cut into batches.

    The padding ratio is relative to serving every request at least cost with every batch choice at every exact size.

    Args:
        requests: The requests.
        variables: Names of the bucket columns, the batch among them.
        max_buckets: Largest number of buckets, or ``auto``.
        model: Cost of running a bucket once.
        options: Checked options.
        digest: Digest of the statistics.
        strategy: A name out of the registry.

    Raises:
        PlanError: There is no item, none fits, or the options cannot be combined with requests.
    """
    batch = str(batch_variable(variables))
    names = (batch, *requests.variables)
    weights = None if requests.weights is None else requests.weights[requests.counts > 0]
    observed = ShapeHistogram.from_samples(requests.batches(), weights, names).project(variables)
    allowed = (options.choices or {}).get(batch)
    if allowed:
        observed, _ = fold_batches(observed, batch, max(allowed))
    return plan_histogram(observed, strategy, max_buckets, model, options, digest=digest, requests=requests)


def plan_request(
    request: PlanRequest, strategy: str, most: int, *, digest: str | None = None, warnings: tuple[str, ...] = ()
) -> BucketPlan:
    """Return the scored plan of a strategy for at most ``most`` buckets."""
    choice = choose(request, strategy, most)
    buckets = filled(choice.buckets, request, most)
    notes = list(warnings)
    if choice.thinned:
        notes.append("The candidates were thinned, so that the optimum may not be among them; the bound holds for all.")
    plan = evaluated(request, replace(choice, buckets=buckets), strategy, most, digest, tuple(notes))
    return _warned(plan, request.options)


def fewest_buckets(request: PlanRequest, strategy: str) -> int:
    """Return the number of buckets for ``max_buckets="auto"``.

    With ``target_padding`` the fewest that reach it, found by doubling and bisection (exact where the ratio falls with
    every further bucket, as an optimum's does); with a price alone, no limit: the price decides.

    Raises:
        PlanError: The target is out of reach; the message says what can be reached.
    """
    target, limit = request.options.target_padding, len(request.rounded.weights)
    if target is None:
        return max(limit, request.options.min_buckets)
    high = 1
    while high < limit and ratio_of(request, strategy, high) > target:
        high = min(limit, 2 * high)
    reached = ratio_of(request, strategy, high)
    if reached > target:
        raise PlanError(
            f"a padding ratio of {target} is out of reach: {high} buckets give {reached:.4f}",
            where="target_padding",
            fix="Raise it, or lower the interval.",
        )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if ratio_of(request, strategy, middle) > target:
            low = middle
        else:
            high = middle
    return max(high, request.options.min_buckets)


def filled(buckets: NDArray[np.int64], request: PlanRequest, most: int) -> NDArray[np.int64]:
    """Return the buckets with neighbours added until there are as many as the platform takes at least.

    Raises:
        PlanError: The allowed sizes give fewer.
    """
    fewest = request.options.min_buckets
    rows = np.unique(np.asarray(buckets, dtype=np.int64), axis=0)
    for column in reversed(range(rows.shape[1])):
        if len(rows) >= fewest:
            break
        rows = _widened(rows, column, request, fewest, most)
    if len(rows) < fewest:
        raise PlanError(
            f"the allowed sizes give {len(rows)} buckets here, but the platform takes no fewer than {fewest}",
            where="min_buckets",
            fix="Lower the interval, or allow more sizes.",
        )
    return rows


def _widened(rows: NDArray[np.int64], column: int, request: PlanRequest, fewest: int, most: int) -> NDArray[np.int64]:
    """Return the rows with others of the largest one that differ in one column; as a product where it must be one."""
    base = rows[np.lexsort(rows.T[::-1])[-1]]
    sizes = _allowed_near(request, column, int(base[column]), fewest)
    for size in sizes:
        if len(rows) >= fewest:
            break
        wanted = np.asarray([[*base[:column], size, *base[column + 1 :]]])
        if not request.caps.allowed(wanted, request.model).all():
            continue
        if request.options.product:
            lists = [np.unique(values) for values in rows.T]
            lists[column] = np.unique([*lists[column].tolist(), size])
            wider = product_of(lists)
        else:
            wider = np.unique(np.vstack([rows, wanted]), axis=0)
        rows = wider if len(wider) <= most else rows
    return rows


def _allowed_near(request: PlanRequest, column: int, base: int, count: int) -> list[int]:
    """Return allowed sizes of a variable near ``base``, the smaller ones first, no forced largest one exceeded."""
    allowed = request.lattice.allowed[column]
    if allowed.choices:
        sizes = list(allowed.choices)
    else:
        low = -(-allowed.low // allowed.interval) * allowed.interval
        end = base + allowed.interval * (count + 1) if allowed.largest is None else allowed.largest
        first = max(low, base - allowed.interval * (count + 1))
        sizes = list(range(first, min(end, base + allowed.interval * (count + 1)) + 1, allowed.interval))
        sizes += [allowed.end] if allowed.end is not None else []
    return sorted((size for size in sizes if size != base), key=lambda size: (size > base, abs(size - base)))


def _binding(plan: BucketPlan) -> list[str]:
    """Return one sentence for each limit or cap that binds: what relaxing it would give."""
    limits = [
        f"The limit {row['name']} binds: one more of it would save about {row['one_more_saves']:.4g} of Σ weight·cost."
        for row in plan.details.get("limits", [])
        if row["binds"]
    ]
    caps = [
        f"The cap {row['name']} binds: without it the padding ratio would be {row['ratio_without']:.4f}."
        for row in plan.details.get("caps", [])
        if row["binds"]
    ]
    return [*limits, *caps]


def _warned(plan: BucketPlan, options: PlanOptions) -> BucketPlan:
    plan = replace(plan, warnings=(*plan.warnings, *_binding(plan)))
    allowance = options.drop_quantile + 1e-12
    if plan.coverage >= 1 - allowance or any("oversize" in note for note in plan.warnings):
        return plan
    note = f"No bucket contains {1 - plan.coverage:.2%} of the samples; they are left to the oversize policy."
    return replace(plan, warnings=(*plan.warnings, note))
