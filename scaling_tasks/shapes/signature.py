"""What a model takes and gives: tensors whose dimensions are numbers or variables."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaling_tasks.errors import ConfigError
from scaling_tasks.shapes.expressions import Expression, evaluate, parse_expression, parse_sum, variables_of

__all__ = [
    "BATCH",
    "HEIGHT",
    "WIDTH",
    "ModelSignature",
    "Signature",
    "TensorSpec",
    "batch_variable",
    "image_names",
    "is_batch",
    "looks_like_image",
    "name_dimensions",
    "parse_dims",
]

BATCH, HEIGHT, WIDTH = "N", "H", "W"
# What exporters call it in models other than image networks; the only list of such names.
_BATCH_NAMES = frozenset(("n", "bs", "bsz", "batch", "batch_size", "batchsize", "batch-size", "num_batch"))
_FLOATING = ("float16", "bfloat16", "float32", "float64")
_IMAGE_CHANNELS = (1, 3, 4)
_IMAGE_NAMES = {
    BATCH: ("n", "b", "batch", "batch_size", "batchsize", "batch-size"),
    HEIGHT: ("h", "height", "image_height", "img_height"),
    WIDTH: ("w", "width", "image_width", "img_width"),
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: The tensor's name in the model.
        dims: Its dimensions: a positive number where fixed, a variable's name where dynamic, an expression of
            variables where it follows from others.
        dtype: The numpy name of its element type, such as ``float32``.
    """

    name: str
    dims: tuple[Expression, ...]
    dtype: str = "float32"

    def shape(self, values: Mapping[str, int]) -> tuple[int, ...]:
        """Return the dimensions with every variable replaced by its value."""
        return tuple(evaluate(dim, values) for dim in self.dims)

    @property
    def variables(self) -> frozenset[str]:
        """The variables that its dimensions depend on."""
        return frozenset().union(*map(variables_of, self.dims))


def parse_dims(dims: Any) -> tuple[Expression, ...]:
    """Return the dimensions that JSON ``dims`` hold.

    Raises:
        ValueError: They hold none.
    """
    return tuple(parse_expression(dim) for dim in dims)


@dataclass(frozen=True)
class Signature:
    """All inputs of a model."""

    inputs: tuple[TensorSpec, ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables in order of first appearance over the inputs and their axes."""
        dims = [dim for tensor in self.inputs for dim in tensor.dims]
        plain = (dim for dim in dims if isinstance(dim, str))
        return tuple(dict.fromkeys([*plain, *sorted(frozenset().union(*map(variables_of, dims)))]))

    @property
    def may_be_empty(self) -> tuple[str, ...]:
        """The variables that may be 0, such as the past of a key-value cache at its first call.

        They are plain dimensions of floating-point inputs only, and elsewhere a term of a sum, which does not vanish;
        a decoder that has no mask tells it by the name alone. What a size of 0 does is analysed as any other is.
        """
        plain: dict[str, set[bool]] = {}
        summed: set[str] = set()
        vanish: set[str] = set()
        for tensor in self.inputs:
            for dim in tensor.dims:
                if isinstance(dim, str):
                    plain.setdefault(dim, set()).add(tensor.dtype in _FLOATING)
                elif isinstance(dim, tuple):
                    summed |= _terms(dim)
                    vanish |= variables_of(dim) - _terms(dim)
        states = (name for name in self.variables if plain.get(name) == {True})
        past = {name for name in plain if name.lower().startswith("past")} - vanish
        return tuple(name for name in states if name in summed | past)

    @property
    def size_variables(self) -> tuple[str, ...]:
        """The variables other than the batch."""
        return tuple(name for name in self.variables if name != self.batch)

    @property
    def batch(self) -> str | None:
        """The variable that counts items, None where there is none."""
        return batch_variable(self.variables)

    def shapes(self, values: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
        """Return every input's shape for one value per variable."""
        return {tensor.name: tensor.shape(values) for tensor in self.inputs}

    def sizes(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Return the value of every variable that is a dimension of one of the inputs with these shapes."""
        return {
            dim: size
            for tensor in self.inputs
            if tensor.name in shapes
            for dim, size in zip(tensor.dims, shapes[tensor.name], strict=True)
            if isinstance(dim, str)
        }

    def fixed_side(self, variable: str) -> int | None:
        """Return what the image side ``variable`` (``H`` or ``W``) is fixed to, None where it is not fixed."""
        for tensor in self.inputs:
            axes = _image_axes(tensor.dims)
            if axes and isinstance(side := tensor.dims[axes[variable]], int):
                return side
        return None


def _terms(dim: Expression) -> frozenset[str]:
    """Return the variables that are a term of a sum of several."""
    if not isinstance(dim, tuple) or dim[0] != "+":
        return frozenset()
    sides = (dim[1], dim[2])
    return frozenset(side for side in sides if isinstance(side, str)).union(*map(_terms, sides))


def is_batch(variable: str) -> bool:
    """Return whether a variable counts items: ``N``, or what exporters call that dimension of other models."""
    return variable.lower() in _BATCH_NAMES


def batch_variable(variables: Sequence[str]) -> str | None:
    """Return the variable that counts items, ``N`` before other names of it; None where there is none."""
    named = [name for name in variables if is_batch(name)]
    return BATCH if BATCH in named else next(iter(named), None)


@dataclass(frozen=True)
class ModelSignature:
    """All inputs and outputs of a model.

    Attributes:
        inputs: The inputs that a caller passes; initialisers listed as inputs are not among them.
        outputs: The outputs in the model's order; their dynamic dimensions carry the model's own names.
    """

    inputs: Signature
    outputs: tuple[TensorSpec, ...]


def name_dimensions(
    input_shape: Mapping[str, Sequence[int | str | None]], dtypes: Mapping[str, str] | None = None
) -> Signature:
    """Give every dynamic dimension its variable's name.

    A dimension of ``-1`` or ``None`` is dynamic. The text given for one is its name; a sum or product of the names of
    others, such as ``past + seq``, follows from those. In an image tensor (four dimensions, one of which is the fixed
    channel count 1, 3 or 4) of which no dimension has a name they are ``N``, ``H`` and ``W``; elsewhere the name is
    ``<input>_<axis>`` where there is none.

    Args:
        input_shape: Dimensions per input name.
        dtypes: Element type per input name; ``float32`` where absent.

    Raises:
        ConfigError: A dimension is zero, below -1 or no number.
    """
    tensors = []
    known = {dim for dims in input_shape.values() for dim in dims if isinstance(dim, str)}
    images = {
        name: {} if any(isinstance(dim, str) for dim in dims) else _image_axes(dims)
        for name, dims in input_shape.items()
    }
    known |= {
        variable
        for name, image in images.items()
        for variable, axis in image.items()
        if input_shape[name][axis] in (None, -1)
    }
    for name, dims in input_shape.items():
        _check_dims(name, dims)
        names = {axis: variable for variable, axis in images[name].items()}
        named = tuple(
            dim if isinstance(dim, int) and dim > 0 else names.get(axis) or _text(dim, known) or f"{name}_{axis}"
            for axis, dim in enumerate(dims)
        )
        tensors.append(TensorSpec(name, named, (dtypes or {}).get(name, "float32")))
    return Signature(tuple(tensors))


def _check_dims(name: str, dims: Sequence[int | str | None]) -> None:
    for axis, dim in enumerate(dims):
        number = isinstance(dim, int) and not isinstance(dim, bool)
        # Names that begin so are those of lengths that data decides.
        text = isinstance(dim, str) and not dim.startswith("?")
        if not (number or dim is None or text) or (isinstance(dim, int) and (dim == 0 or dim < -1)):
            raise ConfigError(
                f"dimension {axis} is {dim!r}",
                where=f"input_shape.{name}",
                fix="Write a positive number, -1 for a dynamic dimension, or a variable's name.",
            )


def _text(dim: int | str | None, known: Collection[str]) -> Expression:
    """Return the name, or the expression of other dimensions' names that it is."""
    if not isinstance(dim, str):
        return ""
    found = parse_sum(dim)
    return found if isinstance(found, tuple) and variables_of(found) <= set(known) else dim


def looks_like_image(dims: Sequence[int | str | None]) -> bool:
    """Return whether a tensor has an image's dimensions, and no name that says otherwise."""
    axes = _image_axes(dims)
    return bool(axes) and all(
        not isinstance(dims[axis], str) or str(dims[axis]).lower() in _IMAGE_NAMES[variable]
        for variable, axis in axes.items()
    )


def image_names(shapes: Iterable[Sequence[int | str | None]]) -> dict[str, str]:
    """Return by the name that an exporter gave a dimension of an image what it is: N, H or W."""
    images = [dims for dims in shapes if looks_like_image(dims)]
    named = ((dims[axis], variable) for dims in images for variable, axis in _image_axes(dims).items())
    return {dim: variable for dim, variable in named if isinstance(dim, str)}


def _image_axes(dims: Sequence[Expression | None]) -> dict[str, int]:
    """Return the axis of N, H and W in an image tensor, empty for any other tensor."""
    if len(dims) != 4:
        return {}
    if dims[1] in _IMAGE_CHANNELS:
        return {BATCH: 0, HEIGHT: 2, WIDTH: 3}
    if dims[3] in _IMAGE_CHANNELS:
        return {BATCH: 0, HEIGHT: 1, WIDTH: 2}
    return {}
