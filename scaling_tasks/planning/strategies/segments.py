"""The strategy ``segments``, and buckets from ranges alone: nncase's ShapeBucket segments, or equal parts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import ConfigError, PlanError
from scaling_tasks.planning.request.request import Choice, PlanRequest

__all__ = ["choose", "combine_segments", "equal_parts", "nncase_segments", "shape_bucket_segments"]

_RANGE, _FIX = "shape_bucket.shape_bucket_range_info", "shape_bucket.shape_bucket_fix_var_map"


def choose(request: PlanRequest, most: int) -> Choice:
    """Cut each variable's range into as many segments as give at most ``most`` buckets.

    Raises:
        PlanError: A range of an unknown variable, or one that is none.
    """
    names, options = request.variables, request.options
    info = options.range_info or {}
    unknown = [name for name in info if name not in names]
    if unknown:
        raise PlanError(f"{unknown[0]!r} is no variable", where="range_info", fix=f"There are {list(names)}.")
    combine = "product" if options.product else options.combine
    count = most if combine == "diagonal" else max(1, int(most ** (1 / len(names)) + 1e-9))
    lists = []
    for name, column, allowed in zip(names, request.original.samples.T, request.lattice.allowed, strict=True):
        low, high = info.get(name, (int(column.min()), int(column.max())))
        if not 1 <= low <= high:
            raise PlanError(f"[{low}, {high}] is no range of sizes", where=f"range_info.{name}")
        values = nncase_segments(low, high, count) if options.segments == "nncase" else equal_parts(low, high, count)
        rounded = allowed.round(allowed.within(np.asarray(values, dtype=np.int64)))
        lists.append(np.unique(rounded[rounded > 0]).tolist())
    return Choice(combine_segments(lists, combine))


def nncase_segments(low: int, high: int, count: int) -> list[int]:
    """Return nncase's segment values, ascending, without repetitions.

    ``low + i·((high - low) div count)`` for the first count - 1, then ``high`` (nncase 2.x, ``ComputeSegmentList``).
    """
    size = (high - low) // count
    return list(dict.fromkeys([*(low + index * size for index in range(count - 1)), high]))


def equal_parts(low: int, high: int, count: int, interval: int = 1) -> list[int]:
    """Return the upper ends of ``count`` equal parts of [low, high], rounded up to the interval, each once."""
    ends = (low - 1 + -((low - 1 - high) * part // count) for part in range(1, count + 1))
    return list(dict.fromkeys(-(-end // interval) * interval for end in ends))


def combine_segments(lists: Sequence[Sequence[int]], combine: str) -> NDArray[np.int64]:
    """Return the buckets of one list per variable, int64 [k, d].

    Args:
        lists: Ascending values per variable.
        combine: ``diagonal``: the i-th value of every list together (a list that ran out repeats its last);
            ``product``: every combination.
    """
    if combine == "product":
        rows = list(itertools.product(*lists))
    else:
        longest = max((len(values) for values in lists), default=0)
        rows = [tuple(values[min(index, len(values) - 1)] for values in lists) for index in range(longest)]
    return np.asarray(rows, dtype=np.int64).reshape(-1, len(lists))


def shape_bucket_segments(
    variables: Sequence[str],
    ranges: Mapping[str, tuple[int, int]],
    fixed: Mapping[str, int],
    count: int,
    combine: str = "diagonal",
) -> NDArray[np.int64]:
    """Return nncase's buckets over ``variables``, int64 [k, d]; a fixed variable has its value everywhere.

    Raises:
        ConfigError: Names that are no variables, in both maps, or in neither; an impossible range; fewer than two
            segments.
    """
    _check(variables, ranges, fixed, count)
    lists = [
        [fixed[name]] if name in fixed else _diagonal_or_distinct(*ranges[name], count, combine) for name in variables
    ]
    rows = combine_segments(lists, combine)
    return np.unique(rows, axis=0) if len(variables) else rows[:1]


def _diagonal_or_distinct(low: int, high: int, count: int, combine: str) -> list[int]:
    values = nncase_segments(low, high, count)
    # nncase joins the i-th values of all variables, repeated ones included: those are the low end, so they go in front.
    missing = count - len(values) if combine == "diagonal" else 0
    return [values[0]] * missing + values


def _check(
    variables: Sequence[str], ranges: Mapping[str, tuple[int, int]], fixed: Mapping[str, int], count: int
) -> None:
    if count < 2:
        raise ConfigError(f"{count} segments", where="shape_bucket.shape_bucket_segments_count", fix="Take 2 or more.")
    for where, names in ((_RANGE, ranges), (_FIX, fixed)):
        for name in names:
            if name not in variables:
                known = ", ".join(variables) or "none"
                raise ConfigError(f"{name!r} is no dynamic dimension", where=where, fix=f"The model has: {known}.")
    for name in variables:
        _check_variable(name, ranges, fixed)


def _check_variable(name: str, ranges: Mapping[str, tuple[int, int]], fixed: Mapping[str, int]) -> None:
    if name in ranges and name in fixed:
        raise ConfigError(f"{name!r} has a range and a fixed value", where=f"{_FIX}.{name}", fix="Remove one of them.")
    if name not in ranges and name not in fixed:
        raise ConfigError(
            f"{name!r} has neither a range nor a fixed value", where=_RANGE, fix=f"Add {name}: [min, max]."
        )
    if name in fixed and fixed[name] < 1:
        raise ConfigError(f"{fixed[name]} is not positive", where=f"{_FIX}.{name}", fix="Take 1 or more.")
    if name in ranges:
        low, high = ranges[name]
        if low < 1 or low > high:
            raise ConfigError(
                f"[{low}, {high}] is no range of sizes",
                where=f"{_RANGE}.{name}",
                fix="Write [min, max] with 1 <= min <= max.",
            )
