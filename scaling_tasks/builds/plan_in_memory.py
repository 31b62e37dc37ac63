"""Planning one target in memory: configuration in, plan out, nothing written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.config.load import load_target, parse_target
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.stages.analysis import analysed_now
from scaling_tasks.stages.buckets import make_plan
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature

if TYPE_CHECKING:
    from scaling_tasks.planning.bucket_plan import BucketPlan
    from scaling_tasks.shapes.dataset_statistics import DatasetStatistics

__all__ = ["plan_target"]


def plan_target(configuration: Mapping[str, Any] | str | Path) -> BucketPlan:
    """Return the plan for one target's configuration.

    Args:
        configuration: A mapping with the keys of a target's YAML file, or the path of such a file. Without a ``model``
            the ``input_shape`` says which dimensions are dynamic. Paths in a file are relative to the repository that
            holds its ``configs`` directory where they are not found from the current directory.

    Raises:
        ScalingTasksError: The configuration, the data set or the model is wrong, or no plan can be made.
    """
    if isinstance(configuration, Mapping):
        target = Target(parse_target(configuration))
    else:
        path = Path(configuration)
        target = Target(_rebase(load_target(path), path.resolve().parent), path.as_posix())
    analysed = analysed_now(target)[0] if target.compiles and target.spec.model else None
    return make_plan(target, target_signature(target), _statistics(target), analysed)


def _statistics(target: Target) -> DatasetStatistics | None:
    dataset = target.spec.dataset
    if dataset is None or not target.needs_data:
        return None
    from scaling_tasks.samples.compute_statistics import compute_statistics
    from scaling_tasks.samples.scan import scan

    with tempfile.TemporaryDirectory() as directory:
        measurements = scan(dataset, Path(directory) / "cache")
    return compute_statistics(measurements, target_signature(target).inputs, target.spec.auto_scaling, dataset)


def _rebase(spec: TargetSpec, directory: Path) -> TargetSpec:
    """Return the spec with paths that exist only from the repository's root made to start there."""
    root = directory.parent

    def found(path: str) -> str:
        return str(root / path) if not Path(path).exists() and (root / path).exists() else path

    dataset = spec.dataset and msgspec.structs.replace(spec.dataset, path=found(spec.dataset.path))
    return msgspec.structs.replace(spec, model=spec.model and found(spec.model), dataset=dataset)
