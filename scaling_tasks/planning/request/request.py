"""The one request that every strategy takes whole, or refuses in one sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import CostModel, cost_of, prices_of
from scaling_tasks.planning.request.caps import CappedCost, Caps, make_caps
from scaling_tasks.planning.request.closing import closing_sizes
from scaling_tasks.planning.request.lattice import Lattice, make_lattice
from scaling_tasks.planning.request.options import PlanOptions
from scaling_tasks.planning.solver.effort import EFFORTS, Effort
from scaling_tasks.planning.solver.problem import Problem
from scaling_tasks.shapes.dataset_statistics import Column, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import HEIGHT, WIDTH

__all__ = ["Choice", "NoPlanError", "PlanRequest", "largest_shape", "make_request", "problem_of"]


class NoPlanError(PlanError):
    """No plan was found that keeps to what was asked; with more buckets there may be one."""


@dataclass(frozen=True, eq=False)
class Choice:
    """What a strategy chose.

    Attributes:
        buckets: int64 [k, d].
        bound: Proven lower bound of Σ w·cost(bucket chosen) over the samples that must be covered, for as many buckets
            or fewer; None where none is known.
        relaxed: No bound by the relaxation used can be above it; None where not computed.
        thinned: Whether candidates were left out, so that the optimum may not have been looked at.
        details: What the plan document says further, plain values.
    """

    buckets: NDArray[np.int64]
    bound: float | None = None
    relaxed: float | None = None
    thinned: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class PlanRequest:
    """What a strategy chooses from.

    Attributes:
        original: The samples as they were counted.
        kept: Which of them must be covered, bool [n].
        rounded: Those, rounded up to the lattice, distinct.
        lattice: The shapes that buckets may have.
        model: The cost model.
        options: Everything else.
        top: A shape that the largest bucket must have.
        effort: How much work may be done for several variables.
        columns: What MindOCR's statistics look at, per variable, in place of ``original``'s columns.
        requests: Requests of many items that may be cut into batches; None where samples are what they are.
        axes: Sizes beside the samples' own that may be worth having.
        certain: Whether bounds may be claimed.
        caps: Which shapes no bucket may have.
    """

    original: ShapeHistogram
    kept: NDArray[np.bool_]
    rounded: ShapeHistogram
    lattice: Lattice
    model: CostModel
    options: PlanOptions
    top: tuple[int, ...] | None = None
    effort: Effort = EFFORTS["normal"]
    columns: Mapping[str, Column] = field(default_factory=dict)
    requests: ItemRequests | None = None
    axes: tuple[NDArray[np.int64], ...] | None = None
    certain: bool = True
    caps: Caps = field(default_factory=lambda: Caps({}))

    @property
    def planned(self) -> CostModel:
        """The cost model with a cost far above all others where no bucket may be."""
        return _capped(self.model, self.caps, self.rounded) if self.caps.names else self.model

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of a bucket's columns."""
        return self.original.variables

    def quick(self, **options: object) -> PlanRequest:
        """Return the same request with little effort and some options changed."""
        return replace(self, effort=EFFORTS["quick"], options=replace(self.options, **options))  # type: ignore[arg-type]


def make_request(
    histogram: ShapeHistogram,
    model: CostModel,
    options: PlanOptions,
    effort: Effort | None = None,
    columns: Mapping[str, Column] | None = None,
    requests: ItemRequests | None = None,
) -> tuple[PlanRequest, tuple[str, ...]]:
    """Return the request, and what the user should know about the samples.

    Raises:
        PlanError: No sample can be covered, or options do not fit the samples.
    """
    lattice = make_lattice(histogram.variables, options.interval, options.choices, options.ranges, options.ends)
    rounded, servable = lattice.round(histogram.samples)
    if not servable.any():
        raise _none_fits(histogram, lattice, options)
    caps = make_caps(histogram.variables, options.reachable, options.latency_limit)
    if caps.names and requests is None:
        servable &= caps.allowed(rounded, model)
    if not servable.any():
        where = "latency_limit" if not options.reachable else "reachable"
        raise PlanError("every sample comes to more than is allowed", where=where, fix="Raise it.")
    kept = servable & ~_dropped(histogram, model, options.drop_quantile)
    if not kept.any():
        kept = servable
    covered = ShapeHistogram.from_samples(rounded[kept], histogram.weights[kept], histogram.variables)
    top = largest_shape(histogram.samples[kept].max(axis=0), histogram.variables, lattice, options)
    if top is not None and not caps.allowed(np.asarray([top]), model).all():
        raise PlanError(f"no bucket may be as large as {list(top)}", where="headroom", fix="Lower it.")
    planned = _capped(model, caps, covered) if caps.names else model
    axes, certain = closing_sizes(planned, _uneven(options), lattice, covered.samples)
    request = PlanRequest(
        histogram, kept, covered, lattice, model, options, top, effort or EFFORTS[options.effort], dict(columns or {}),
        requests, axes, certain, caps,
    )  # fmt: skip
    return request, _notes(histogram, servable)


def _none_fits(histogram: ShapeHistogram, lattice: Lattice, options: PlanOptions) -> PlanError:
    """Return what to raise where no sample is within the allowed sizes: a limit that all are beyond."""
    for name, sizes, least in zip(histogram.variables, lattice.allowed, histogram.samples.min(axis=0), strict=True):
        end = (options.ends or {}).get(name)
        most = sizes.largest if end is None or sizes.largest is None else min(end, sizes.largest)
        if most is None or least <= most:
            continue
        what = f"every sample is above the allowed sizes: {name} is {least} at least, and {most} at most in a bucket"
        if end is not None and least > end:
            fix = f"The model runs up to {name} {end}: take smaller data, or another model."
            return PlanError(what, where="dataset", fix=fix)
        if sizes.choices:
            return PlanError(what, where="batch_choices", fix="Give larger ones.")
        where = {HEIGHT: "height_range", WIDTH: "width_range"}.get(name, "ranges")
        return PlanError(what, where=where, fix="Widen the range.")
    return PlanError("every sample is above the allowed sizes", where="ranges", fix="Widen the range.")


def problem_of(request: PlanRequest, most: int, *, priced: bool = True) -> Problem:
    """Return the mathematics of a request: at most ``most`` buckets for its samples.

    Args:
        request: The request.
        most: Largest number of buckets.
        priced: Whether buckets have their price.
    """
    price, model = request.options.bucket_price, request.planned
    return Problem(
        request.rounded.samples,
        request.rounded.weights,
        lambda shapes: cost_of(model, shapes),
        most,
        (lambda shapes: prices_of(price, shapes)) if priced and (callable(price) or price > 0) else None,
        None if request.top is None else np.asarray([request.top], dtype=np.int64),
        request.axes,
    )


def _capped(model: CostModel, caps: Caps, histogram: ShapeHistogram) -> CostModel:
    # Far more than serving everything as dearly as can be, were it for the lightest sample alone.
    largest = float(cost_of(model, histogram.samples.max(axis=0)[None, :])[0])
    return CappedCost(model, caps, 100 * largest * float(histogram.total / histogram.weights.min()))


def _uneven(options: PlanOptions) -> bool:
    """Return whether buckets may have prices that fall as sizes grow."""
    taken = [pair[0] for pair in (options.limits or {}).values() if isinstance(pair, (list, tuple)) and pair]
    prices = [options.bucket_price, *taken]
    return bool(options.buckets_per) or any(
        callable(price) and not getattr(price, "nondecreasing", False) for price in prices
    )


def _dropped(histogram: ShapeHistogram, model: CostModel, share: float) -> NDArray[np.bool_]:
    """Return which samples need not be covered: the costliest ones whose weight is at most ``share`` of the whole."""
    dropped = np.zeros(len(histogram.weights), dtype=bool)
    if share > 0:
        order = np.argsort(-cost_of(model, histogram.samples), kind="stable")
        mass = histogram.weights[order].cumsum()
        dropped[order[mass <= share * histogram.total * (1 + 1e-12)]] = True
    return dropped


def _notes(histogram: ShapeHistogram, servable: NDArray[np.bool_]) -> tuple[str, ...]:
    if servable.all():
        return ()
    share = float(histogram.weights[~servable].sum()) / histogram.total
    return (f"{share:.2%} of the samples are above the allowed sizes and are left to the oversize policy.",)


def largest_shape(
    largest: NDArray[np.int64], variables: tuple[str, ...], lattice: Lattice, options: PlanOptions
) -> tuple[int, ...] | None:
    """Return the shape that the headroom asks for, None where it asks for nothing.

    Args:
        largest: The largest observed sizes, not rounded, int64 [d].
        variables: Their names.
        lattice: What sizes are allowed.
        options: ``headroom`` among them.
    """
    headroom = options.headroom
    if headroom is None:
        return None
    if isinstance(headroom, Mapping):
        unknown = [name for name in headroom if name not in variables]
        if unknown:
            fix = f"There are {list(variables)}."
            raise PlanError(f"{unknown[0]!r} is no variable", where="headroom", fix=fix)
        wanted = [int(headroom.get(name, 1)) for name in variables]
    else:
        wanted = [math.ceil(size * headroom - 1e-9) for size in largest.tolist()]
    sizes = []
    for size, least, allowed in zip(wanted, largest.tolist(), lattice.allowed, strict=True):
        rounded = int(allowed.round(np.asarray([max(size, least)]))[0])
        sizes.append(rounded or allowed.largest or least)
    return tuple(sizes)
