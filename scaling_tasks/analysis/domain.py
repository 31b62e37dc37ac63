"""The sizes that the variables may take, and what is true at all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.analysis.lengths import Length, Rounding, as_length, smaller
from scaling_tasks.shapes.behaviour import DATA

__all__ = ["Domain", "Requirement"]

_EVERY = 2048
_ABOVE = 512
_JOINT = 512
_SMALL = 16
_MULTIPLE = 64
_MOST_MULTIPLES = 512
_MOST_JOINT = 4096
"""Sizes beside others are no larger, and only so many are large together that products are numbers of 64 bits."""
_BITS = 62
_MOST_ADDED = 1 << 17
"""How many sizes are made equal at a time; there may be many that have to be."""
_STEPS = (1, 2, 3, 4, 5, 7, 8, 16, 32, 64)
_SEED = 20230607

Requirement = tuple[Length, Length]
"""Two lengths that have to be equal for the model to run."""


class Domain:
    """The admissible sizes: every variable from 1 to its largest, where all requirements hold.

    What is claimed is tested at every value of each variable up to 2,048 and at some hundred above, beside several
    values of the others, and at some thousand joint values on grids of common steps; so a claim about one variable is
    proven where sizes are usual; any other is a test that a false claim passes only if it is true nearly everywhere.

    Args:
        limits: The largest size per variable.
        lows: The least size where it is not 1.
    """

    def __init__(self, limits: Mapping[str, int], lows: Mapping[str, int] | None = None) -> None:
        self.limits = {name: max(1, int(limit)) for name, limit in limits.items()}
        self.lows = {name: max(0, int((lows or {}).get(name, 1))) for name in limits}
        self.requirements: list[Requirement] = []
        self.ends: list[Requirement] = []
        self._points = self._draw()
        self._lines: dict[str, list[dict[str, NDArray[np.int64]]]] = {}
        self._grows: dict[str, bool] = {}
        self._cache: dict[str, NDArray[np.int64]] = {}
        self._floats: dict[Length, NDArray[Any]] = {}
        self._bounded: set[str] = set()

    @property
    def points(self) -> Mapping[str, NDArray[np.int64]]:
        """Admissible sizes, one array per variable."""
        return self._points

    @property
    def count(self) -> int:
        """How many sizes are looked at."""
        return len(next(iter(self._points.values()))) if self._points else 1

    def values(self, length: Length) -> NDArray[np.int64]:
        """Return the length at all sizes that are looked at."""
        found = self._cache.get(length.key)
        if found is None:
            # Where a divisor is 0 the model does not run, whatever comes of it here.
            with np.errstate(divide="ignore"):
                raw = length.evaluate(self._points)
            found = self._cache[length.key] = np.broadcast_to(np.asarray(raw, np.int64), (self.count,))
        return found

    def floats(self, length: Length, dtype: Any) -> NDArray[Any]:
        """Return the length as the model's own floating-point arithmetic gives it, at all sizes looked at."""
        if length.constant is not None:
            return np.full(self.count, float(length.constant), dtype)
        found = self._floats.get(length)
        with np.errstate(over="ignore"):  # Half precision holds no large sizes.
            return self.values(length).astype(dtype) if found is None else found.astype(dtype)

    def note_floats(self, length: Length, values: NDArray[Any]) -> None:
        """Remember what floating-point arithmetic gave for a length."""
        self._floats[length] = np.broadcast_to(values, (self.count,))

    def equal(self, left: Length, right: Length) -> bool:
        """Return whether two lengths are the same number at all admissible sizes."""
        if left == right:
            return True
        if left.constant is not None and right.constant is not None:
            return False
        return bool(np.array_equal(self.values(left), self.values(right)))

    def at_most(self, left: Length, right: Length) -> bool:
        """Return whether ``left <= right`` at all admissible sizes."""
        return bool((self.values(left) <= self.values(right)).all())

    def end_at(self, length: Length, most: int) -> None:
        """Note that a request at which a length is more than ``most`` has no answer; a bucket may be larger."""
        pair = (smaller(length, as_length(most)), length)
        if not self.at_most(length, as_length(most)) and pair not in self.ends:
            self.ends.append(pair)

    def constant(self, length: Length) -> int | None:
        """Return the one value that the length has at all admissible sizes, None where there are several."""
        if length.constant is not None:
            return int(length.constant) if length.is_whole else None
        values = self.values(length)
        return int(values[0]) if len(values) and bool((values == values[0]).all()) else None

    def divide(self, left: Length, right: Length) -> Length | None:
        """Return the quotient where it is whole at all admissible sizes."""
        exact = left.divided(right)
        if exact is not None:
            return exact
        below = self.values(right)
        if bool((below <= 0).any()) or bool((self.values(left) % below).any()):
            return None
        return left // right

    def require(self, left: Length, right: Length) -> bool:
        """Narrow the domain to where the two are equal; return whether sizes remain.

        None do where data decides one of them and the request's sizes the other: they are equal by chance. Where data
        decides both, the model runs if it makes them so; what is true at all sizes stays what it was. Those that are
        bounded have to have one bound too.
        """
        names = left.variables | right.variables
        if not self._bounded.isdisjoint(names):
            return names <= self._bounded and bool(left.evaluate(self.limits) == right.evaluate(self.limits))
        data = [name.startswith(DATA) for name in names]
        if any(data):
            return all(data)
        keep = self.values(left) == self.values(right)
        if not keep.any():
            return False
        if not keep.all():
            left, right = self._without_shared(left, right)
            self.requirements.append((left, right))
            # What floating-point arithmetic gave is known at these sizes only.
            more = [] if self._floats else [*self._made_equal(left, right), *self._made_equal(right, left)]
            kept = {name: values[keep] for name, values in self._points.items()}
            self._points = {name: np.concatenate([each[name] for each in (kept, *more)]) for name in kept}
            self._floats = {length: values[keep] for length, values in self._floats.items()}
            self._cache.clear()
        return True

    def _without_shared(self, left: Length, right: Length) -> Requirement:
        """Return two lengths divided by what all their terms share, where that is never 0: ``n*t`` and ``8*n`` by n."""
        shared = left.shared(right)
        if shared == as_length(1) or not (np.asarray(self.values(shared)) > 0).all():
            return left, right
        one, other = left.divided(shared), right.divided(shared)
        return (left, right) if one is None or other is None else (one, other)

    def _made_equal(self, own: Length, other: Length) -> list[dict[str, NDArray[np.int64]]]:
        """Return the sizes that are looked at with one of them made what it has to be, where that is admissible.

        Few sizes that are drawn at random are equal, and a claim is no better than the sizes at which it is tested.
        """
        name = next(iter(own.variables), "")
        if name not in self.limits or own != as_length(name) or name in other.variables:
            return []
        with np.errstate(divide="ignore"):
            wanted = np.broadcast_to(np.asarray(other.evaluate(self._points), np.int64), (self.count,))
            made = {**self._points, name: wanted}
            kept = self._admitted(made) & (wanted >= self.lows[name]) & (wanted <= self.limits[name])
        new = np.flatnonzero(kept & (wanted != self._points[name]))
        new = new[:: 1 + len(new) // _MOST_ADDED]
        return [{each: values[new] for each, values in made.items()}]

    def grows(self, length: Length) -> bool:
        """Return whether a larger size never makes the length smaller, so that what is exact fits into a bucket."""
        if len(length.terms) <= 1 and not any(
            isinstance(atom, Rounding) for product, _ in length.terms for atom in product
        ):
            return length.terms == () or length.terms[0][1] >= 0
        if length.key not in self._grows:
            self._lines = self._lines or self._draw_lines()
            with np.errstate(divide="ignore"):
                self._grows[length.key] = all(
                    bool((np.diff(length.evaluate(_whole(tied, length))[self._admitted(tied)]) >= 0).all())
                    for variable, lines in self._lines.items()
                    if variable in length.variables
                    for line in lines
                    for tied in (line, self._tied(line, variable))
                )
        return self._grows[length.key]

    def _tied(self, line: Mapping[str, NDArray[np.int64]], variable: str) -> dict[str, NDArray[np.int64]]:
        """Let sizes that have to be what others make follow the one that varies."""
        found, moved = dict(line), {variable}
        for left, right in [*self.requirements] * 2:
            for own, other in ((left, right), (right, left)):
                names = {name for name in own.variables if own == as_length(name)}
                if names and not names & moved and other.variables & moved and other.variables <= found.keys():
                    found |= {name: np.broadcast_to(other.evaluate(found), line[variable].shape) for name in names}
                    moved |= names
        return found

    def _admitted(self, line: Mapping[str, NDArray[np.int64]]) -> NDArray[np.bool_]:
        kept = np.ones(len(next(iter(line.values()))), bool)
        for left, right in self.requirements:
            if (left.variables | right.variables) <= line.keys():
                kept = kept & (left.evaluate(line) == right.evaluate(line))
        return kept

    def _draw_lines(self) -> dict[str, list[dict[str, NDArray[np.int64]]]]:
        """Return sizes that differ in one variable only, in its order, for several values of the others."""
        lines: dict[str, list[dict[str, NDArray[np.int64]]]] = {}
        for name in self.limits:
            span = np.unique(self._span(name))
            others = [other for other in self.limits if other != name]
            values = ((*self._ends(other), *_STEPS, 96) for other in others)
            lines[name] = [
                {
                    name: span,
                    **{
                        other: np.broadcast_to(np.int64(each), span.shape)
                        for other, each in zip(others, chosen, strict=True)
                    },
                }
                for chosen in (zip(*values, strict=True) if others else [()])
            ]
        return lines

    def _span(self, name: str) -> NDArray[np.int64]:
        low, high = self.lows[name], max(self.lows[name], self.limits[name])
        usual = np.arange(low, min(high, low + _EVERY) + 1)
        exponents = np.random.default_rng(_SEED).uniform(np.log(usual[-1] + 1), np.log(high + 1), _ABOVE)
        multiples = np.arange(1, _MOST_MULTIPLES + 1) * _MULTIPLE
        return np.unique(
            [*usual, *multiples.clip(low, high), *np.exp(exponents).astype(np.int64).clip(low, high), high]
        )

    def _ends(self, name: str) -> tuple[int, int]:
        return self.lows[name], min(_MOST_JOINT, max(self.lows[name], self.limits[name]))

    def add(self, name: str) -> None:
        """Add something that may have any size and that nothing is known of, beside others least of all."""
        generator = np.random.default_rng([_SEED, *name.encode()])
        kinds, most = generator.integers(0, 4, self.count), generator.integers(0, _EVERY, self.count)
        self._points = {**self._points, name: np.where(kinds < 2, kinds, most)}  # Often none, or one.

    def add_bounded(self, name: str, most: int) -> None:
        """Add a length that data decides, which may be anything up to ``most``, whatever other sizes are."""
        generator = np.random.default_rng([_SEED, *name.encode()])
        ends = np.minimum(most, 2.0 ** generator.integers(0, 1 + int(most).bit_length(), self.count)).astype(np.int64)
        values = generator.integers(0, ends + 1)
        every = np.arange(min(most, _EVERY, self.count - 1) + 1)
        values[generator.permutation(self.count)[: len(every)]] = every
        self._points = {**self._points, name: values}
        self.limits[name], self.lows[name] = most, 0
        self._bounded.add(name)
        self._lines = {}
        self._grows.clear()

    def _draw(self) -> dict[str, NDArray[np.int64]]:
        generator = np.random.default_rng(_SEED)
        names = list(self.limits)
        blocks: list[dict[str, NDArray[np.int64]]] = []
        for name in names:
            span = self._span(name)
            for step, most in ((1, None), (32, None), (1, _SMALL)):
                others = [other for other in names if other != name]
                drawn = {other: self._some(other, step, generator, len(span), most) for other in others}
                blocks.append(self._within_bits({name: span, **drawn}, generator))
        if len(names) > 1:
            for step in _STEPS:
                # What is true of large sizes need not be where all of them are small, or of one magnitude.
                blocks.append(self._smallest(names, step, generator))
                magnitudes = np.exp(generator.uniform(0, np.log(_MOST_JOINT), _JOINT)).astype(np.int64) * step
                for ends in (None, magnitudes):
                    drawn = {name: self._some(name, step, generator, most=ends) for name in names}
                    blocks.append(self._within_bits(drawn, generator))
        return {name: np.concatenate([block[name] for block in blocks]) for name in names}

    def _within_bits(
        self, block: dict[str, NDArray[np.int64]], generator: np.random.Generator
    ) -> dict[str, NDArray[np.int64]]:
        """Return sizes of which so many are the least, others at each point, that a product of all has its bits."""
        sizes = np.stack(list(block.values()))
        if len(sizes) <= _BITS // int(np.log2(_MOST_JOINT)) - 1:
            return block
        chance = generator.random(sizes.shape)
        chance[0] = 0  # What the block is about stays what it is.
        order = chance.argsort(axis=0)
        bits = np.take_along_axis(np.log2(np.maximum(sizes, 1)), order, axis=0).cumsum(axis=0)
        whole = np.take_along_axis(bits, order.argsort(axis=0), axis=0) <= _BITS
        lows = np.array([[self.lows[name]] for name in block])
        return dict(zip(block, np.where(whole, sizes, lows), strict=True))

    def _smallest(self, names: list[str], step: int, generator: np.random.Generator) -> dict[str, NDArray[np.int64]]:
        """Return the least sizes, multiples of a step, each beside each of all others, or as many at random."""
        count = max(2, int((_MOST_JOINT if step in (1, 32) else _JOINT) ** (1 / len(names)) + 1e-9))
        lines = []
        for name in names:
            low, high = self._ends(name)
            least = low if step == 1 else -(-max(low, 1) // step) * step
            lines.append((least + np.arange(count) * step).clip(low, max(high, least)))
        if count ** len(names) <= _MOST_JOINT:
            places = np.indices((count,) * len(names)).reshape(len(names), -1)
        else:
            places = generator.integers(0, count, (len(names), _MOST_JOINT))
            places[:, 0] = 0
        chosen = (line[place] for line, place in zip(lines, places, strict=True))
        return self._within_bits(dict(zip(names, chosen, strict=True)), generator)

    def _some(
        self, name: str, step: int, generator: np.random.Generator, count: int = _JOINT, most: Any = None
    ) -> NDArray[np.int64]:
        """Return random sizes, some of them no larger than given, multiples of a step where there are such."""
        low, high = self._ends(name)
        ends = high if most is None else np.clip(low + np.asarray(most), low, high)
        found = generator.integers(low, ends + 1, count)
        if high >= step > 1:
            found = np.maximum(step, found // step * step)
        return found.astype(np.int64)


def _whole(line: Mapping[str, NDArray[np.int64]], length: Length) -> dict[str, Any]:
    """Return sizes with some number for what depends on data."""
    return {**dict.fromkeys(length.variables - line.keys(), _STEPS[-1]), **line}
