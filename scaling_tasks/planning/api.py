"""The public functions of planning."""

from __future__ import annotations

from typing import Any

from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.planning.costs import CostFunction, CostModel, as_cost_model
from scaling_tasks.planning.planner import plan_histogram
from scaling_tasks.planning.request.options import make_options
from scaling_tasks.planning.strategies.registry import find_strategy
from scaling_tasks.planning.target import plan_statistics
from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["plan_buckets", "plan_statistics"]


def plan_buckets(
    hist: ShapeHistogram,
    strategy: str = "optimal",
    max_buckets: int | str = 8,
    interval: int | dict[str, int] = 1,
    cost: str | CostModel | CostFunction = "elements",
    **strategy_options: Any,
) -> BucketPlan:
    """Return the buckets of a strategy for these samples, with their score.

    The padding ratio is relative to the samples as they are; buckets are multiples of ``interval``. Where fewer
    buckets do as well, fewer are returned; an ``interval`` above the largest sample gives one bucket of that size.

    Args:
        hist: The samples.
        strategy: ``optimal``, ``mean_std``, ``max_min``, ``segments``, ``explicit`` or a rule: ``equal_parts``,
            ``nncase``, ``quantiles``, ``powers_of_two``, ``geometric``, ``padding_limited``, ``equal_mass``.
        max_buckets: Largest number of buckets, or ``auto`` with ``target_padding`` or ``bucket_price``.
        interval: One multiple for all variables, or one per variable.
        cost: ``elements``, a ``CostModel``, or a callable ``int array [n, d] -> float array [n]``.
        **strategy_options: See ``PlanOptions``.

    Raises:
        PlanError: Options out of range, or samples that cannot be covered.
    """
    find_strategy(strategy)
    options = make_options(max_buckets, {"interval": interval, **strategy_options})
    return plan_histogram(hist, strategy, max_buckets, as_cost_model(cost), options)
