"""What a model of the zoo is: how it is built, at which sizes the original really runs, and what goes into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

__all__ = [
    "Arrays",
    "Fill",
    "Sizes",
    "Span",
    "ZooModel",
    "bits",
    "built",
    "mask",
    "ones",
    "tokens",
    "uniform",
    "writing",
]

Arrays = dict[str, NDArray[Any]]
Sizes = Mapping[str, int]
Fill = Callable[[tuple[int, ...], np.random.Generator, Sizes], NDArray[Any]]
"""Makes an input: its shape, the random numbers to use and one size per variable, to the array."""


@dataclass(frozen=True)
class Span:
    """The sizes of one variable at which the original runs: ``low``, ``low + step``, … up to ``high``.

    The bucket of the comparison is ``high``.
    """

    low: int
    high: int
    step: int = 1

    def __post_init__(self) -> None:
        """Refuse a bucket that is none of the sizes."""
        if (self.high - self.low) % self.step:
            raise ValueError(f"{self.high} is no size of {self}")

    def draw(self, generator: np.random.Generator) -> int:
        """Return one of the sizes, all equally likely."""
        return int(generator.integers(0, (self.high - self.low) // self.step + 1)) * self.step + self.low


@dataclass(frozen=True)
class ZooModel:
    """One model.

    Attributes:
        name: Unique in the zoo.
        kind: What it stands for: ``text``, ``decoding``, ``audio``, ``recurrent``, ``image``, ``detection``,
            ``indexing`` or ``control``.
        source: ``built``, or the package whose wheel carries it.
        make: Returns the model, or the path of its file.
        sizes: The sizes at which it runs, per free variable.
        remark: What makes it worth having.
        input_shape: Dimensions per input that name what the model leaves unnamed, or fix what it leaves open.
        fixed_inputs: Values of inputs that are the same in all requests.
        longest: For formats of fixed shapes, by node how long what it makes can get, where data decides that alone.
        fills: How an input is filled; whole numbers without one are 0 or 1, real numbers are normal.
    """

    name: str
    kind: str
    source: str
    make: Callable[[], onnx.ModelProto | Path]
    sizes: Mapping[str, Span]
    remark: str
    input_shape: Mapping[str, Sequence[int | str]] = field(default_factory=dict)
    fixed_inputs: Mapping[str, Any] = field(default_factory=dict)
    fills: Mapping[str, Fill] = field(default_factory=dict)
    longest: Mapping[str, int] = field(default_factory=dict)

    def build(self) -> onnx.ModelProto:
        """Return the model."""
        made = self.make()
        return onnx.load(str(made)) if isinstance(made, Path) else made

    @property
    def bucket(self) -> dict[str, int]:
        """The largest size of each variable."""
        return {name: span.high for name, span in self.sizes.items()}

    def draw_sizes(self, seed: int) -> dict[str, int]:
        """Return one size per variable, the same for the same seed."""
        generator = np.random.default_rng(seed)
        return {name: span.draw(generator) for name, span in self.sizes.items()}

    def draw(self, sizes: Sizes, seed: int, model: onnx.ModelProto | None = None) -> Arrays:
        """Return one array per input for these sizes; the same for the same arguments.

        Args:
            sizes: One value per variable.
            seed: Of the random numbers.
            model: The model, where the caller has it already.
        """
        generator = np.random.default_rng(seed)
        graph = (model or self.build()).graph
        weights = {each.name for each in graph.initializer}
        values = [each for each in graph.input if each.name not in weights]
        return {each.name: self._fill(each, sizes, generator) for each in values}

    def _fill(self, value: onnx.ValueInfoProto, sizes: Sizes, generator: np.random.Generator) -> NDArray[Any]:
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if value.name in self.fixed_inputs:
            return np.asarray(self.fixed_inputs[value.name], dtype)
        dims = self.input_shape.get(value.name) or [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
        shape = tuple(size_of(dim, sizes) for dim in dims)
        fill = self.fills.get(value.name) or (bits if dtype.kind in "iub" else normal)
        return fill(shape, generator, sizes).astype(dtype)


def built(
    kind: str,
    make: Callable[[], onnx.ModelProto],
    sizes: Mapping[str, Span],
    *,
    fixed: Mapping[str, Any] | None = None,
    longest: Mapping[str, int] | None = None,
    **fills: Fill,
) -> ZooModel:
    """Return the model that ``make`` builds, whose name and documentation are the model's name and remark."""
    return ZooModel(
        make.__name__,
        kind,
        "built",
        make,
        sizes,
        " ".join(str(make.__doc__).split()),
        fixed_inputs=fixed or {},
        fills=fills,
        longest=longest or {},
    )


def size_of(dim: int | str, sizes: Sizes) -> int:
    """Return a dimension's size: a number, a variable, or a sum of such."""
    if isinstance(dim, int):
        return dim
    return sum(int(part) if part.isdigit() else sizes[part] for part in map(str.strip, dim.split("+")))


def normal(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[Any]:
    """Return normally distributed numbers."""
    return generator.standard_normal(shape, dtype=np.float32)


def bits(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[Any]:
    """Return zeros and ones."""
    return generator.integers(0, 2, shape)


def ones(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[Any]:
    """Return a mask that hides nothing."""
    return np.ones(shape, np.int64)


def mask(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[Any]:
    """Return a mask with zeros inside; the first position of each row stays visible."""
    made = (generator.random(shape) < 0.8).astype(np.int64)
    made[..., 0] = 1
    return made


def tokens(vocabulary: int) -> Fill:
    """Return a filler of token numbers below ``vocabulary``."""
    return lambda shape, generator, sizes: generator.integers(0, vocabulary, shape)


def uniform(low: float, high: float) -> Fill:
    """Return a filler of evenly distributed numbers."""
    return lambda shape, generator, sizes: generator.uniform(low, high, shape)


def writing(shape: tuple[int, ...], generator: np.random.Generator, sizes: Sizes) -> NDArray[Any]:
    """Return white pictures with dark strokes in rows, so that a text detector finds something."""
    picture = np.ones(shape, np.float32)
    for page in picture:
        for top in range(4, shape[2] - 12, 20):
            left = int(generator.integers(2, 8))
            while left < shape[3] - 4:
                wide, high = (int(number) for number in generator.integers((1, 6), (4, 12)))
                page[:, top : top + high, left : left + wide] = -generator.random()
                left += wide + int(generator.choice((2, 3, 4, 12)))
    return picture
