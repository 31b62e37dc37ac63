"""What the batch variable sees: observed batches, and the statistics of each variable by itself."""

from __future__ import annotations

import numpy as np

from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.shapes.dataset_statistics import Column, DatasetStatistics
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import HEIGHT, WIDTH, Signature

__all__ = ["columns_of", "fold_batches"]


def fold_batches(histogram: ShapeHistogram, batch: str, largest: int) -> tuple[ShapeHistogram, tuple[str, ...]]:
    """Split every batch above ``largest`` into full batches of ``largest`` and a rest; warn where any was."""
    column = histogram.variables.index(batch)
    counts = histogram.samples[:, column]
    above = counts > largest
    if not above.any():
        return histogram, ()
    full, rest = np.divmod(counts[above], largest)
    whole = histogram.samples[above].copy()
    whole[:, column] = largest
    part = histogram.samples[above].copy()
    part[:, column] = rest
    samples = np.concatenate([histogram.samples[~above], whole, part[rest > 0]])
    mass = histogram.weights[above]
    weights = np.concatenate([histogram.weights[~above], mass * full, mass[rest > 0]])
    share = float(mass.sum()) / histogram.total
    note = f"{share:.2%} of the batches have more than {largest} items and count as several."
    return ShapeHistogram.from_samples(samples, weights, histogram.variables), (note,)


def columns_of(statistics: DatasetStatistics, signature: Signature, scaling: AutoScalingSpec) -> dict[str, Column]:
    """Return what MindOCR's statistics look at, per variable: items for sizes, numbers of items for the batch.

    Sides that its analyser rounds to 0 are 0 here. Where batches were not measured, every batch choice counts as seen.
    """
    source = statistics.items if statistics.items is not None else statistics.histogram
    both = {HEIGHT, WIDTH} <= set(signature.variables)
    columns = {
        name: Column.of(source, name).with_zeros(statistics.zeros.get(name, 0.0), scaling.interval if both else 1)
        for name in signature.size_variables
    }
    batch = signature.batch
    if batch is not None:
        measured = statistics.batch_counts
        observed = Column.of(statistics.histogram if measured is None else measured, batch)
        if measured is None and len(observed.sizes) < 2:
            choices = np.asarray(sorted(set(scaling.batch_choices)), dtype=np.int64)
            observed = Column(choices, np.ones(len(choices)))
        columns[batch] = observed
    return columns
