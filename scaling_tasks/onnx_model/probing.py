"""Running the original model at chosen sizes to see how large its outputs are."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from scaling_tasks.errors import ModelError
from scaling_tasks.onnx_model.original import open_original, random_inputs
from scaling_tasks.shapes.signature import Signature, is_batch

__all__ = ["Lengths", "Probes"]

Size = tuple[int, ...]
Shapes = Mapping[str, tuple[int, ...]]

# Consecutive sizes show every rounding of strides up to this; many detectors run at multiples of 32 only.
_WINDOW = 40
_STRIDES = (8, 16, 32, 64, 96, 128, 160)
_SMALLEST = 8


class Lengths(dict[Size, int]):
    """The observed lengths of one output axis by size, with the names of the sizes' columns."""

    def __init__(self, variables: Sequence[str], lengths: Mapping[Size, int]) -> None:
        super().__init__(lengths)
        self.variables = tuple(variables)

    def named(self) -> Iterator[tuple[dict[str, int], int]]:
        """Yield one value per variable, and the length seen there."""
        for size, length in self.items():
            yield dict(zip(self.variables, size, strict=True)), length


class Probes:
    """What the original model was seen to do, around the smallest planned sizes and along each variable.

    Args:
        path: The original model.
        signature: Its inputs.
        buckets: The planned buckets, columns in the order of ``signature.variables``.

    Raises:
        ModelError: It does not run at its smallest planned sizes, or not at two sizes of a variable.
    """

    def __init__(self, path: Path, signature: Signature, buckets: Sequence[Sequence[int]]) -> None:
        self.variables = signature.variables
        self._path, self._signature = path, signature
        self._model = open_original(path)
        self._seen: dict[Size, Shapes | None] = {}
        self._columns = [sorted(set(column)) for column in zip(*buckets, strict=True)] or [[1]] * len(self.variables)
        # One item is enough to see sizes, and cheap.
        self.base: Size = tuple(
            1 if is_batch(name) else column[0] for name, column in zip(self.variables, self._columns, strict=True)
        )
        self._run(self.base, required=True)
        for name in self.variables:
            self._walk(name)

    def rank(self, output: str) -> int:
        """Return the number of axes of ``output``."""
        return len(self._shapes(self.base)[output])

    def span(self, variable: str) -> tuple[int, int]:
        """Return the sizes between which ``variable`` is expected."""
        return 1, self._columns[self.variables.index(variable)][-1]

    def lengths(self, output: str, axis: int) -> Lengths:
        """Return all lengths seen of an axis of an output."""
        seen = {size: shapes[output][axis] for size, shapes in self._seen.items() if shapes is not None}
        return Lengths(self.variables, seen)

    def along(self, output: str, axis: int, variable: str) -> dict[int, int]:
        """Return the lengths seen where only ``variable`` differs from the base."""
        column = self.variables.index(variable)
        return {
            size[column]: length
            for size, length in self.lengths(output, axis).items()
            if all(size[other] == self.base[other] for other in range(len(size)) if other != column)
        }

    def add(self, variable: str, value: int) -> bool:
        """Run the base with ``variable`` at ``value``; return whether this is new and the model runs there."""
        size = self._moved(variable, value)
        return size not in self._seen and self._run(size) is not None

    def joint(self) -> Iterator[tuple[dict[str, int], Shapes]]:
        """Yield sizes and output shapes where several variables differ from the base at once."""
        steps = [
            (3, 2) if is_batch(name) else (column[0] + 32, column[0] + 13)
            for name, column in zip(self.variables, self._columns, strict=True)
        ]
        for size in itertools.islice(itertools.product(*steps), 16):
            shapes = self._run(size)
            if shapes is not None:
                yield dict(zip(self.variables, size, strict=True)), shapes

    def _walk(self, variable: str) -> None:
        column = self._columns[self.variables.index(variable)]
        first = column[0]
        if is_batch(variable):
            wanted = {1, 2, 3, 4, 5, 8}
        else:
            wanted = {*range(max(_SMALLEST, first - _WINDOW), first + _WINDOW), *(first + step for step in _STRIDES)}
            # The far end tells slopes apart that agree close by.
            wanted |= {column[-1], column[len(column) // 2]}
        ran = [value for value in sorted(wanted) if self._run(self._moved(variable, value)) is not None]
        if len(ran) < 2:
            raise ModelError(
                f"it runs at one size of {variable} only: {ran}",
                where=str(self._path),
                fix=f"Fix {variable} to {ran[0] if ran else first} with input_shape.",
            )

    def _moved(self, variable: str, value: int) -> Size:
        column = self.variables.index(variable)
        return (*self.base[:column], value, *self.base[column + 1 :])

    def _shapes(self, size: Size) -> Shapes:
        shapes = self._seen[size]
        assert shapes is not None
        return shapes

    def _run(self, size: Size, *, required: bool = False) -> Shapes | None:
        if size not in self._seen:
            values = dict(zip(self.variables, size, strict=True))
            try:
                results = self._model.run(random_inputs(self._signature, values, seed=0))
                self._seen[size] = {name: array.shape for name, array in results.items()}
            except ModelError:
                if required:
                    raise
                # Many models run at some sizes only, such as multiples of 32.
                self._seen[size] = None
        return self._seen[size]
