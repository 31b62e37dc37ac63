"""Which shapes no bucket may have, beside what the lattice says: products of sizes, and what one inference may take.

A shape that is not allowed is given a cost so high that serving a single sample by it costs more than any plan without
it. So costs that never fall still never fall, and a bound for these costs holds for every plan of allowed shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import CostModel, cost_of

__all__ = ["CappedCost", "Caps", "make_caps"]


@dataclass(frozen=True)
class Caps:
    """What is allowed.

    Attributes:
        products: By the text that the user wrote, such as ``N*L``: the columns whose product is limited, and the most.
        latency: The most that one inference may cost; None for no limit.
    """

    products: Mapping[str, tuple[tuple[int, ...], float]]
    latency: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """How each cap is called in the plan document."""
        return (*(f"reachable.{text}" for text in self.products), *(["latency"] if self.latency is not None else []))

    def without(self, name: str) -> Caps:
        """Return all caps but one."""
        if name == "latency":
            return replace(self, latency=None)
        kept = {text: cap for text, cap in self.products.items() if f"reachable.{text}" != name}
        return replace(self, products=kept)

    def allowed(self, shapes: NDArray[np.int64], model: CostModel) -> NDArray[np.bool_]:
        """Return whether each shape [n, d] may be a bucket, bool [n]."""
        good: NDArray[np.bool_] = np.ones(len(shapes), dtype=bool)
        for columns, most in self.products.values():
            good &= _multiplied(shapes, columns) <= most
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
            f"reachable.{text}": (float(_multiplied(buckets, columns).max()), most)
            for text, (columns, most) in self.products.items()
        }
        if self.latency is not None:
            found["latency"] = (float(cost_of(model, buckets).max()), self.latency)
        return found


def _multiplied(shapes: NDArray[np.int64], columns: tuple[int, ...]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = shapes[:, list(columns)].astype(np.float64).prod(axis=1)
    return product


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


def make_caps(variables: tuple[str, ...], reachable: Mapping[str, float] | None, latency: float | None) -> Caps:
    """Return the caps of some options.

    Raises:
        PlanError: A product names something that is no variable.
    """
    products = {}
    for text, most in (reachable or {}).items():
        names = [name.strip() for name in str(text).split("*")]
        unknown = [name for name in names if name not in variables]
        if unknown:
            fix = f"Write a product such as {'*'.join(variables)!r}."
            raise PlanError(f"{unknown[0]!r} is no variable", where=f"reachable.{text}", fix=fix)
        products[str(text)] = (tuple(variables.index(name) for name in names), float(most))
    return Caps(products, latency)
