"""Limits on what all buckets together may take: bytes, compile seconds, anything that each bucket has some of.

Each limit Σ a(bucket) ≤ A is relaxed with a multiplier: a price per byte (second, …) that is raised until the cheapest
choice keeps to the limit. For every multiplier, the bound of the priced problem less multiplier·A is a bound of the
limited one, since whatever keeps to the limit pays at most that. The multiplier says what one more byte would save.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import Price, cost_of, prices_of
from scaling_tasks.planning.request.request import Choice, NoPlanError, PlanRequest, problem_of
from scaling_tasks.planning.solver.effort import EFFORTS, Effort
from scaling_tasks.planning.solver.problem import Problem, Solution
from scaling_tasks.planning.solver.solve import solve

__all__ = ["limited_choice"]

_STEPS = 14
# Most sizes of a variable of which only so many buckets may have one.
_SIZES = 64


@dataclass(frozen=True, eq=False)
class _Limits:
    """What each bucket takes, and the most that all may take together, by name."""

    taken: Mapping[str, Price]
    most: Mapping[str, float]

    @classmethod
    def of(cls, request: PlanRequest) -> _Limits:
        limits: dict[str, Any] = {**(request.options.limits or {}), **_shared(request)}
        for name, pair in limits.items():
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not (callable(pair[0]) or pair[0] >= 0):
                fix = "Give what one bucket takes (a number, or a function of shapes) and the most of all together."
                raise PlanError(f"{pair!r} is no limit", where=f"limits.{name}", fix=fix)
        return cls(
            {name: pair[0] for name, pair in limits.items()}, {name: float(pair[1]) for name, pair in limits.items()}
        )

    def used(self, buckets: NDArray[np.int64]) -> dict[str, float]:
        return {name: float(prices_of(taken, buckets).sum()) for name, taken in self.taken.items()}

    def excess(self, buckets: NDArray[np.int64]) -> float:
        """Return by how much limits are exceeded, in shares of each, all together."""
        return sum(max(0.0, used / max(self.most[name], 1e-300) - 1) for name, used in self.used(buckets).items())

    def kept(self, buckets: NDArray[np.int64]) -> bool:
        return all(used <= self.most[name] * (1 + 1e-12) for name, used in self.used(buckets).items())


def limited_choice(request: PlanRequest, most: int) -> Choice:
    """Return the best choice found that keeps to all limits; its details say which binds, and what one more would save.

    Raises:
        PlanError: A limit that is none, or that no plan keeps to.
    """
    limits = _Limits.of(request)
    search = _Search(request, most, limits)
    multipliers = dict.fromkeys(limits.most, 0.0)
    search.look(multipliers, EFFORTS["quick"])
    for _ in range(2):
        for name in limits.most:
            multipliers[name] = search.raised(multipliers, name)
    chosen = search.look(multipliers, request.effort)
    if search.best is None:
        search.merged(chosen)
    if search.best is None:
        least = ", ".join(f"{name} {used:g}" for name, used in search.least.items())
        raise NoPlanError(
            f"no plan was found within the limits (the least was {least})", where="limits", fix="Raise them."
        )
    used = limits.used(search.best)
    rows = [
        {"name": name, "used": used[name], "most": limits.most[name], "binds": rate > 0, "one_more_saves": rate}
        for name, rate in multipliers.items()
    ]
    bound = search.bound if request.certain and np.isfinite(search.bound) else None
    return Choice(search.best, bound, details={"limits": rows})


def _shared(request: PlanRequest) -> dict[str, tuple[Price, float]]:
    """Return ``buckets_per`` as limits: of each size of the variable, the buckets that have it."""
    found: dict[str, tuple[Price, float]] = {}
    for name, most in (request.options.buckets_per or {}).items():
        if name not in request.variables:
            fix = f"There are {list(request.variables)}."
            raise PlanError(f"{name!r} is no variable", where="buckets_per", fix=fix)
        column = request.variables.index(name)
        sizes = request.lattice.allowed[column].choices or _sizes(request, column)
        if len(sizes) > _SIZES:
            raise PlanError(
                f"{name!r} has {len(sizes)} sizes, more than {_SIZES}",
                where=f"buckets_per.{name}",
                fix="Name a variable of few sizes, such as the batch.",
            )
        for size in sizes:
            found[f"{name}={size}"] = (_having(column, size), float(most))
    return found


def _sizes(request: PlanRequest, column: int) -> tuple[int, ...]:
    more = request.axes[column] if request.axes is not None else request.rounded.samples[:0, column]
    top = [] if request.top is None else [request.top[column]]
    return tuple(np.unique(np.concatenate([request.rounded.samples[:, column], more, top])).astype(int).tolist())


def _having(column: int, size: int) -> Price:
    return lambda shapes: (shapes[:, column] == size).astype(np.float64)


class _Search:
    """The choices looked at so far, the best of those that keep to the limits, and the best bound."""

    def __init__(self, request: PlanRequest, most: int, limits: _Limits) -> None:
        self._request, self._most, self._limits = request, most, limits
        self.best: NDArray[np.int64] | None = None
        self.total, self.bound = np.inf, -np.inf
        self.least: dict[str, float] = {}

    def look(self, multipliers: Mapping[str, float], effort: Effort) -> NDArray[np.int64]:
        """Return the choice at some multipliers."""
        problem = self._priced(multipliers)
        starts = [] if self.best is None or problem.dimensions == 1 else [self.best]
        found = solve(problem, effort, starts)
        self._note(found, multipliers)
        return found.chosen

    def raised(self, multipliers: Mapping[str, float], name: str) -> float:
        """Return the least multiplier found for one limit at which it is kept."""
        within = self._limits.most[name] * (1 + 1e-12)

        def used(rate: float) -> float:
            chosen = self.look({**multipliers, name: rate}, EFFORTS["quick"])
            return self._limits.used(chosen)[name]

        if used(0.0) <= within:
            return 0.0
        scale = self._cost(self._request.rounded.samples.max(axis=0)[None, :]) / max(self._limits.most[name], 1e-300)
        low, high = 0.0, 1e-6 * scale
        while used(high) > within:
            low, high = high, high * 8
            if high > 1e12 * scale:
                return high
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if used(middle) <= within else (middle, high)
        return high

    def merged(self, buckets: NDArray[np.int64]) -> None:
        """Join two buckets at a time, those that come nearest to the limits at least cost, until all are kept."""
        while len(buckets) > 1 and not self._limits.kept(buckets):
            trials = []
            for first, second in itertools.combinations(range(len(buckets)), 2):
                joined = np.maximum(buckets[first], buckets[second])
                trial = np.unique(np.vstack([np.delete(buckets, (first, second), axis=0), joined]), axis=0)
                trials.append((self._limits.excess(trial), self._cost(trial), trial))
            buckets = min(trials, key=lambda trial: trial[:2])[2]
        self._keep(buckets)

    def _cost(self, buckets: NDArray[np.int64]) -> float:
        """Return Σ weight·cost over the samples, each in the cheapest of the buckets."""
        request = self._request
        costs, served = cost_of(request.planned, buckets), np.full(len(request.rounded.samples), np.inf)
        for bucket, cost in zip(buckets, costs.tolist(), strict=True):
            inside = (request.rounded.samples <= bucket).all(axis=1)
            np.minimum(served, cost, out=served, where=inside)
        return float((served * request.rounded.weights).sum())

    def _priced(self, multipliers: Mapping[str, float]) -> Problem:
        request, limits = self._request, self._limits

        def price(shapes: NDArray[np.int64]) -> NDArray[np.float64]:
            extra = prices_of(request.options.bucket_price, shapes)
            for name, rate in multipliers.items():
                if rate > 0:
                    extra = extra + rate * prices_of(limits.taken[name], shapes)
            return extra

        plain = problem_of(request, self._most)
        return Problem(plain.points, plain.weights, plain.cost, plain.most, price, plain.forced, plain.axes)

    def _keep(self, buckets: NDArray[np.int64]) -> None:
        if self._limits.kept(buckets):
            total = self._cost(buckets) + float(prices_of(self._request.options.bucket_price, buckets).sum())
            if total < self.total:
                self.best, self.total = buckets, total

    def _note(self, found: Solution, multipliers: Mapping[str, float]) -> None:
        price = self._request.options.bucket_price
        used = self._limits.used(found.chosen)
        if not self.least or sum(used.values()) < sum(self.least.values()):
            self.least = used
        self._keep(found.chosen)
        if found.bound is not None and not callable(price):
            allowance = sum(rate * self._limits.most[name] for name, rate in multipliers.items())
            paid = price * max(self._most, self._request.options.min_buckets)
            self.bound = max(self.bound, found.bound - allowance - paid)
