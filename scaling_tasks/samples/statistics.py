"""From raw measurements to what planning needs: samples over the model's variables, items and requests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.config.preprocessing import preprocessing_spec
from scaling_tasks.config.specs import AutoScalingSpec, DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.geometry import network_lengths, network_sides
from scaling_tasks.samples.matching import Matched, match_columns
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import BATCH, HEIGHT, WIDTH, Signature
from scaling_tasks.shapes.statistics import DatasetStatistics, Requests

__all__ = ["compute_statistics"]


def compute_statistics(
    measurements: Measurements, signature: Signature, auto_scaling: AutoScalingSpec, dataset: DatasetSpec
) -> DatasetStatistics:
    """Preprocess the raw sizes and count them.

    Without a dynamic batch there is one sample per image, box or row. With one, the boxes of an annotation line (the
    elements of a row's lists) are one request: its sample is their count with their largest sides. A ``batch`` column
    gives N as it stands; where nothing tells, N is 1.

    Raises:
        DatasetError: The data has no column for a variable, unusable values, or does not fit the preprocessing.
    """
    if not signature.variables:
        raise DatasetError("the model has no dynamic dimension, so no data is needed", where=dataset.path)
    matched = match_columns(measurements, signature, dataset)
    items = _items(matched, signature, auto_scaling, dataset)
    names = signature.size_variables
    histogram = ShapeHistogram.from_samples(items, matched.weights, names) if names else None
    if BATCH not in signature.variables:
        assert histogram is not None
        return DatasetStatistics(histogram, histogram, None, measurements.source)
    requests, batches, weights = _requests(items, names, matched)
    samples = ShapeHistogram.from_samples(_in_order(batches, names, signature), weights, signature.variables)
    return DatasetStatistics(samples, histogram, requests, measurements.source)


def _items(
    matched: Matched, signature: Signature, auto_scaling: AutoScalingSpec, dataset: DatasetSpec
) -> NDArray[np.int64]:
    """Return the size variables of every item after preprocessing, int64 [m, d]."""
    spec = preprocessing_spec(dataset.preprocessing)
    columns = dict(matched.columns)
    names = signature.size_variables
    if HEIGHT in columns and WIDTH in columns and (HEIGHT in names or WIDTH in names):
        raw = np.column_stack([columns[HEIGHT], columns[WIDTH]])
        fixed = (signature.fixed_side(HEIGHT), signature.fixed_side(WIDTH))
        columns[HEIGHT], columns[WIDTH] = network_sides(spec, raw, fixed, auto_scaling).T
    for name in names:
        if name not in (HEIGHT, WIDTH):
            columns[name] = network_lengths(spec, columns[name])
    count = len(next(iter(columns.values()))) if columns else 0
    return np.column_stack([columns[name] for name in names]) if names else np.zeros((count, 0), dtype=np.int64)


def _requests(
    items: NDArray[np.int64], names: tuple[str, ...], matched: Matched
) -> tuple[Requests | None, NDArray[np.int64], NDArray[np.float64] | None]:
    """Return the requests where the data has any, one row (N, sizes…) per inference, and the weights of those rows."""
    counts = matched.columns.get(BATCH)
    if counts is not None:
        # A row with a batch column is a request of so many items of one size.
        offsets = np.concatenate([[0], np.cumsum(counts)])
        requests = Requests(names, np.repeat(items, counts, axis=0), offsets)
        return requests, np.column_stack([counts, items]), matched.weights
    if matched.offsets is None:
        return None, np.column_stack([np.ones(len(items), dtype=np.int64), items]), matched.weights
    requests = Requests(names, items, matched.offsets)
    first = matched.offsets[:-1][requests.counts > 0]
    return requests, requests.batches(), None if matched.weights is None else matched.weights[first]


def _in_order(batches: NDArray[np.int64], names: tuple[str, ...], signature: Signature) -> NDArray[np.int64]:
    """Put the columns (N, sizes…) in the order of the signature's variables."""
    present = (BATCH, *names)
    return batches[:, [present.index(name) for name in signature.variables]]
