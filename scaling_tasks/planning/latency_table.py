"""The document of what one inference costs at each shape: what is measured, and what plans are made by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import PlanError

__all__ = ["LatencyTable"]

_KIND, _VERSION = "latencies", 1
_MOST = 1 << 20  # shapes


class _Document(msgspec.Struct):
    variables: list[str]
    shapes: Annotated[list[list[Annotated[int, Meta(ge=1, lt=1 << 31)]]], Meta(max_length=_MOST)]
    seconds: Annotated[list[Annotated[float, Meta(ge=0, le=1e9)]], Meta(max_length=_MOST)]
    # Not in a table that somebody wrote for one device.
    backend: str = ""
    threads: Annotated[int, Meta(ge=0, lt=1 << 31)] = 0


@dataclass(frozen=True)
class LatencyTable:
    """Seconds of one inference per shape.

    Attributes:
        variables: Names of a shape's columns.
        backend: What ran.
        threads: How many threads it had.
        seconds: Per shape the median, warm.
    """

    variables: tuple[str, ...]
    backend: str
    threads: int
    seconds: Mapping[tuple[int, ...], float]

    def to_json(self) -> str:
        """Return the ``latencies`` document, rounded to what clocks resolve."""
        shapes = sorted(self.seconds)
        found = _Document(
            list(self.variables),
            [list(shape) for shape in shapes],
            [round(self.seconds[shape], 6) for shape in shapes],
            self.backend,
            self.threads,
        )
        return document_text(_KIND, _VERSION, msgspec.structs.asdict(found), sealed=False)

    @classmethod
    def load(cls, path: Path) -> LatencyTable:
        """Read what ``to_json`` gave; of a shape that is there twice the least counts.

        Raises:
            PlanError: The file is missing or holds something else.
        """
        fix = "Correct it, or measure again."
        return read_document(path, _KIND, _VERSION, error=PlanError, build=cls._of, sealed=False, fix=fix)

    @classmethod
    def _of(cls, payload: Mapping[str, Any]) -> LatencyTable:
        found = msgspec.convert(payload, _Document)
        if len(set(found.variables)) != len(found.variables):
            raise ValueError("a variable that is there twice")
        if any(len(shape) != len(found.variables) for shape in found.shapes):
            raise ValueError("a shape of another length than the variables")
        seconds: dict[tuple[int, ...], float] = {}
        for shape, value in zip(map(tuple, found.shapes), found.seconds, strict=True):
            seconds[shape] = min(value, seconds.get(shape, value))
        return cls(tuple(found.variables), found.backend, found.threads, seconds)

    def fits(self, other: LatencyTable) -> bool:
        """Whether two tables speak of the same thing, so that one may complete the other."""
        return (self.variables, self.backend, self.threads) == (other.variables, other.backend, other.threads)
