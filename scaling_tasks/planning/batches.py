"""What the batch variable sees: observed batches, and the statistics of each variable by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import BATCH
from scaling_tasks.shapes.statistics import DatasetStatistics

__all__ = ["fold_batches", "marginals"]


def fold_batches(histogram: ShapeHistogram, largest: int) -> tuple[ShapeHistogram, tuple[str, ...]]:
    """Split every batch above ``largest`` into full batches of ``largest`` and a rest; warn where any was."""
    column = histogram.variables.index(BATCH)
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


def marginals(
    statistics: DatasetStatistics, variables: Sequence[str], batch_choices: Sequence[int]
) -> dict[str, ShapeHistogram]:
    """Return what MindOCR's statistics look at, per variable: items for sizes, numbers of items for the batch.

    Where batches were not measured, every batch choice counts as seen.
    """
    columns = {}
    for name in variables:
        if name != BATCH:
            source = statistics.items if statistics.items is not None else statistics.histogram
            columns[name] = source.project([name])
    if BATCH in variables:
        measured = statistics.batch_counts
        if measured is None:
            observed = statistics.histogram.project([BATCH])
            choices = np.asarray(sorted(set(batch_choices)), dtype=np.int64)
            measured = (
                observed if len(observed.samples) > 1 else ShapeHistogram.from_samples(choices, variables=(BATCH,))
            )
        columns[BATCH] = measured
    return columns
