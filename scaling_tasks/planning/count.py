"""How many buckets: the fewest that reach a padding ratio, or as many as their price is worth."""

from __future__ import annotations

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.plan import make_plan
from scaling_tasks.planning.strategies import choose
from scaling_tasks.planning.task import Task

__all__ = ["fewest_buckets", "ratio_of"]


def ratio_of(task: Task, strategy: str, most: int) -> float:
    """Return the padding ratio that a strategy reaches with at most ``most`` buckets."""
    buckets = choose(task, strategy, most).buckets
    names = task.original.variables
    return make_plan(task.original, names, buckets, task.model, strategy=strategy, parameters={}).padding_ratio


def fewest_buckets(task: Task, strategy: str) -> int:
    """Return the number of buckets for ``max_buckets="auto"``.

    With ``target_padding`` the fewest that reach it, found by doubling and bisection (exact where the ratio falls with
    every further bucket, as an optimum's does); with a price alone, no limit: the price decides.

    Raises:
        PlanError: The target is out of reach; the message says what can be reached.
    """
    target, limit = task.options.target_padding, len(task.rounded.weights)
    if target is None:
        return limit
    high = 1
    while high < limit and ratio_of(task, strategy, high) > target:
        high = min(limit, 2 * high)
    reached = ratio_of(task, strategy, high)
    if reached > target:
        raise PlanError(
            f"a padding ratio of {target} is out of reach: {high} buckets give {reached:.4f}",
            where="target_padding",
            fix="Raise it, or lower the interval.",
        )
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if ratio_of(task, strategy, middle) > target:
            low = middle
        else:
            high = middle
    return high
