"""A unit: the buckets that one compiler invocation holds."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_tasks.errors import PlanError, one_line
from scaling_tasks.names import plain_name

__all__ = ["Unit"]

_LONGEST = 240  # bytes, of the 255 that file systems take: endings follow


@dataclass(frozen=True)
class Unit:
    """One compiler invocation.

    Attributes:
        name: Distinguishes it within its target: ``W320``, ``N1_W320``, ``dynamic_hw``, ``static``.
        stem: File name of its artefact without extension: ``<model>_<name>``.
        variables: Names of the bucket columns; empty for a model without dynamic dimensions.
        buckets: The buckets it holds, one value per variable each.

    Raises:
        PlanError: The name or the stem is no component of a path: records, logs and artefacts are called so.
    """

    name: str
    stem: str
    variables: tuple[str, ...]
    buckets: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        try:
            plain_name(self.name, _LONGEST)
            plain_name(self.stem, _LONGEST)
        except ValueError as cause:
            what = f"a unit {one_line(repr(self.name))} with the stem {one_line(repr(self.stem))} cannot name files"
            fix = f"Give the model and its dimensions plain names of at most {_LONGEST} bytes together."
            raise PlanError(what, fix=fix) from cause

    def values(self) -> list[dict[str, int]]:
        """Return each bucket as a mapping from variable to value."""
        return [dict(zip(self.variables, bucket, strict=True)) for bucket in self.buckets]
