"""Requests that no bucket contains: refused, served by the dynamic model, or cut into pieces."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from scaling_tasks.compilers.contract import Engine
from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.engines import Loader, verify_files
from scaling_tasks.runtime.layout import batch_variable
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.shapes.expressions import evaluate, variables_of

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
        self._batch = batch_variable(manifest)
        if self.policy == "fallback" and (manifest.fallback is None or loader is None):
            raise BundleError(
                "the bundle has no dynamic model", where=manifest.model, fix="Build it with the fallback."
            )

    def error(self, shape: tuple[int, ...]) -> BundleError:
        """Return what to raise for ``shape``."""
        sizes = dict(zip(self._manifest.variables, shape, strict=True))
        largest = dict(zip(self._manifest.variables, self._table.largest, strict=True))
        return BundleError(
            f"no bucket contains {sizes}; the largest sizes are {largest}",
            where=self._manifest.model,
            fix="Make the input smaller, plan for such sizes, or set oversize to fallback or split.",
        )

    def run(self, arrays: Arrays) -> Arrays:
        """Run the dynamic model at exactly this size.

        Raises:
            BundleError: It is missing or damaged, or refuses the request.
        """
        with self._lock:
            if self._engine is None:
                self._engine = self._load()
            try:
                return dict(self._engine.run(arrays))
            except Exception as cause:
                raise BundleError(f"the dynamic model failed ({cause})", where=self._manifest.model) from cause

    def pieces(
        self, arrays: Arrays, shape: tuple[int, ...]
    ) -> tuple[list[tuple[Arrays, tuple[int, ...]]], dict[str, int]]:
        """Cut a request along the one variable that is too large.

        Returns:
            The pieces in order with their shapes, and per output the axis along which their results are to be joined.

        Raises:
            BundleError: More than one variable is too large, or the pieces' outputs would not add up to the whole's.
        """
        largest = self._table.largest
        # Too many rows are no matter: each piece is cut along the batch as any request is.
        names = self._manifest.variables
        large = [i for i, size in enumerate(shape) if size > largest[i] and names[i] != self._batch]
        if len(large) != 1:
            raise self.error(shape)
        variable = self._manifest.variables[large[0]]
        lengths = _lengths(shape[large[0]], largest[large[0]])
        axes = self._joined_axes(shape, large[0], lengths)
        pieces = []
        first = 0
        for length in lengths:
            piece = {name: self._piece(name, array, variable, first, length) for name, array in arrays.items()}
            pieces.append((piece, (*shape[: large[0]], length, *shape[large[0] + 1 :])))
            first += length
        return pieces, axes

    def close(self) -> None:
        """Release the dynamic model."""
        with self._lock:
            engine, self._engine = self._engine, None
            if engine is not None:
                engine.close()

    def _load(self) -> Engine:
        fallback = self._manifest.fallback
        if fallback is None or self._loader is None:
            raise BundleError("the bundle has no dynamic model", where=self._manifest.model)
        verify_files(self._directory, [fallback.file])
        return self._loader(self._directory / fallback.file.name, fallback.options)

    def _piece(self, name: str, array: NDArray[Any], variable: str, first: int, length: int) -> NDArray[Any]:
        tensor = next(tensor for tensor in self._manifest.signature.inputs.inputs if tensor.name == name)
        window = tuple(slice(first, first + length) if dim == variable else slice(None) for dim in tensor.dims)
        return array[window]

    def _joined_axes(self, shape: tuple[int, ...], column: int, lengths: list[int]) -> dict[str, int]:
        variables = self._manifest.variables
        joined = {}
        for name, axes in self._manifest.relations.axes.items():
            along = [axis for axis, length in enumerate(axes) if variables[column] in variables_of(length)]
            values = [dict(zip(variables, (*shape[:column], n, *shape[column + 1 :]), strict=True)) for n in lengths]
            whole = dict(zip(variables, shape, strict=True))
            if len(along) != 1 or sum(evaluate(axes[along[0]], each) for each in values) != evaluate(
                axes[along[0]], whole
            ):
                raise BundleError(
                    f"output {name!r} cannot be joined from pieces along {variables[column]}",
                    where=self._manifest.model,
                    fix="Set oversize to fallback, or plan for such sizes.",
                )
            joined[name] = along[0]
        return joined


def _lengths(size: int, most: int) -> list[int]:
    """Cut ``size`` into full pieces and a rest."""
    return [most] * (size // most) + ([size % most] if size % most else [])
