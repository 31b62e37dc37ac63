"""A unit: the buckets that one compiler invocation holds."""

from __future__ import annotations

from dataclasses import dataclass

from scaling_tasks.errors import PlanError, one_line
from scaling_tasks.paths import is_inner_name, is_plain_name

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
        plain = is_plain_name(self.name, _LONGEST) and is_inner_name(self.stem) and "/" not in self.stem
        if not plain or len(self.stem.encode("utf-8", "replace")) > _LONGEST:
            what = f"a unit {one_line(repr(self.name))} with the stem {one_line(repr(self.stem))} cannot name files"
            raise PlanError(what, fix=f"Give the model and its dimensions names of at most {_LONGEST} bytes together.")

    def values(self) -> list[dict[str, int]]:
        """Return each bucket as a mapping from variable to value."""
        return [dict(zip(self.variables, bucket, strict=True)) for bucket in self.buckets]
