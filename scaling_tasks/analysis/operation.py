"""One operator of the graph as its rule sees it: inputs, attributes, and the means to clean padding."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.cleaning import Cleaner
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.element_types import held_by
from scaling_tasks.analysis.emitter import Emitter
from scaling_tasks.analysis.lengths import Length, as_length, larger, smaller
from scaling_tasks.analysis.order import Order
from scaling_tasks.analysis.refusal import NotKnown, Refused
from scaling_tasks.analysis.tensors import Reason, Tensor
from scaling_tasks.shapes.behaviour import DATA

if TYPE_CHECKING:
    import onnx

_COPYING = ("Expand", "ConstantOfShape", "Tile")

__all__ = ["Operation", "Refused", "Surroundings", "merged_fills"]


@dataclass
class Surroundings:
    """What all operators of one walk share.

    Attributes:
        domain: The admissible sizes.
        emitter: The cleaned graph.
        cleaner: What inserts cleaning.
        opset: Version of the default operator set.
        tensors: What is known, by name in the original graph.
        order: What causal masks are made of.
        quotients: Of small vectors of floats the quotients of lengths and the numbers that they hold, by name.
        shapes: Of shapes of which data decides a part what they are made of, by name.
        elements: Of small vectors of which data decides some elements all of them, by name.
        indicators: Of comparisons of sizes when they hold, by name.
        subtracted: Names of what is subtracted from something.
        place: Names of the operators in whose bodies the walk is.
    """

    domain: Domain
    emitter: Emitter
    cleaner: Cleaner
    opset: int
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    order: Order = field(default_factory=Order)
    quotients: dict[str, list[Any]] = field(default_factory=dict)
    shapes: dict[str, list[Any]] = field(default_factory=dict)
    elements: dict[str, list[Any]] = field(default_factory=dict)
    indicators: dict[str, Any] = field(default_factory=dict)
    subtracted: frozenset[str] = frozenset()
    place: tuple[str, ...] = ()

    @contextlib.contextmanager
    def inside(self, op: Operation) -> Iterator[None]:
        """Be in the bodies of an operator, whose names those of another operator may use too."""
        before, self.place = self.place, (*self.place, op.name, *op.node.output)
        try:
            yield
        finally:
            self.place = before


@dataclass
class Operation:
    """One node with what is known of its inputs.

    Attributes:
        node: The node; its inputs are renamed as they are cleaned.
        inputs: One tensor per input, None where it is left out.
        around: What all operators share.
        replaced: Whether the rule has emitted other nodes in its place.
    """

    node: onnx.NodeProto
    inputs: list[Tensor | None]
    around: Surroundings
    replaced: bool = False
    blames: dict[str, Reason] = field(default_factory=dict)
    newly_cleaned: set[str] = field(default_factory=set)

    @property
    def kind(self) -> str:
        """The operator's type."""
        return str(self.node.op_type)

    @property
    def name(self) -> str:
        """What to call the node in messages."""
        return self.node.name or (self.node.output[0] if self.node.output else self.kind)

    @property
    def rows(self) -> str | None:
        """The variable that counts independent rows."""
        return self.around.cleaner.rows

    @property
    def domain(self) -> Domain:
        """The admissible sizes."""
        return self.around.domain

    @property
    def emitter(self) -> Emitter:
        """The cleaned graph."""
        return self.around.emitter

    @property
    def opset(self) -> int:
        """Version of the operator set."""
        return self.around.opset

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value."""
        from onnx import helper

        for attribute in self.node.attribute:
            if attribute.name == name:
                value = helper.get_attribute_value(attribute)
                return value.decode() if isinstance(value, bytes) else value
        return default

    def has(self, index: int) -> bool:
        """Return whether there is such an input."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def input(self, index: int) -> Tensor:
        """Return an input that the operator must have, with known axes.

        Raises:
            Refused: It is left out, or nothing is known of its shape.
        """
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None or tensor.axes is None:
            raise Refused(f"the shape of its input {index} is not known")
        return tensor

    def outer(self, name: str) -> Tensor | None:
        """Return what a body takes from outside."""
        return self.around.tensors.get(name)

    def axis(self, index: int, rank: int) -> int:
        """Return an axis that may be counted from the end as one counted from the start."""
        return index + rank if index < 0 else index

    def numbers(self, index: int, attribute: str = "") -> list[Length] | None:
        """Return the whole numbers of a small integer input (or attribute in older versions) as lengths.

        Raises:
            Refused: They depend on data.
        """
        if self.has(index):
            tensor = self.inputs[index]
            assert tensor is not None
            if tensor.value is None:
                raise NotKnown(index)
            return [as_length(element) for element in tensor.value.reshape(-1)]
        value = self.attribute(attribute) if attribute else None
        if value is None:
            return None
        return [as_length(each) for each in ([value] if isinstance(value, int) else value)]

    def constants(self, index: int, attribute: str = "") -> list[int] | None:
        """Return numbers that must be the same at all sizes.

        Raises:
            Refused: They follow the sizes or data.
        """
        numbers = self.numbers(index, attribute)
        if numbers is None:
            return None
        found = [self.domain.constant(number) for number in numbers]
        if any(number is None for number in found):
            raise Refused(f"its input {index} follows the sizes of the request ({', '.join(map(str, numbers))})")
        return [int(number) for number in found if number is not None]

    def positive(self, length: Length, text: str) -> Length:
        """Return a length; sizes at which it would not be positive are none at which the model runs.

        Raises:
            Refused: It is positive at no size.
        """
        one = as_length(1)
        if not self.domain.at_most(one, length) and not self.domain.require(larger(length, one), length):
            raise Refused(text)
        return length

    def needs(self, least: Length | int, length: Length) -> None:
        """Note that the model runs only where a length is so much at least; nothing of a body, which may not run."""
        low = as_length(least)
        if not self.around.place and not self.domain.at_most(low, length):
            self.domain.require(smaller(low, length), low)

    def padded(self, axis: Axis) -> frozenset[str]:
        """Return the variables because of which an axis may hold padding that matters."""
        return frozenset(name for name in axis.variables if name != self.rows and not name.startswith(DATA))

    def data_axis(self, name: str = "") -> Axis:
        """Return an axis whose length depends on data: all of it is valid, how long it is nobody knows before.

        Args:
            name: Tells it apart; the first output by default, which unlike a node's name is no other's.
        """
        name = name or next((each for each in self.node.output if each), self.name)
        name = DATA + "/".join([*self.around.place, name])
        self.domain.add(name)
        return grid(name)

    def mixes(self, axis: Axis) -> None:
        """Note that the operator puts together positions along an axis.

        Raises:
            RowsMixed: They belong to different rows.
        """
        self.around.cleaner.no_rows(axis, self.kind, self.name)

    def mix(self, index: int, axis: int) -> Axis:
        """Note that the operator puts together positions along an input's axis; return it, the valid ones first.

        Raises:
            RowsMixed: They belong to different rows.
        """
        self.mixes(self.input(index).known_axes[axis])
        return self.compact(index, axis).known_axes[axis]

    def clean(self, index: int, axes: Iterable[int], fill: float) -> Tensor:
        """Make an input's padding along the axes hold ``fill`` and return it."""
        tensor = self.input(index)
        wanted = [axis for axis in axes if self.padded(tensor.known_axes[axis]) and tensor.fills.get(axis) != fill]
        if not wanted:
            return tensor
        for axis in wanted:
            self.newly_cleaned |= self.padded(tensor.known_axes[axis])
        return self.use(index, self.around.cleaner.clean(tensor, wanted, fill))

    def use(self, index: int, tensor: Tensor) -> Tensor:
        """Take another tensor as an input."""
        self.inputs[index] = tensor
        self.node.input[index] = tensor.name
        return tensor

    def compact(self, index: int, axis: int) -> Tensor:
        """Move the valid positions of an input's axis to its start and return it."""
        tensor = self.input(index)
        found = tensor.known_axes[axis]
        if found.is_prefix:
            return tensor
        if self.is_whole(found):
            axes = (*tensor.known_axes[:axis], grid(found.length), *tensor.known_axes[axis + 1 :])
            return self.use(index, replace(tensor, axes=axes))
        return self.realign(index, axis, grid(found.length))

    def is_whole(self, axis: Axis) -> bool:
        """Return whether all positions of an axis are valid in a bucket: data alone decides how many there are."""
        return all(name.startswith(DATA) for name in axis.variables)

    def realign(
        self, index: int, axis: int, target: Axis, *, first: Length | int = 0, step: int = 1, mode: str = "step"
    ) -> Tensor:
        """Gather an input's axis so that its valid positions lie as in ``target``."""
        tensor = self.input(index)
        self.newly_cleaned |= self.padded(tensor.known_axes[axis]) | self.padded(target)
        return self.use(index, self.around.cleaner.gather(tensor, axis, target, as_length(first), step, mode))

    def blame(self, variables: Iterable[str], text: str, fix: str = "") -> None:
        """Note that padding of these variables reaches valid positions of the outputs."""
        for variable in variables:
            self.blames.setdefault(variable, Reason(self.name, self.kind, text, fix))

    def same_axis(self, index: int, axis: int, other: int, other_axis: int) -> Axis:
        """Return the axis that two inputs share there, realigning the second where its positions lie otherwise.

        Raises:
            Refused: The two are never equally long.
            RowsMixed: One of them counts rows, the other something else that there are as many of.
        """
        left, right = self.input(index).known_axes[axis], self.input(other).known_axes[other_axis]
        if left.normal == right.normal:
            return richer(left, right)
        if left.variables and right.variables and (self.rows in left.variables) != (self.rows in right.variables):
            for found in (left, right):
                self.mixes(found)
        if not self.domain.equal(left.length, right.length) and not self.domain.require(left.length, right.length):
            raise Refused(f"{left.length} and {right.length} are equal at no size")
        if (left.is_prefix and right.is_prefix) or (self.is_whole(left) and self.is_whole(right)):
            return richer(left, right)
        self.realign(other, other_axis, left)
        return left

    def result(self, axes: Sequence[Axis] | None, dtype: int | None = None, *, output: int = 0, **known: Any) -> Tensor:
        """Return one of the operator's outputs; what its inputs went through is carried on."""
        first = next((tensor for tensor in self.inputs if tensor is not None), None)
        cleaned = frozenset(self.newly_cleaned).union(*(t.cleaned for t in self.inputs if t is not None))
        blames: dict[str, Reason] = {}
        for tensor in self.inputs:
            blames |= {key: value for key, value in (tensor.blames if tensor else {}).items() if key not in blames}
        blames |= {key: value for key, value in self.blames.items() if key not in blames}
        element = dtype if dtype is not None else (first.dtype if first else 1)
        fills = known.pop("fills", {})
        kept = None if axes is None else tuple(axes)
        for axis in kept or ():
            if not axis.variables.isdisjoint(self.domain.limits) and not self.domain.grows(axis.length):
                raise Refused(f"{axis.length} positions come of it, fewer at some larger sizes")
        if kept is not None:
            held = {at: held_by(fill, element) for at, fill in fills.items() if fill is not None}
            fills = {
                at: fill
                for at, fill in held.items()
                if fill is not None and not math.isnan(fill) and self.padded(kept[at])
            }
        name = self.node.output[output] if output < len(self.node.output) else ""
        known.setdefault("counts_rows", any(tensor is not None and tensor.counts_rows for tensor in self.inputs))
        known["counts_rows"] |= self._begins_rows(kept or ())
        return Tensor(name, element, kept, fills=fills, cleaned=cleaned, blames=blames, **known)

    def _begins_rows(self, axes: Iterable[Axis]) -> bool:
        """Return whether an axis of rows comes of what has none, so that rows differ by where they are in it."""
        if self.rows is None or self.kind in _COPYING or not any(self.rows in axis.variables for axis in axes):
            return False
        return not any(tensor is not None and self.rows in tensor.variables for tensor in self.inputs)

    def like(self, tensor: Tensor, **changes: Any) -> Tensor:
        """Return the first output, which has the same axes and the same padding as ``tensor`` but for ``changes``."""
        known: dict[str, Any] = {"finite": tensor.finite, "low": tensor.low, "high": tensor.high}
        return self.result(tensor.axes, tensor.dtype, **{"fills": tensor.fills, **known, **changes})

    def value_of(self, index: int) -> NDArray[Any] | None:
        """Return an input's content where it is a constant."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return tensor.value if tensor is not None and tensor.is_constant else None


def richer(left: Axis, right: Axis) -> Axis:
    """Return the one of two equal axes that tells more of how it came about."""
    return max(left, right, key=lambda axis: (sum(map(len, axis.pieces)), -len(str(axis))))


def merged_fills(fills: Mapping[int, float], kept: Mapping[int, int]) -> dict[int, float]:
    """Return fills with their axes renumbered, those that are not kept left out."""
    return {kept[axis]: fill for axis, fill in fills.items() if axis in kept}
