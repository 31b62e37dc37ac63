"""Limits on what all buckets together may take: bytes, compile seconds, anything that each bucket has some of.

Each limit Σ a(bucket) ≤ A is relaxed with a multiplier: a price per byte (second, …) that is raised until the cheapest
choice keeps to the limit. For every multiplier, the bound of the priced problem less multiplier·A is a bound of the
limited one, since whatever keeps to the limit pays at most that. The multiplier says what one more byte would save.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import Price, cost_of, prices_of
from scaling_tasks.planning.request.request import Choice, Request, problem_of
from scaling_tasks.planning.solver.effort import EFFORTS, Effort
from scaling_tasks.planning.solver.problem import Problem, Solution
from scaling_tasks.planning.solver.solve import solve

__all__ = ["limited_choice"]

_STEPS = 14


@dataclass(frozen=True, eq=False)
class _Limits:
    """What each bucket takes, and the most that all may take together, by name."""

    taken: Mapping[str, Price]
    most: Mapping[str, float]

    @classmethod
    def of(cls, limits: Mapping[str, Any]) -> _Limits:
        for name, pair in limits.items():
            if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not (callable(pair[0]) or pair[0] >= 0):
                fix = "Give what one bucket takes (a number, or a function of shapes) and the most of all together."
                raise PlanError(f"{pair!r} is no limit", where=f"limits.{name}", fix=fix)
        return cls(
            {name: pair[0] for name, pair in limits.items()}, {name: float(pair[1]) for name, pair in limits.items()}
        )

    def used(self, buckets: NDArray[np.int64]) -> dict[str, float]:
        return {name: float(prices_of(taken, buckets).sum()) for name, taken in self.taken.items()}

    def kept(self, buckets: NDArray[np.int64]) -> bool:
        return all(used <= self.most[name] * (1 + 1e-12) for name, used in self.used(buckets).items())


def limited_choice(request: Request, most: int) -> Choice:
    """Return the best choice found that keeps to all limits; its details say which binds, and what one more would save.

    Raises:
        PlanError: A limit that is none, or that no plan keeps to.
    """
    limits = _Limits.of(request.options.limits or {})
    search = _Search(request, most, limits)
    multipliers = dict.fromkeys(limits.most, 0.0)
    search.look(multipliers, EFFORTS["quick"])
    for _ in range(2):
        for name in limits.most:
            multipliers[name] = search.raised(multipliers, name)
    search.look(multipliers, request.effort)
    if search.best is None:
        least = ", ".join(f"{name} {used:g}" for name, used in search.least.items())
        raise PlanError(
            f"no plan was found within the limits (the least was {least})", where="limits", fix="Raise them."
        )
    used = limits.used(search.best)
    rows = [
        {"name": name, "used": used[name], "most": limits.most[name], "binds": rate > 0, "one_more_saves": rate}
        for name, rate in multipliers.items()
    ]
    bound = search.bound if request.certain and np.isfinite(search.bound) else None
    return Choice(search.best, bound, details={"limits": rows})


class _Search:
    """The choices looked at so far, the best of those that keep to the limits, and the best bound."""

    def __init__(self, request: Request, most: int, limits: _Limits) -> None:
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

    def _cost(self, buckets: NDArray[np.int64]) -> float:
        """Return Σ weight·cost over the samples, each in the cheapest of the buckets."""
        request = self._request
        costs, served = cost_of(request.model, buckets), np.full(len(request.rounded.samples), np.inf)
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

    def _note(self, found: Solution, multipliers: Mapping[str, float]) -> None:
        price = self._request.options.bucket_price
        used = self._limits.used(found.chosen)
        if not self.least or sum(used.values()) < sum(self.least.values()):
            self.least = used
        if self._limits.kept(found.chosen):
            total = self._cost(found.chosen) + float(prices_of(price, found.chosen).sum())
            if total < self.total:
                self.best, self.total = found.chosen, total
        if found.bound is not None and not callable(price):
            allowance = sum(rate * self._limits.most[name] for name, rate in multipliers.items())
            paid = price * max(self._most, self._request.options.min_buckets)
            self.bound = max(self.bound, found.bound - allowance - paid)
