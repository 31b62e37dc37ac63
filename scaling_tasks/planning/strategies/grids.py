"""Rules of thumb as strategies: the rule on each variable alone, and the best grid of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import CostModel, cost_of
from scaling_tasks.planning.request.lattice import Lattice
from scaling_tasks.planning.request.request import Choice, PlanRequest
from scaling_tasks.planning.solver.product import product_of, splits
from scaling_tasks.planning.strategies.rules_of_thumb import RULES

__all__ = ["choose_by_rule", "rule_buckets"]

_OWN = ("min_size", "pad_percent", "pad_max")


def choose_by_rule(name: str) -> Callable[[PlanRequest, int], Choice]:
    """Return the strategy of a rule, a key of ``RULES``."""

    def choose(request: PlanRequest, most: int) -> Choice:
        given = {option: getattr(request.options, option) for option in _OWN}
        options = {option: value for option, value in given.items() if value is not None}
        samples, weights = request.rounded.samples, request.rounded.weights
        if request.top is not None:
            # The headroom takes part as one more observed size, of no weight.
            samples, weights = np.vstack([samples, request.top]), np.append(weights, 0.0)
        return Choice(rule_buckets(name, samples, weights, request.model, most, request.lattice, options))

    choose.__doc__ = RULES[name].__doc__
    return choose


def rule_buckets(
    name: str,
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most: int,
    lattice: Lattice,
    options: Mapping[str, float] | None = None,
) -> NDArray[np.int64]:
    """Return the buckets that a rule chooses, int64 [k, d], at most ``most``.

    With several variables every way to split the number among them is tried and the cheapest kept, which is more
    than the systems that use the rules do.

    Args:
        name: A key of ``RULES``.
        samples: Distinct samples rounded up to the lattice, int64 [n, d].
        weights: float64 [n].
        model: The cost model.
        most: Largest number of buckets.
        lattice: What sizes are allowed.
        options: The rule's own options.
    """
    columns = [_marginal(column, weights) for column in samples.T]
    best: tuple[float, NDArray[np.int64]] | None = None
    for counts in splits(most, [len(sizes) for sizes, _ in columns]):
        lists = []
        for (sizes, mass), count, allowed in zip(columns, counts, lattice.allowed, strict=True):
            step = {"step": allowed.interval, **(options or {})}
            values = np.asarray(RULES[name](sizes, mass, count, step), dtype=np.int64)
            lists.append(np.unique(allowed.round(allowed.within(values))))
        served = np.stack([v[np.searchsorted(v, c)] for v, c in zip(lists, samples.T, strict=True)], axis=1)
        total = float(cost_of(model, served) @ weights)
        if best is None or total < best[0]:
            best = (total, product_of(lists))
    return best[1] if best else samples[:0]


def _marginal(column: NDArray[np.int64], weights: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    sizes, inverse = np.unique(column, return_inverse=True)
    mass: NDArray[np.float64] = np.zeros(len(sizes))
    np.add.at(mass, inverse.ravel(), weights)
    return sizes, mass
