"""Which sizes a bucket may have: multiples, choices and ranges per variable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import PlanError
from scaling_tasks.shapes.rounding import round_up

__all__ = ["AllowedSizes", "Lattice", "make_lattice"]


@dataclass(frozen=True)
class AllowedSizes:
    """The sizes of one variable.

    Attributes:
        interval: Sizes are multiples of it; where ``choices`` are given it has no influence.
        choices: The only sizes there are, ascending; empty for all multiples.
        low: No size is below it.
        high: No size is above it, except that it is itself rounded up to the interval; None for no limit.
        end: No size is above it, and it is one itself though it be no multiple; None for no limit.
    """

    interval: int = 1
    choices: tuple[int, ...] = ()
    low: int = 1
    high: int | None = None
    end: int | None = None

    def round(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the least allowed size at or above each, int64 [n]; 0 where there is none."""
        if self.choices:
            choices = np.asarray([*self.choices, 0], dtype=np.int64)
            return choices[np.searchsorted(choices[:-1], sizes)]
        rounded = round_up(np.maximum(sizes, self.low), self.interval)
        ceiling = self.largest
        return rounded if ceiling is None else np.where(sizes <= ceiling, np.minimum(rounded, ceiling), 0)

    def within(self, sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return sizes with those above the end lowered to it, int64 [n]."""
        return sizes if self.end is None else np.minimum(sizes, self.end)

    @property
    def largest(self) -> int | None:
        """The largest allowed size, None where there is none."""
        if self.choices:
            return self.choices[-1]
        ceiling = None if self.high is None else -(-self.high // self.interval) * self.interval
        return min((each for each in (ceiling, self.end) if each is not None), default=None)


@dataclass(frozen=True)
class Lattice:
    """The shapes that buckets may have: one ``AllowedSizes`` per variable."""

    allowed: tuple[AllowedSizes, ...]

    def round(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the least allowed shape containing each sample, int64 [n, d], and whether there is one, bool [n]."""
        columns = [sizes.round(column) for sizes, column in zip(self.allowed, samples.T, strict=True)]
        rounded = np.stack(columns, axis=1)
        servable: NDArray[np.bool_] = np.all(rounded > 0, axis=1)
        return rounded, servable


def make_lattice(
    variables: Sequence[str],
    interval: int | Mapping[str, int] = 1,
    choices: Mapping[str, Sequence[int]] | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    ends: Mapping[str, int] | None = None,
) -> Lattice:
    """Return the lattice over ``variables``.

    Args:
        variables: Names of the columns.
        interval: One multiple for all variables without choices, or one per variable (1 where left out).
        choices: The only sizes of some variables; 1 is always one of them.
        ranges: Least and largest size of some variables.
        ends: Largest size of some variables, allowed though it be no multiple.

    Raises:
        PlanError: An interval, choice or range that leaves no size.
    """
    steps = dict(interval) if isinstance(interval, Mapping) else dict.fromkeys(variables, interval)
    choices, ranges, ends = choices or {}, ranges or {}, ends or {}
    for where, names in (("interval", steps), ("choices", choices), ("ranges", ranges), ("ends", ends)):
        unknown = [name for name in names if name not in variables]
        if unknown:
            raise PlanError(f"{unknown[0]!r} is no variable", where=where, fix=f"There are {list(variables)}.")
    return Lattice(
        tuple(
            _allowed(name, steps.get(name, 1), choices.get(name), ranges.get(name), ends.get(name))
            for name in variables
        )
    )


def _allowed(
    name: str, interval: int, choices: Sequence[int] | None, bounds: tuple[int, int] | None, end: int | None
) -> AllowedSizes:
    if isinstance(interval, bool) or int(interval) != interval or interval < 1:
        raise PlanError(f"{interval!r} is no multiple", where=f"interval ({name})", fix="Take a positive whole number.")
    low, high = bounds or (1, None)
    if low < 1 or (high is not None and high < low):
        raise PlanError(
            f"[{low}, {high}] is no range of sizes", where=name, fix="Write [min, max] with 1 <= min <= max."
        )
    if choices is None:
        ends_before = high is not None and end is not None and -(-high // interval) * interval <= end
        return AllowedSizes(int(interval), (), low, high, None if ends_before else end)
    kept = tuple(sorted(each for each in {1, *(int(choice) for choice in choices)} if end is None or each <= end))
    if kept[0] < 1:
        raise PlanError(f"{kept[0]} is no size", where=f"choices ({name})", fix="Take positive numbers.")
    return AllowedSizes(1, kept, 1, None)
