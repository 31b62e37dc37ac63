"""The options of ``plan_buckets``, checked."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.costs import LinearPrice, Price

__all__ = ["PlanOptions", "make_options"]

_ARGUMENTS = ("strategy", "max_buckets", "interval", "cost")


@dataclass(frozen=True)
class PlanOptions:
    """Everything beside samples, strategy, number of buckets and cost.

    Attributes:
        interval: Buckets are multiples of it; one for all variables or one per variable. A variable with choices
            ignores it.
        choices: The only sizes of some variables, 1 always among them, such as ``{"N": [1, 4, 8]}``.
        ranges: Least and largest size of some variables; samples beyond are not covered.
        ends: Largest size of some variables, allowed though it be no multiple of ``interval``, such as where a model
            stops running; samples beyond are not covered.
        min_buckets: Fewest buckets that the platform takes.
        product: Whether buckets must be the product of one list per variable.
        target_padding: With ``max_buckets="auto"``: the padding ratio that the fewest buckets shall reach.
        bucket_price: Price of one more bucket in the unit of Σ weight·cost, or a function of shapes as a cost is.
        headroom: Factor on the largest observed sizes, or a size per variable, that the largest bucket must have.
        drop_quantile: Share of the weight, the costliest samples, that need not be covered.
        n_std: For ``mean_std``.
        expand_ratio: For ``max_min``.
        segments: For ``segments``: ``nncase`` or ``equal``.
        range_info: For ``segments``: the range of each variable; observed ones by default.
        combine: For ``segments``: ``diagonal`` or ``product``.
        buckets: For ``explicit``: rows in the order of the variables, or mappings from variable to size.
        min_size: For ``powers_of_two``, ``geometric`` and ``padding_limited``: the smallest size.
        pad_percent: For ``padding_limited``: most padding of a bucket in per cent.
        pad_max: For ``padding_limited``: most padding of a bucket in elements.
        effort: How much work may go into several variables: ``quick``, ``normal`` or ``thorough``.
        robust: Whether to plan for samples that were not seen; see ``strategies.robust``.
        limits: What all buckets together may take, by name: what one takes, a number or a function of shapes, and the
            most of all: ``{"bytes": (lambda shapes: 4 * shapes.prod(axis=1), 2**30)}``; see ``strategies.limits``.
        buckets_per: Most buckets that share one size of a variable, as where each batch size is one compiled model:
            ``{"N": 8}``.
        reachable: Most that sizes of a bucket may come to when multiplied or added, as in serving by tokens or where a
            cache ends: ``{"N*L": 8192, "past+seq": 4096}``; samples beyond are not covered.
        latency_limit: Most that one inference may cost, in the unit of ``cost``; samples beyond are not covered.
        curve: Whether to compute the padding ratio for every number of buckets, for this strategy and for the rules.
        folds: Number of parts for the estimate on unseen samples; 0 for none.
    """

    interval: int | Mapping[str, int] = 1
    choices: Mapping[str, Sequence[int]] | None = None
    ranges: Mapping[str, tuple[int, int]] | None = None
    ends: Mapping[str, int] | None = None
    min_buckets: int = 1
    product: bool = False
    target_padding: float | None = None
    bucket_price: Price = 0.0
    headroom: float | Mapping[str, int] | None = None
    drop_quantile: float = 0.0
    n_std: float = 3.0
    expand_ratio: float = 0.2
    segments: str = "nncase"
    range_info: Mapping[str, tuple[int, int]] | None = None
    combine: str = "diagonal"
    buckets: Sequence[Sequence[int] | Mapping[str, int]] = ()
    min_size: int | None = None
    pad_percent: float | None = None
    pad_max: int | None = None
    effort: str = "normal"
    robust: bool = False
    limits: Mapping[str, tuple[Price, float]] | None = None
    buckets_per: Mapping[str, int] | None = None
    reachable: Mapping[str, float] | None = None
    latency_limit: float | None = None
    curve: bool = False
    folds: int = 0

    def parameters(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as plain values."""
        changed = {item.name: getattr(self, item.name) for item in fields(self)}
        defaults = {item.name: item.default for item in fields(self)}
        return {name: _plain(value) for name, value in changed.items() if value != defaults[name]}


def make_options(max_buckets: int | str, options: Mapping[str, Any]) -> PlanOptions:
    """Return checked options.

    Raises:
        PlanError: An unknown option, or a value out of its range.
    """
    known = [item.name for item in fields(PlanOptions)]
    for name in options:
        if name not in known:
            raise PlanError(f"{name!r} is no option", where=name, fix=_nearest(name, [*known, *_ARGUMENTS]))
    whole = isinstance(max_buckets, int) and not isinstance(max_buckets, bool) and max_buckets >= 1
    if not whole and max_buckets != "auto":
        raise PlanError(
            f"{max_buckets!r} is no number of buckets", where="max_buckets", fix="Take 1 or more, or 'auto'."
        )
    made = PlanOptions(**options)
    _check_numbers(made)
    if whole and int(max_buckets) < made.min_buckets:
        raise PlanError(
            f"at most {max_buckets} buckets cannot be at least {made.min_buckets}",
            where="max_buckets",
            fix="Raise it, or lower min_buckets.",
        )
    if max_buckets == "auto" and made.target_padding is None and not made.bucket_price:
        raise PlanError(
            "'auto' needs to know what a bucket is worth",
            where="max_buckets",
            fix="Give target_padding (such as 1.10) or bucket_price.",
        )
    return made


def _check_numbers(options: PlanOptions) -> None:
    limits: dict[str, tuple[Any, float, float]] = {
        "target_padding": (options.target_padding, 1, math.inf),
        "drop_quantile": (options.drop_quantile, 0, math.nextafter(1, 0)),
        "n_std": (options.n_std, 0, math.inf),
        "expand_ratio": (options.expand_ratio, 0, math.inf),
        "min_buckets": (options.min_buckets, 1, math.inf),
        "folds": (options.folds, 0, math.inf),
        "min_size": (options.min_size, 1, math.inf),
        "pad_percent": (options.pad_percent, 0, 100),
        "pad_max": (options.pad_max, 1, math.inf),
        "latency_limit": (options.latency_limit, 0, math.inf),
        **{f"ends.{name}": (most, 1, math.inf) for name, most in (options.ends or {}).items()},
        **{f"buckets_per.{name}": (most, 1, math.inf) for name, most in (options.buckets_per or {}).items()},
        **{f"reachable.{text}": (most, 1, math.inf) for text, most in (options.reachable or {}).items()},
    }
    if not callable(options.bucket_price):
        limits["bucket_price"] = (options.bucket_price, 0, math.inf)
    if isinstance(options.headroom, (int, float)):
        limits["headroom"] = (options.headroom, 1, math.inf)
    for name, (value, low, high) in limits.items():
        if value is not None and not (low <= value <= high and math.isfinite(value)):
            raise PlanError(f"{value!r} is out of range", where=name, fix=f"Take a number from {low} to {high}.")
    for name, value, allowed in (
        ("segments", options.segments, ("nncase", "equal")),
        ("combine", options.combine, ("diagonal", "product")),
        ("effort", options.effort, ("quick", "normal", "thorough")),
    ):
        if value not in allowed:
            raise PlanError(f"{value!r} is not among {list(allowed)}", where=name)


def _nearest(name: object, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(known)}."


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, LinearPrice):
        return value.describe()
    if callable(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return value.item() if hasattr(value, "item") else value
