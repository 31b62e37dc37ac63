"""What one inference at a shape costs: the contract of cost models and the simplest of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scaling_tasks.errors import PlanError, ScalingTasksError

__all__ = [
    "CallableCost",
    "CostFunction",
    "CostModel",
    "ElementsCost",
    "LinearPrice",
    "Price",
    "as_cost_model",
    "cost_of",
    "prices_of",
    "restore_cost_model",
]

CostFunction = Callable[[NDArray[np.int64]], ArrayLike]
# Of having one bucket, in the unit of Σ weight·cost.
Price = float | CostFunction


@runtime_checkable
class CostModel(Protocol):
    """The cost of one inference for each of many shapes.

    A cost should not fall when a variable grows. A model that never does says so by a true attribute ``nondecreasing``.
    Where it may, all sizes that buckets can have are looked at, and a shape is served by the cheapest that contains it.
    """

    def __call__(self, shapes: NDArray[np.int64]) -> ArrayLike:
        """Return one finite, non-negative cost per row of ``shapes`` [n, d], float [n]."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return plain values for the plan document; ``kind`` names the model."""
        ...


@dataclass(frozen=True)
class ElementsCost:
    """The product of the variables: padded area, padded tokens."""

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the product of each row, float64 [n]."""
        product: NDArray[np.float64] = np.asarray(shapes, dtype=np.float64).prod(axis=1)
        return product

    nondecreasing = True

    def describe(self) -> dict[str, Any]:
        """Return ``{"kind": "elements"}``."""
        return {"kind": "elements"}


@dataclass(frozen=True)
class CallableCost:
    """Any function ``int array [n, d] -> float array [n]``."""

    function: CostFunction

    def __call__(self, shapes: NDArray[np.int64]) -> ArrayLike:
        """Return what the function returns."""
        return self.function(shapes)

    def describe(self) -> dict[str, Any]:
        """Return the function's name; a plan read back from JSON cannot call it."""
        return {"kind": "callable", "name": getattr(self.function, "__qualname__", type(self.function).__name__)}


@dataclass(frozen=True)
class LinearPrice:
    """What a bucket takes: something by itself, and something more for each of its elements."""

    each: float
    per_element: float

    nondecreasing = True

    def __call__(self, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return what each row of ``shapes`` [n, d] takes, float64 [n]."""
        return self.each + self.per_element * ElementsCost()(shapes)

    def describe(self) -> dict[str, float]:
        """Return both numbers."""
        return {"each": self.each, "per_element": self.per_element}


def as_cost_model(cost: str | CostModel | CostFunction) -> CostModel:
    """Return the cost model meant by ``cost``.

    Raises:
        PlanError: An unknown name, or one that needs a model or a table that only a target's configuration can give.
    """
    if cost == "elements":
        return ElementsCost()
    if isinstance(cost, str):
        raise PlanError(
            f"{cost!r} is no cost model by itself",
            where="cost",
            fix="Use 'elements', a CostModel such as FlopsCost or MeasuredCost, or a callable.",
        )
    if isinstance(cost, CostModel):
        return cost
    if callable(cost):
        return CallableCost(cost)
    raise PlanError(f"{cost!r} is no cost model", where="cost", fix="Use 'elements', a CostModel or a callable.")


def restore_cost_model(description: dict[str, Any]) -> CostModel | None:
    """Return the cost model that gave ``description``, None where the description does not hold all of it."""
    if description.get("kind") == "elements":
        return ElementsCost()
    if description.get("kind") == "measured":
        from scaling_tasks.planning.measured import MeasuredCost

        return MeasuredCost.from_description(description)
    return None


def cost_of(model: CostModel, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the checked costs of ``shapes`` [n, d], float64 [n].

    Raises:
        PlanError: The model fails, or returns something else than one finite, non-negative number per shape.
    """
    try:
        costs = np.asarray(model(shapes), dtype=np.float64)
    except PlanError:
        raise
    except ScalingTasksError as error:  # It says itself where, and what to do.
        raise PlanError(error.what, where=error.where, fix=error.fix) from error
    except Exception as cause:
        raise PlanError(f"the cost model failed ({cause!r})", where="cost") from cause
    if costs.shape != (len(shapes),):
        raise PlanError(f"the cost model returned shape {costs.shape} for {len(shapes)} shapes", where="cost")
    bad = ~(np.isfinite(costs) & (costs >= 0))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PlanError(
            f"the cost of {shapes[row].tolist()} is {costs[row]}",
            where="cost",
            fix="Costs must be finite and not negative.",
        )
    return costs


def prices_of(price: Price, shapes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what it costs to have a bucket of each shape [n, d], float64 [n].

    Raises:
        PlanError: A price function fails, or returns something else than one finite, non-negative number per shape.
    """
    if callable(price):
        return cost_of(CallableCost(price), shapes)
    return np.full(len(shapes), float(price))
