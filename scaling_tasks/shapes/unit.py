"""A unit: the buckets that one compiler invocation holds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Unit"]


@dataclass(frozen=True)
class Unit:
    """One compiler invocation.

    Attributes:
        name: Distinguishes it within its target: ``W320``, ``N1_W320``, ``dynamic_hw``, ``static``.
        stem: File name of its artefact without extension: ``<model>_<name>``.
        variables: Names of the bucket columns; empty for a model without dynamic dimensions.
        buckets: The buckets it holds, one value per variable each.
    """

    name: str
    stem: str
    variables: tuple[str, ...]
    buckets: tuple[tuple[int, ...], ...]

    def values(self) -> list[dict[str, int]]:
        """Return each bucket as a mapping from variable to value."""
        return [dict(zip(self.variables, bucket, strict=True)) for bucket in self.buckets]
