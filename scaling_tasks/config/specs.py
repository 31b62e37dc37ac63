"""What one target's configuration may say, with every default.

The keys of ``auto_scaling`` and their defaults are MindOCR's; those of ``shape_bucket`` are nncase's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "AutoScalingSpec",
    "CompileSpec",
    "DatasetSpec",
    "DefaultScaling",
    "ShapeBucketSpec",
    "TargetSpec",
    "VerifySpec",
]

Positive = Annotated[int, Meta(ge=1)]
Fraction = Annotated[float, Meta(ge=0)]
Strategy = Literal["optimal", "mean_std", "max_min", "segments", "explicit"]


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=False):
    """Base of all specs: immutable, keyword-only, unknown keys refused."""


class DatasetSpec(_Spec, frozen=True):
    """Where the data is and how to read it."""

    path: str
    format: Literal["auto", "images", "annotation", "csv", "jsonl", "parquet"] = "auto"
    strict: bool = False


class DefaultScaling(_Spec, frozen=True):
    """Sizes used where there is no data set (MindOCR's lists)."""

    batch_size: tuple[Positive, ...] = (1, 4, 8, 16, 32)
    height: tuple[Positive, ...] = tuple(range(32, 641, 32))
    width: tuple[Positive, ...] = tuple(range(64, 961, 32))


class AutoScalingSpec(_Spec, frozen=True):
    """How buckets are chosen from the data set's statistics."""

    strategy: Strategy = "optimal"
    n_std: Fraction = 3
    expand_ratio: Fraction = 0.2
    limit_side_len: Positive = 1280
    width_range: tuple[Positive, Positive] = (1, 8192)
    height_range: tuple[Positive, Positive] = (1, 8192)
    interval: Positive = 32
    max_scaling_num: Positive = 100
    batch_choices: tuple[Positive, ...] = (1, 4, 8, 16, 32, 64)
    default_scaling: DefaultScaling = DefaultScaling()
    buckets: tuple[dict[str, Positive], ...] = ()


class ShapeBucketSpec(_Spec, frozen=True):
    """Buckets from ranges, without a data set; nncase's option names."""

    shape_bucket_enable: bool = True
    shape_bucket_range_info: dict[str, tuple[Positive, Positive]] = {}
    shape_bucket_segments_count: Annotated[int, Meta(ge=2)] = 2
    shape_bucket_fix_var_map: dict[str, Positive] = {}
    combine: Literal["diagonal", "product"] = "diagonal"


class CompileSpec(_Spec, frozen=True):
    """Which compiler makes the artefacts, and how."""

    backend: str = "lite"
    device: Literal["ascend", "cpu"] = "ascend"
    soc_version: str = "Ascend310P3"
    timeout: Annotated[float, Meta(gt=0)] = 3600
    options: dict[str, Any] = {}


class VerifySpec(_Spec, frozen=True):
    """How far an artefact may differ from the original model; the backend's own tolerance where left out."""

    absolute: Fraction | None = None
    relative: Fraction | None = None


class TargetSpec(_Spec, frozen=True):
    """One target: one model, one data set, one backend."""

    name: str = "target"
    model: str | None = None
    input_shape: dict[str, tuple[int | str, ...]] | None = None
    dataset: DatasetSpec | None = None
    auto_scaling: AutoScalingSpec = AutoScalingSpec()
    shape_bucket: ShapeBucketSpec | None = None
    compile: CompileSpec | None = None
    verify: VerifySpec = VerifySpec()
    output: str | None = None
