"""Stage ``statistics``: the scan cache to ``statistics.json``."""

from __future__ import annotations

from typing import Any

from scaling_tasks.files import write_if_changed
from scaling_tasks.pipeline.scan import cache, dataset_of
from scaling_tasks.pipeline.signature import target_signature
from scaling_tasks.pipeline.target import Target

__all__ = ["run"]


def run(target: Target) -> dict[str, Any]:
    """Count the shapes that the target's model will see.

    Raises:
        DatasetError: The data set has nothing that the model's variables could be taken from.
        ModelError: The model cannot be read.
    """
    from scaling_tasks.samples.scan import read_measurements
    from scaling_tasks.samples.statistics import compute_statistics

    dataset = dataset_of(target)
    measurements = read_measurements(dataset, cache(target))
    signature = target_signature(target).inputs
    statistics = compute_statistics(measurements, signature, target.spec.auto_scaling, dataset)
    write_if_changed(target.statistics, statistics.to_json().encode())
    return {"samples": len(statistics.histogram.samples), "weight": statistics.histogram.total}
