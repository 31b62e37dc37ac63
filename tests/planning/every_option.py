"""Random small instances of every combination of options, each against all plans there are.

Usage: python -m tests.planning.every_option [--instances 200000] [--first 0]
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.planning.request.lattice import make_lattice
from scaling_tasks.shapes.histogram import ShapeHistogram
from tests.planning.brute import RandomCost

# Largest size and most samples by the number of variables, so that all plans can be tried.
_SIDES, _SAMPLES = (9, 6, 4, 3), (7, 5, 4, 3)
_SETS = 1_500
Shapes = NDArray[np.int64]


@dataclass(frozen=True)
class Instance:
    """One instance.

    Attributes:
        histogram: The samples.
        most: Largest number of buckets.
        cost: The cost function.
        options: Options of ``plan_buckets``.
        sizes: Per variable, every size that a bucket may have.
    """

    histogram: ShapeHistogram
    most: int
    cost: Callable[[Shapes], NDArray[np.float64]]
    options: dict[str, Any]
    sizes: list[NDArray[np.int64]]


def make_instance(seed: int) -> Instance:
    """Return the instance of a seed: 1 to 4 variables, and every option by its own coin."""
    random = np.random.default_rng(seed)
    variables = int(random.integers(1, 5))
    side = _SIDES[variables - 1]
    samples = random.integers(1, side + 1, (int(random.integers(1, _SAMPLES[variables - 1] + 1)), variables))
    weights = random.integers(1, 9, len(samples)) * random.choice([1.0, 0.5])
    histogram = ShapeHistogram.from_samples(samples, weights)
    options: dict[str, Any] = {"effort": str(random.choice(["quick", "normal"]))}
    if variables > 1 and random.random() < 0.2:
        options["product"] = True
    if random.random() < 0.25:
        options["interval"] = int(random.integers(2, 4))
    if random.random() < 0.2:
        options["choices"] = {histogram.variables[0]: [2, int(random.integers(side, side + 2))]}
    if random.random() < 0.25:
        options["ranges"] = {histogram.variables[-1]: (int(random.integers(1, 3)), side)}
    if random.random() < 0.2:
        options["ends"] = {histogram.variables[-1]: int(random.integers(max(1, side - 3), side + 3))}
    if random.random() < 0.25:
        options["drop_quantile"] = float(random.choice([0.1, 0.3, 0.5]))
    if random.random() < 0.25:
        options["headroom"] = 1.3 if random.random() < 0.5 else {histogram.variables[0]: side + 1}
    cost = _cost(random, seed, variables)
    needed = float(np.asarray(cost(histogram.samples)) @ histogram.weights)
    if random.random() < 0.3:
        price = float(random.choice([0.05, 0.2, 1.0])) * needed
        options["bucket_price"] = price if random.random() < 0.6 else _price(price)
    if random.random() < 0.2:
        options["min_buckets"] = 2
    most = int(random.integers(options.get("min_buckets", 1), 4 if variables < 3 else 3))
    if "product" not in options and random.random() < 0.4:
        _constrain(random, options, histogram, needed, side)
    return Instance(histogram, most, cost, options, _sizes(histogram, options, side))


def _constrain(
    random: np.random.Generator, options: dict[str, Any], histogram: ShapeHistogram, needed: float, side: int
) -> None:
    """Add limits on all buckets, caps on each, or a plan for unseen samples."""
    names, kind = histogram.variables, int(random.choice([0, 0, 1, 1, 2, 2, 2, 3, 4, 4]))
    whole = float(np.prod(histogram.samples.max(axis=0)))
    if kind in (0, 4):
        largest, share = histogram.samples.max(axis=0), float(random.uniform(0.4, 1.6))
        text, most = ("*".join(names), whole) if random.random() < 0.5 else ("+".join(names), float(largest.sum()))
        options["reachable"] = {text: max(1.0, share * most)}
    if kind in (1, 4):
        options["latency_limit"] = float(random.uniform(0.3, 3)) * needed / histogram.total
    if kind == 2 and "min_buckets" not in options:
        # Each bucket takes something by itself and something by its size, so that larger ones take more.
        options["limits"] = {"bytes": (_bytes, float(random.uniform(1.0, 2.5)) * (10 + whole)), "count": (1.0, 2.0)}
        if random.random() < 0.5:
            options["buckets_per"] = {names[0]: int(random.integers(1, 3))}
    if kind == 3:
        options["robust"] = True


def _bytes(shapes: Shapes) -> NDArray[np.float64]:
    return 10.0 + np.asarray(shapes, dtype=float).prod(axis=1)


def _allowed(options: dict[str, Any], shapes: Shapes, costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return whether caps allow each shape."""
    allowed = np.ones(len(shapes), dtype=bool)
    for text, most in options.get("reachable", {}).items():
        allowed &= (shapes.sum(axis=1) if "+" in text else shapes.prod(axis=1)) <= most
    return allowed & (costs <= options.get("latency_limit", np.inf) * (1 + 1e-12))


def _within(options: dict[str, Any], grid: Shapes, sets: Shapes) -> NDArray[np.bool_]:
    """Return whether each set of shapes, given by index, keeps to the limits on all of them."""
    good = np.ones(len(sets), dtype=bool)
    for taken, most in options.get("limits", {}).values():
        each = taken(grid) if callable(taken) else np.full(len(grid), taken)
        good &= each[sets].sum(axis=1) <= most * (1 + 1e-12)
    for most in options.get("buckets_per", {}).values():
        first = grid[sets][:, :, 0]
        good &= (first[:, :, None] == first[:, None, :]).sum(axis=2).max(axis=1) <= most
    return good


def _cost(random: np.random.Generator, seed: int, variables: int) -> Callable[[Shapes], NDArray[np.float64]]:
    kind = random.integers(0, 4)
    if kind == 0:
        return lambda shapes: np.asarray(shapes, dtype=float).prod(axis=1)
    if kind == 1:
        return RandomCost(seed, variables, 2 * _SIDES[variables - 1] + 6)
    if kind == 2:
        return lambda shapes: 3.0 + np.asarray(shapes, dtype=float).prod(axis=1) ** 1.2
    # Aligned shapes are cheaper: the cost falls along every variable.
    return lambda shapes: np.where(np.asarray(shapes) % 3 == 0, shapes, 1.6 * np.asarray(shapes)).prod(axis=1)


def _price(price: float) -> Callable[[Shapes], NDArray[np.float64]]:
    return lambda shapes: price * (1 + np.asarray(shapes, dtype=float).sum(axis=1) % 3) / 2


def _sizes(histogram: ShapeHistogram, options: dict[str, Any], side: int) -> list[NDArray[np.int64]]:
    found = []
    for name in histogram.variables:
        if name in options.get("choices", {}):
            choices = np.unique([1, *options["choices"][name]])
            found.append(choices[choices <= options.get("ends", {}).get(name, side + 3)])
            continue
        step, (low, high) = options.get("interval", 1), options.get("ranges", {}).get(name, (1, side))
        limit = -(-high // step) * step if name in options.get("ranges", {}) else -(-(side + 3) // step) * step
        sizes = np.arange(-(-low // step) * step, limit + 1, step)
        if (end := options.get("ends", {}).get(name)) is not None:
            sizes = np.union1d(sizes[sizes <= end], [end])[: None if end <= limit else -1]
        found.append(sizes)
    return found


def check(seed: int) -> str:
    """Return what is wrong with the plan of an instance; empty where nothing is."""
    instance = make_instance(seed)
    histogram, options, cost = instance.histogram, instance.options, instance.cost
    try:
        plan = plan_buckets(histogram, "optimal", instance.most, cost=cost, **options)
    except PlanError as error:
        allowed = (
            "above the allowed",
            "more than is allowed",
            "buckets here",
            "every combination",
            "may be as large",
            "no plan was found",
        )
        return "" if any(text in str(error) for text in allowed) else f"refused: {error}"
    grid = np.asarray(list(itertools.product(*instance.sizes)), dtype=np.int64)
    grid = grid[_allowed(options, grid, np.asarray(cost(grid), dtype=float))]
    own = np.asarray(cost(plan.buckets), dtype=float)
    everything = np.arange(len(plan.buckets))[None, :]
    if not _allowed(options, plan.buckets, own).all() or not _within(options, plan.buckets, everything).all():
        return f"{plan.buckets.tolist()} keep to no limit"
    lattice = make_lattice(
        histogram.variables, options.get("interval", 1), *(options.get(name) for name in ("choices", "ranges", "ends"))
    )
    if not (lattice.round(plan.buckets)[0] == plan.buckets).all():
        return f"{plan.buckets.tolist()} are not all allowed"
    if len(plan.buckets) > instance.most or len(plan.buckets) < options.get("min_buckets", 1):
        return f"{len(plan.buckets)} buckets"
    return _against_all(instance, plan, grid)


def _against_all(instance: Instance, plan: BucketPlan, grid: Shapes) -> str:
    """Compare with every set of at most as many buckets as the plan has that covers what must be covered."""
    histogram, options = instance.histogram, instance.options
    own = np.asarray(instance.cost(histogram.samples), dtype=float)
    costs = np.asarray(instance.cost(grid), dtype=float)
    inside = (histogram.samples[:, None, :] <= grid[None, :, :]).all(axis=2)
    must = _must(instance, own, inside.any(axis=1))
    served = np.where(inside, costs[None, :], np.inf)
    price = options.get("bucket_price", 0.0)
    prices = np.asarray(price(grid), dtype=float) if callable(price) else np.full(len(grid), price)
    count, best, lowest = len(plan.buckets), np.inf, np.inf
    for size in range(1, instance.most + 1):
        sets = _some_sets(len(grid), size)
        if options.get("product"):
            rows = grid[sets]
            lists = [
                (np.diff(np.sort(rows[:, :, column], axis=1), axis=1) > 0).sum(axis=1) + 1
                for column in range(rows.shape[2])
            ]
            sets = sets[np.prod(lists, axis=0) == size]
        sets = sets[_within(options, grid, sets)]
        if not len(sets):
            continue
        paid = np.full((len(sets), len(own)), np.inf)
        for place in range(size):
            paid = np.minimum(paid, served[:, sets[:, place]].T)
        good = np.isfinite(paid[:, must]).all(axis=1)
        paid, sets = paid[good], sets[good]
        if not len(sets):
            continue
        covered = np.isfinite(paid)
        whole = np.where(covered, paid, 0.0) @ histogram.weights
        needed = np.minimum(np.where(covered, own, 0.0), np.where(covered, paid, 0.0)) @ histogram.weights
        if size <= count:
            lowest = min(lowest, float((whole / needed).min()))
        best = min(best, float((paid[:, must] @ histogram.weights[must] + prices[sets].sum(axis=1)).min()))
    if plan.lower_bound is not None and "headroom" not in options and plan.lower_bound > max(1.0, lowest) * (1 + 1e-9):
        return f"the bound is {plan.lower_bound}, {lowest} is reached"
    claimed = plan.lower_bound is not None and plan.lower_bound >= plan.padding_ratio * (1 - 2e-6)
    plain = not {"product", "drop_quantile", "min_buckets", "headroom", "bucket_price", "robust"} & set(options)
    mine = float(
        np.where((histogram.samples[:, None, :] <= plan.buckets[None]).all(axis=2), plan.bucket_costs, np.inf).min(
            axis=1
        )[must]
        @ histogram.weights[must]
    )
    if plain and claimed and mine > best * (1 + 3e-6):
        return f"said to be optimal at {mine}, {best} is reached"
    return ""


def _must(instance: Instance, own: NDArray[np.float64], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which samples must be covered: those that fit some bucket, less those that may be dropped."""
    histogram, options = instance.histogram, instance.options
    lattice = make_lattice(
        histogram.variables, options.get("interval", 1), *(options.get(name) for name in ("choices", "ranges", "ends"))
    )
    rounded = lattice.round(histogram.samples)[0]
    servable = inside & _allowed(options, rounded, np.asarray(instance.cost(rounded), dtype=float))
    gone = np.zeros(len(own), dtype=bool)
    if share := options.get("drop_quantile"):
        order = np.argsort(-own, kind="stable")
        gone[order[histogram.weights[order].cumsum() <= share * histogram.total * (1 + 1e-12)]] = True
    return servable & ~gone if (servable & ~gone).any() else servable


def _some_sets(count: int, size: int) -> Shapes:
    """Return all sets of ``size`` out of ``count``, or some of them where they are very many."""
    random = np.random.default_rng(size)
    if math.comb(count, size) > 20 * _SETS:
        sets = np.sort(random.integers(0, count, (_SETS, size)), axis=1)
        return sets[(np.diff(sets, axis=1) > 0).all(axis=1)]
    sets = np.asarray(list(itertools.combinations(range(count), size)), dtype=np.int64).reshape(-1, size)
    return sets if len(sets) <= _SETS else sets[random.choice(len(sets), _SETS, replace=False)]


def main() -> None:
    """Check many instances; print what is wrong and a count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    wrong = 0
    for done, seed in enumerate(range(options.first, options.first + options.instances), start=1):
        if fault := check(seed):
            wrong += 1
            print(seed, fault, make_instance(seed).options, flush=True)
        if done % 1_000 == 0 or done == options.instances:
            print(f"{done} instances, {wrong} wrong", flush=True)


if __name__ == "__main__":
    main()
