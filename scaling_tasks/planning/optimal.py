"""The strategy ``optimal``: exact in one variable, certified in several, a product of lists where needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.planning.costs import CostFunction, CostModel, cost_of, prices_of
from scaling_tasks.planning.line import cut_line, suffix_minimum
from scaling_tasks.planning.product import choose_product
from scaling_tasks.planning.rectangles import Effort, choose_rectangles

__all__ = ["Choice", "choose_buckets"]


@dataclass(frozen=True, eq=False)
class Choice:
    """Chosen buckets.

    Attributes:
        buckets: int64 [k, d].
        bound: Proven lower bound of Σ w·cost(bucket chosen) over the samples for as many buckets; None where none is
            known.
        thinned: Whether candidates were thinned, so that the optimum may not be among them.
    """

    buckets: NDArray[np.int64]
    bound: float | None
    thinned: bool = False


def choose_buckets(
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most: int,
    *,
    price: float | CostFunction = 0.0,
    top: Sequence[int] | None = None,
    product: bool = False,
    starts: Sequence[NDArray[np.int64]] = (),
    effort: Effort | None = None,
) -> Choice:
    """Return at most ``most`` buckets that contain all samples at least total cost.

    Args:
        samples: Distinct samples, already rounded up to what buckets may be, int64 [n, d].
        weights: Positive weights, float64 [n].
        model: The cost model.
        most: Largest number of buckets.
        price: Price of each bucket in the unit of Σ w·cost: one number, or a function of shapes as a cost is.
        top: A bucket that must be chosen; it contains every sample.
        product: Whether buckets must be the product of one list per variable.
        starts: Other solutions, for several variables; the result is never worse.
        effort: How much work may be done for several variables.
    """
    if samples.shape[1] == 1:
        return _on_a_line(samples[:, 0], weights, model, most, price, top)
    if product:
        buckets = choose_product(samples, weights, model, most, price=price, top=top)
        quick = replace(effort or Effort(), shakes=0, exact=0)
        free = choose_rectangles(samples, weights, model, len(buckets), top=top, effort=quick)
        return Choice(buckets, free.bound, free.thinned)
    found = choose_rectangles(samples, weights, model, most, price=price, top=top, starts=starts, effort=effort)
    # With one price for all, what is left for serving is bounded too; the prices of the best buckets are unknown.
    bound = None if callable(price) else found.bound - price * len(found.buckets)
    return Choice(found.buckets, bound, found.thinned)


def _on_a_line(
    sizes: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
    most: int,
    price: float | CostFunction,
    top: Sequence[int] | None,
) -> Choice:
    order = np.argsort(sizes, kind="stable")
    values, mass = sizes[order], weights[order]
    if top is not None and top[0] > values[-1]:
        values, mass = np.append(values, int(top[0])), np.append(mass, 0.0)
    costs, attained = suffix_minimum(cost_of(model, values[:, None]))
    if callable(price):
        cuts = cut_line(mass, costs, most, prices_of(price, values[attained][:, None]))
        return Choice(values[np.unique(attained[cuts.ends(len(cuts.curve))])][:, None], None)
    cuts = cut_line(mass, costs, most)
    counts = 1 + int(np.argmin(cuts.curve + price * np.arange(1, len(cuts.curve) + 1)))
    ends = np.unique(attained[cuts.ends(counts)])
    return Choice(values[ends][:, None], float(cuts.curve[counts - 1]))
