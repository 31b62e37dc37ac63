"""Checking what a caller passes, and reading the variables' values off it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import RequestError, one_line
from scaling_tasks.runtime.policies import Padding
from scaling_tasks.shapes.behaviour import Behaviour
from scaling_tasks.shapes.expressions import as_text, evaluate
from scaling_tasks.shapes.rounding import padded_to
from scaling_tasks.shapes.signature import Signature, TensorSpec

__all__ = ["Arrays", "RequestReader", "nearest"]

Arrays = dict[str, NDArray[Any]]


# Every real size is larger.
_UNKNOWN = -1

# Of one request: each is planned for by itself.
_MOST_ROWS = 65_536

# Letters of a wrong name, to find the nearest to it.
_NAME = 200


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name that a wrong one is most like, None where none is known."""
    return next(iter(difflib.get_close_matches(str(name)[:_NAME], known, n=1, cutoff=0.0)), None)


class RequestReader:
    """Knows the inputs of one model.

    Args:
        model: Name of the model, shown in messages.
        signature: The inputs.
        padding: The policy of each; masks may be left out of a request.
        behaviour: Says at which sizes the model runs.
        round_up: Whether other sizes are padded with zeros to the next ones at which it does.
        refuse_nan: Whether NaN in an input is an error; one row with NaN would otherwise go unnoticed until the answer.
    """

    def __init__(
        self,
        model: str,
        signature: Signature,
        padding: Mapping[str, Padding],
        behaviour: Behaviour,
        *,
        round_up: bool = False,
        refuse_nan: bool = True,
    ) -> None:
        self._model = model
        self._signature = signature
        self._variables = signature.variables
        columns = {name: column for column, name in enumerate(self._variables)}
        self._specs = [_Spec(tensor, columns) for tensor in signature.inputs]
        self._names = {tensor.name for tensor in signature.inputs}
        self._follows = [
            (spec, axis, dim) for spec in self._specs for axis, dim in enumerate(spec.dims) if isinstance(dim, tuple)
        ]
        self._rows = columns.get(behaviour.rows or "")
        self._masks = {name for name, policy in padding.items() if policy.mask}
        self._refuse_nan, self._behaviour, self._round_up = refuse_nan, behaviour, round_up

    def read(self, inputs: Mapping[str, Any]) -> tuple[Arrays, tuple[int, ...]]:
        """Return the inputs as arrays, masks added, and one value per variable.

        Raises:
            RequestError: Wrong names, ranks, element types or sizes, or NaN.
        """
        if type(inputs) is not dict and not isinstance(inputs, Mapping):
            raise RequestError(
                f"a request is a mapping from input name to array, not {type(inputs).__name__}", where=self._model
            )
        if inputs.keys() != self._names:
            self._check_names(inputs)
        values = [_UNKNOWN] * len(self._variables)
        arrays: Arrays = {}
        for spec in self._specs:
            if spec.name in inputs:
                array = arrays[spec.name] = self._array(spec, inputs[spec.name])
                for axis, column in spec.variable_axes:
                    size = array.shape[axis]
                    if size != values[column]:
                        self._set(values, spec.name, axis, column, size)
        if len(arrays) != len(self._specs):
            self._add_masks(arrays, values)
        if self._follows:
            self._check_dependent(arrays, values)
        if self._rows is not None and values[self._rows] > _MOST_ROWS:
            raise RequestError(
                f"the request has {values[self._rows]} rows, more than {_MOST_ROWS}",
                where=self._model,
                fix="Send several requests.",
            )
        if self._behaviour.requirements or self._behaviour.limits:
            return self._running(arrays, values)
        return arrays, tuple(values)

    def _check_dependent(self, arrays: Arrays, values: list[int]) -> None:
        """Compare axes that follow from others with what follows."""
        named = dict(zip(self._variables, values, strict=True))
        for spec, axis, dim in self._follows:
            expected = evaluate(dim, named)
            if arrays[spec.name].shape[axis] != expected:
                raise RequestError(
                    f"axis {axis} is {arrays[spec.name].shape[axis]} long, not {as_text(dim)} = {expected}",
                    where=f"{self._model}: input {spec.name!r}",
                    fix="Give all inputs of one request sizes that go together.",
                )

    def _running(self, arrays: Arrays, values: list[int]) -> tuple[Arrays, tuple[int, ...]]:
        """Return the request at a size at which the model runs."""
        sizes = dict(zip(self._variables, values, strict=True))
        if self._behaviour.runs_at(sizes):
            return arrays, tuple(values)
        larger = self._behaviour.next_running(sizes)
        if self._round_up and larger != sizes:
            for tensor in self._signature.inputs:
                arrays[tensor.name] = padded_to(arrays[tensor.name], tensor.shape(larger))
            return arrays, tuple(larger[name] for name in self._variables)
        smaller = self._behaviour.next_running(sizes, step=-1)
        near = " and ".join(str(each) for each in (smaller, larger) if each != sizes)
        raise RequestError(
            f"the original model does not run at {sizes}",
            where=self._model,
            fix=f"The nearest sizes at which it does: {near}." if near else "Send another size.",
        )

    def _array(self, spec: _Spec, value: Any) -> NDArray[Any]:
        array = value if type(value) is np.ndarray else self._converted(spec, value)
        if array.dtype != spec.dtype or array.ndim != spec.rank:
            self._refuse_kind(spec, array)
        for axis, size in spec.fixed_axes:
            if array.shape[axis] != size:
                raise RequestError(
                    f"axis {axis} is {array.shape[axis]} long but the model fixes it to {size}",
                    where=f"{self._model}: input {spec.name!r}",
                    fix=f"Pass an array of shape {list(spec.dims)}.",
                )
        if self._refuse_nan and spec.floating and _has_nan(array):
            raise RequestError(
                "the array holds NaN", where=f"{self._model}: input {spec.name!r}", fix="Mend the input."
            )
        return array

    def _converted(self, spec: _Spec, value: Any) -> NDArray[Any]:
        try:
            return np.asarray(value)
        except (ValueError, TypeError, ArithmeticError, RecursionError) as cause:
            raise RequestError(
                f"what was passed is no array ({one_line(cause)})",
                where=f"{self._model}: input {spec.name!r}",
                fix=f"Pass an array of shape {list(spec.dims)}.",
            ) from cause

    def _refuse_kind(self, spec: _Spec, array: NDArray[Any]) -> None:
        where = f"{self._model}: input {spec.name!r}"
        if array.ndim != spec.rank:
            raise RequestError(
                f"the array has {array.ndim} axes, not {spec.rank}",
                where=where,
                fix=f"Pass an array of shape {list(spec.dims)}.",
            )
        raise RequestError(
            f"the array is of {array.dtype}, not {spec.dtype}",
            where=where,
            fix=f"Convert it: .astype({spec.dtype.name!r}).",
        )

    def _set(self, values: list[int], name: str, axis: int, column: int, size: int) -> None:
        where = f"{self._model}: input {name!r}"
        if size == 0 and self._variables[column] not in self._behaviour.empty:
            raise RequestError(f"axis {axis} ({self._variables[column]}) is empty", where=where, fix="Leave it out.")
        if values[column] != _UNKNOWN:
            raise RequestError(
                f"axis {axis} is {size} long but {self._variables[column]} is {values[column]} in another input",
                where=where,
                fix="Give all inputs of one request the same sizes.",
            )
        values[column] = size

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        for name in inputs:
            if name not in self._names:
                fix = f"Did you mean {nearest(name, self._names)!r}?"
                raise RequestError(f"there is no input {one_line(repr(name))}", where=self._model, fix=fix)
        missing = self._names - self._masks - inputs.keys()
        if missing:
            raise RequestError(f"the inputs {sorted(missing)} are missing", where=self._model, fix="Pass them too.")

    def _add_masks(self, arrays: Arrays, values: list[int]) -> None:
        named = dict(zip(self._variables, values, strict=True))
        for spec in self._specs:
            if spec.name not in arrays:
                shape = spec.tensor.shape(named)
                if _UNKNOWN in shape:
                    raise RequestError(f"its size is unknown: {spec.name!r} must be passed", where=self._model)
                arrays[spec.name] = np.ones(shape, spec.dtype)


class _Spec:
    """What is looked up per input, made once."""

    def __init__(self, tensor: TensorSpec, columns: Mapping[str, int]) -> None:
        self.tensor = tensor
        self.name, self.dims, self.rank = tensor.name, tensor.dims, len(tensor.dims)
        self.dtype = np.dtype(tensor.dtype)
        self.floating = self.dtype.kind == "f"
        self.fixed_axes = [(axis, dim) for axis, dim in enumerate(tensor.dims) if isinstance(dim, int)]
        self.variable_axes = [(axis, columns[dim]) for axis, dim in enumerate(tensor.dims) if isinstance(dim, str)]


def _has_nan(array: NDArray[Any]) -> bool:
    if not array.flags.c_contiguous:
        # What was broadcast is one number, though an array of all of them might take terabytes.
        array = array[tuple(slice(None if stride else 1) for stride in array.strides)]
    if array.dtype.itemsize < 4:
        return bool(np.isnan(array).any())
    if not array.flags.c_contiguous:
        return bool(array.size and np.isnan(array.min()))
    # A sum of squares is NaN exactly if an element is, and needs no array of flags.
    flat = array.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isnan(np.dot(flat, flat)))
