"""Requests that no bucket contains: refused, served by the dynamic model, or cut into pieces."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scaling_tasks.engines.contract import Engine
from scaling_tasks.errors import BundleError, RequestError, reason_of
from scaling_tasks.runtime.cropping import widened
from scaling_tasks.runtime.loading import Loader, load_verified
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.shapes.layouts import layout_length

__all__ = ["OversizeServer"]


class OversizeServer:
    """Applies the policy of the manifest.

    Args:
        directory: Of the bundle.
        manifest: With the policy, and the dynamic model for ``fallback``.
        loader: Loads the dynamic model.
        table: The buckets.

    Raises:
        BundleError: The policy is ``fallback`` and the bundle has no dynamic model.
    """

    def __init__(self, directory: Path, manifest: Manifest, loader: Loader | None, table: BucketTable) -> None:
        self.policy = manifest.oversize
        self._directory, self._manifest, self._loader, self._table = directory, manifest, loader, table
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._closed = False
        self._batch = manifest.behaviour.rows
        if self.policy == "fallback" and (manifest.fallback is None or loader is None):
            raise BundleError(
                "the bundle has no dynamic model", where=manifest.model, fix="Build it with the fallback."
            )

    def error(self, shape: tuple[int, ...]) -> RequestError:
        """Return what to raise for ``shape``."""
        limits = zip(self._manifest.variables, self._table.largest, shape, strict=True)
        beyond = [f"{name} is {most} at most" for name, most, size in limits if size > most]
        # Each of the sizes is in some bucket: that the largest of each are larger would be no reason.
        told = ", ".join(beyond) or f"the nearest are {' and '.join(map(self._named, self._nearest(shape)))}"
        others = "`runtime.oversize: fallback`" + (" or `split`" if self.policy == "error" else "")
        fix = f"Make the input smaller, or build the bundle for such sizes, or with {others}."
        return RequestError(
            f"no bucket contains {self._named(shape)}{'' if beyond else ' together'}: {told}",
            where=self._manifest.model,
            fix="The original model serves it." if self.policy == "fallback" else fix,
        )

    def _named(self, sizes: Sequence[int]) -> str:
        return str(dict(zip(self._manifest.variables, sizes, strict=True)))

    def _nearest(self, shape: Sequence[int]) -> list[tuple[int, ...]]:
        """Return the buckets of which a shape is beyond by the least, in proportion: two at most."""

        def beyond(bucket: Sequence[int]) -> float:
            return max(size / have for size, have in zip(shape, bucket, strict=True))

        return sorted(set(self._table.buckets), key=lambda each: (beyond(each), each))[:2]

    def run(self, arrays: Arrays) -> Arrays:
        """Run the dynamic model at exactly this size.

        Raises:
            BundleError: It is missing or damaged, or refuses the request, or the model is closed.
        """
        with self._lock:
            if self._closed:
                raise BundleError("the model is closed", where=self._manifest.model, fix="Load the bundle again.")
            if self._engine is None:
                self._engine = self._load()
            try:
                dtypes = {tensor.name: tensor.dtype for tensor in self._manifest.signature.outputs}
                return widened(self._engine.run(arrays), dtypes)
            except Exception as cause:
                what = f"the dynamic model failed ({reason_of(cause)})"
                raise BundleError(what, where=self._manifest.model) from cause

    def pieces(
        self, arrays: Arrays, shape: tuple[int, ...]
    ) -> tuple[list[tuple[Arrays, tuple[int, ...]]], dict[str, int]]:
        """Cut a request along one variable into pieces that buckets contain: along the one that takes fewest pieces.

        Returns:
            The pieces in order with their shapes, and per output the axis along which their results are to be joined.

        Raises:
            BundleError: No cut along one variable is enough, or the pieces' outputs would not add up to the whole's.
        """
        column, lengths, axes = self._cut(shape)
        variable = self._manifest.variables[column]
        pieces = []
        first = 0
        for length in lengths:
            piece = {name: self._piece(name, array, variable, first, length) for name, array in arrays.items()}
            pieces.append((piece, (*shape[:column], length, *shape[column + 1 :])))
            first += length
        return pieces, axes

    def _cut(self, shape: tuple[int, ...]) -> tuple[int, list[int], dict[str, int]]:
        """Return the column to cut along, the lengths of the pieces, and the axes along which outputs are joined."""
        names = self._manifest.variables
        # Too many rows are no matter: each piece is cut along the batch as any request is.
        alone = tuple(1 if name == self._batch else size for name, size in zip(names, shape, strict=True))
        longest = {column: self._longest(alone, column) for column, name in enumerate(names) if name != self._batch}
        cuts = [(column, _lengths(shape[column], most)) for column, most in longest.items() if most and shape[column]]
        refused: RequestError | None = None
        for column, lengths in sorted(cuts, key=lambda cut: (len(cut[1]), self._cost(alone, *cut))):
            try:
                return column, lengths, self._joined_axes(shape, column, lengths)
            except RequestError as error:
                refused = refused or error
        raise refused or self.error(shape)

    def _cost(self, shape: tuple[int, ...], column: int, lengths: list[int]) -> float:
        pieces = ((*shape[:column], length, *shape[column + 1 :]) for length in lengths)
        return sum(self._table.costs[self._table.find(piece)] for piece in pieces)

    def _longest(self, shape: tuple[int, ...], column: int) -> int:
        """Return the largest size of a bucket in ``column`` that contains the shape's other sizes, 0 for none."""
        others = [other for other in range(len(shape)) if other != column]
        fitting = (bucket for bucket in self._table.buckets if all(bucket[other] >= shape[other] for other in others))
        return max((bucket[column] for bucket in fitting), default=0)

    def close(self) -> None:
        """Release the dynamic model."""
        with self._lock:
            self._closed = True
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()

    def _load(self) -> Engine:
        fallback = self._manifest.fallback
        if fallback is None or self._loader is None:
            raise BundleError("the bundle has no dynamic model", where=self._manifest.model)
        return load_verified(self._directory, [fallback.file], self._loader, fallback.options)

    def _piece(self, name: str, array: NDArray[Any], variable: str, first: int, length: int) -> NDArray[Any]:
        tensor = next(tensor for tensor in self._manifest.signature.inputs.inputs if tensor.name == name)
        window = tuple(slice(first, first + length) if dim == variable else slice(None) for dim in tensor.dims)
        return array[window]

    def _joined_axes(self, shape: tuple[int, ...], column: int, lengths: list[int]) -> dict[str, int]:
        variables = self._manifest.variables
        joined = {}
        values = [dict(zip(variables, (*shape[:column], n, *shape[column + 1 :]), strict=True)) for n in lengths]
        whole = dict(zip(variables, shape, strict=True))
        for name, axes in self._manifest.behaviour.layouts.items():
            at = self._manifest.behaviour.join_axis(name, variables[column])
            if (
                axes is None
                or at is None
                or variables[column] in self._manifest.behaviour.mixed
                or sum(layout_length(axes[at], each) for each in values) != layout_length(axes[at], whole)
            ):
                raise RequestError(
                    f"output {name!r} cannot be joined from pieces along {variables[column]}",
                    where=self._manifest.model,
                    fix="Build the bundle with `runtime.oversize: fallback`, or for such sizes.",
                )
            joined[name] = at
        return joined


def _lengths(size: int, most: int) -> list[int]:
    """Cut ``size`` into full pieces and a rest."""
    return [most] * (size // most) + ([size % most] if size % most else [])
