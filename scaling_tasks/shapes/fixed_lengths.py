"""Outputs of a fixed shape whose true length the model tells: cutting them to what a run gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import EngineError, RequestError
from scaling_tasks.shapes.layouts import (
    Layout,
    is_plain,
    layout_length,
    layout_variables,
    parse_layout,
    valid_positions,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FixedLengths", "lengths_file"]

_KIND, _VERSION = "fixed_lengths", 1


def lengths_file(artefact: Path) -> Path:
    """Return where the lengths of an artefact are told, if it has such."""
    return artefact.with_name(f"{artefact.name}.lengths.json")


@dataclass(frozen=True)
class FixedLengths:
    """Lengths that data decides, in an artefact whose outputs have fixed shapes.

    Attributes:
        counts: By length, called after the node that makes it, the output that tells it, ``[1, 1]`` of float32; it is
            none of the model's own.
        longest: By length the most that it can be.
        layouts: The axes of each output that has such a length in some axis.
    """

    counts: Mapping[str, str]
    longest: Mapping[str, int]
    layouts: Mapping[str, tuple[Layout, ...]]

    def cut(self, outputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return the model's own outputs, as long as the data made them.

        Raises:
            RequestError: The data made something longer than was said that it can get.
        """
        import numpy as np

        told = {name: int(np.reshape(outputs[output], -1)[0]) for name, output in self.counts.items()}
        for name, count in told.items():
            if count > self.longest[name]:
                raise RequestError(
                    f"{name!r} makes {count} positions of what the request holds, where {self.longest[name]} fit",
                    fix="Raise it in `compile.options.longest` and build again.",
                )
        hidden = set(self.counts.values())
        found = {name: array for name, array in outputs.items() if name not in hidden}
        for name, axes in self.layouts.items():
            for at, axis in enumerate(axes):
                if layout_variables(axis):
                    found[name] = self._kept(found[name], at, axis, told)
        return found

    def bounds(self, output: str) -> list[int | None]:
        """Return how long each axis of an output can get, None for axes that data does not decide."""
        return [
            int(layout_length(axis, self.longest)) if layout_variables(axis) else None for axis in self.layouts[output]
        ]

    def _kept(self, array: NDArray[Any], at: int, axis: Layout, told: Mapping[str, int]) -> NDArray[Any]:
        if is_plain(axis):
            return array[(slice(None),) * at + (slice(0, int(layout_length(axis, told))),)]
        return array.take(valid_positions(axis, self.longest, told), axis=at)

    def write(self, path: Path) -> None:
        """Write them as a document."""
        path.write_text(document_text(_KIND, _VERSION, dict(vars(self))), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> FixedLengths:
        """Read what ``write`` wrote.

        Raises:
            EngineError: It is missing or damaged.
        """
        return read_document(path, _KIND, _VERSION, error=EngineError, build=_from_payload)


def _from_payload(payload: Mapping[str, Any]) -> FixedLengths:
    counts = {str(name): str(output) for name, output in payload["counts"].items()}
    longest = {name: int(payload["longest"][name]) for name in counts}
    layouts = {str(name): tuple(map(parse_layout, axes)) for name, axes in payload["layouts"].items()}
    unknown = frozenset().union(*(layout_variables(axis) for axes in layouts.values() for axis in axes)) - set(counts)
    if unknown:
        raise ValueError(f"nothing tells {min(unknown)!r}")
    return FixedLengths(counts, longest, layouts)
