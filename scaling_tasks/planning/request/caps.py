"""Which shapes no bucket may have, beside what the lattice says: sums of products, and what one inference may take.

A shape that is not allowed is given a cost so high that serving a single sample by it costs more than any plan without
it. So costs that never fall still never fall, and a bound for these costs holds for every plan of allowed shapes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import CostModel, cost_of

__all__ = ["CappedCost", "Caps", "make_caps", "terms_of"]

_NUMBER = re.compile("[0-9]{1,9}")

Term: TypeAlias = "tuple[int, tuple[int, ...]]"
"""A number, and the columns whose sizes it is multiplied with."""


@dataclass(frozen=True)
class Caps:
    """What is allowed.

    Attributes:
        sums: By the text that the user wrote, such as ``N*L`` or ``past+seq``: its terms, and the most.
        latency: The most that one inference may cost; None for no limit.
    """

    sums: Mapping[str, tuple[tuple[Term, ...], float]]
    latency: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """How each cap is called in the plan document."""
        return (*(f"reachable.{text}" for text in self.sums), *(["latency"] if self.latency is not None else []))

    def without(self, name: str) -> Caps:
        """Return all caps but one."""
        if name == "latency":
            return replace(self, latency=None)
        return replace(self, sums={text: cap for text, cap in self.sums.items() if f"reachable.{text}" != name})

    def allowed(self, shapes: NDArray[np.int64], model: CostModel) -> NDArray[np.bool_]:
        """Return whether each shape [n, d] may be a bucket, bool [n]."""
        good: NDArray[np.bool_] = np.ones(len(shapes), dtype=bool)
        for terms, most in self.sums.values():
            good &= _come_to(shapes, terms) <= most
        if self.latency is not None and good.any():  # A cost need not be known beyond the other caps.
            good[good] = cost_of(model, shapes[good]) <= self.latency * (1 + 1e-12)
        return good

    def reached(self, shapes: NDArray[np.int64], model: CostModel) -> NDArray[np.bool_]:
        """Return which shapes [n, d] some allowed bucket may contain; where the cost falls, any."""
        return (
            self.allowed(shapes, model) if getattr(model, "nondecreasing", False) else np.ones(len(shapes), dtype=bool)
        )

    def used(self, buckets: NDArray[np.int64], model: CostModel) -> dict[str, tuple[float, float]]:
        """Return what the buckets come to at most, and the cap, by name."""
        found = {
            f"reachable.{text}": (float(_come_to(buckets, terms).max()), most)
            for text, (terms, most) in self.sums.items()
        }
        if self.latency is not None:
            found["latency"] = (float(cost_of(model, buckets).max()), self.latency)
        return found


def _come_to(shapes: NDArray[np.int64], terms: Sequence[Term]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.zeros(len(shapes))
    for number, columns in terms:
        total += number * shapes[:, list(columns)].astype(np.float64).prod(axis=1)
    return total


class CappedCost:
    """A cost model with a cost far above all others where a shape is not allowed."""

    def __init__(self, model: CostModel, caps: Caps, high: float) -> None:
        self._model, self._caps, self._high = model, caps, high
        self.nondecreasing = bool(getattr(model, "nondecreasing", False))

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cost of each row, float64 [n]."""
        shapes = np.asarray(shapes, dtype=np.int64)
        return np.where(self._caps.allowed(shapes, self._model), cost_of(self._model, shapes), self._high)

    def describe(self) -> dict[str, Any]:
        """Return what the model says."""
        return self._model.describe()


def terms_of(text: str) -> list[tuple[int, tuple[str, ...]]]:
    """Return the terms of a sum of products, such as ``past + 2*seq``: of each the number and the names in it.

    It never falls where a size grows, as plans of capped costs need it.
    """
    factors = [[factor.strip() for factor in term.split("*")] for term in text.split("+")]
    return [
        (
            math.prod(int(factor) for factor in term if _NUMBER.fullmatch(factor)),
            tuple(factor for factor in term if not _NUMBER.fullmatch(factor)),
        )
        for term in factors
    ]


def make_caps(variables: tuple[str, ...], reachable: Mapping[str, float] | None, latency: float | None) -> Caps:
    """Return the caps of some options.

    Raises:
        PlanError: A sum or product names something that is no variable.
    """
    sums = {}
    for text, most in (reachable or {}).items():
        terms = terms_of(str(text))
        unknown = [name for _, names in terms for name in names if name not in variables]
        if unknown:
            fix = f"Write a product or a sum such as {'*'.join(variables)!r}."
            raise PlanError(f"{unknown[0]!r} is no variable", where=f"reachable.{text}", fix=fix)
        columns = [(number, tuple(variables.index(name) for name in names)) for number, names in terms]
        sums[str(text)] = (tuple(columns), float(most))
    return Caps(sums, latency)
