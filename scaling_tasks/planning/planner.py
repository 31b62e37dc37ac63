"""From a histogram and options to a scored plan, whatever the strategy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import CostModel, cost_of
from scaling_tasks.planning.count import fewest_buckets
from scaling_tasks.planning.insight import with_insight
from scaling_tasks.planning.optimal import Choice
from scaling_tasks.planning.options import PlanOptions
from scaling_tasks.planning.plan import BucketPlan, make_plan
from scaling_tasks.planning.rectangles import Effort
from scaling_tasks.planning.strategies import choose
from scaling_tasks.planning.task import Task, dropped, make_task
from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["plan_histogram", "plan_task"]


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
    columns: Mapping[str, ShapeHistogram] | None = None,
) -> BucketPlan:
    """Return the scored plan of a strategy.

    Args:
        histogram: The samples.
        strategy: A name out of ``STRATEGIES``.
        max_buckets: Largest number of buckets, or ``auto``.
        model: The cost model.
        options: Checked options.
        effort: How much work may be done for several variables.
        digest: Digest of the statistics, the histogram's own by default.
        warnings: Put in front of the plan's own.
        columns: Samples of single variables that MindOCR's statistics use in place of the histogram's columns.

    Raises:
        PlanError: Nothing can be covered, or the options do not fit the samples.
    """
    task, notes = make_task(histogram, model, options, effort)
    task = replace(task, columns=dict(columns or {}))
    most = fewest_buckets(task, strategy) if max_buckets == "auto" else int(max_buckets)
    plan = plan_task(task, strategy, most, digest=digest, warnings=(*warnings, *notes))
    return with_insight(plan, task, strategy, most)


def plan_task(
    task: Task, strategy: str, most: int, *, digest: str | None = None, warnings: tuple[str, ...] = ()
) -> BucketPlan:
    """Return the scored plan of a strategy for at most ``most`` buckets."""
    options, variables = task.options, task.original.variables
    choice = choose(task, strategy, most)
    buckets = _filled(choice.buckets, options.min_buckets, task)
    notes = list(warnings)
    if choice.thinned:
        notes.append("The candidates were thinned, so that the optimum may not be among them; the bound holds for all.")
    plan = make_plan(
        task.original,
        variables,
        buckets,
        task.model,
        strategy=strategy,
        parameters={"max_buckets": most, **options.parameters()},
        bound=_bound(task, choice, len(buckets)),
        digest=digest,
        warnings=tuple(notes),
    )
    return _warned(plan, options)


def _bound(task: Task, choice: Choice, count: int) -> tuple[float, float] | None:
    if choice.bound is None or count > len(choice.buckets):
        return None
    needed = cost_of(task.model, task.original.samples)
    kept = _must_cover(task)
    return choice.bound, float(needed[kept] @ task.original.weights[kept])


def _must_cover(task: Task) -> NDArray[np.bool_]:
    servable: NDArray[np.bool_] = task.lattice.round(task.original.samples)[1]
    return servable & ~dropped(task.original, task.model, task.options.drop_quantile)


def _filled(buckets: NDArray[np.int64], fewest: int, task: Task) -> NDArray[np.int64]:
    """Add neighbours until there are as many buckets as the platform takes at least."""
    found = {tuple(row) for row in np.asarray(buckets, dtype=np.int64).tolist()}
    base = max(found)
    column = len(base) - 1
    allowed = task.lattice.allowed[column]
    sizes = allowed.choices or tuple(
        range(allowed.interval, base[column] + allowed.interval * (fewest + 1), allowed.interval)
    )
    order = sorted(sizes, key=lambda size: (size > base[column], abs(size - base[column])))
    for size in order:
        if len(found) >= fewest:
            break
        found.add((*base[:column], size))
    return np.asarray(sorted(found), dtype=np.int64).reshape(-1, len(base))


def _warned(plan: BucketPlan, options: PlanOptions) -> BucketPlan:
    allowance = options.drop_quantile + 1e-12
    if plan.coverage >= 1 - allowance or any("oversize" in note for note in plan.warnings):
        return plan
    note = f"No bucket contains {1 - plan.coverage:.2%} of the samples; they are left to the oversize policy."
    return replace(plan, warnings=(*plan.warnings, note))
