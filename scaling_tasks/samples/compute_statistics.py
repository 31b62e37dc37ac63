"""From raw measurements to what planning needs: samples over the model's variables, items and requests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.config.preprocessing import Mindocr, preprocessing_spec
from scaling_tasks.config.specs import AutoScalingSpec, DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.geometry import network_lengths, network_sides, rounded_to_nothing
from scaling_tasks.samples.limits import LARGEST_SIZE, MOST_ITEMS, MOST_ITEMS_OF_A_REQUEST
from scaling_tasks.samples.matching import Matched, match_columns
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import HEIGHT, WIDTH, Signature

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
        what = "the model has no dynamic dimension, so no data is needed"
        raise DatasetError(what, where=dataset.path, fix="Leave `dataset` out, or input_shape less fixed.")
    matched = match_columns(measurements, signature, dataset)
    items = _items(matched, signature, auto_scaling, dataset)
    names = signature.size_variables
    _check_items(items, names, matched, signature, dataset)
    histogram = ShapeHistogram.from_samples(items, matched.weights, names) if names else None
    zeros = _zeros(matched, signature, auto_scaling, dataset)
    if signature.batch is None:
        assert histogram is not None
        return DatasetStatistics(histogram, histogram, None, measurements.source, zeros)
    requests, batches, weights = _requests(items, names, matched, signature.batch)
    samples = ShapeHistogram.from_samples(_in_order(batches, names, signature), weights, signature.variables)
    return DatasetStatistics(samples, histogram, requests, measurements.source, zeros)


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


def _check_items(
    items: NDArray[np.int64], names: tuple[str, ...], matched: Matched, signature: Signature, dataset: DatasetSpec
) -> None:
    """Refuse what would fill the memory from few lines, and an empty data set."""
    if items.size and items.max() > LARGEST_SIZE:
        column = int(items.max(axis=0).argmax())
        raise DatasetError(
            f"{names[column]!r} is {items[:, column].max()} after preprocessing, above {LARGEST_SIZE}",
            where=dataset.path,
            fix="Correct the data, or let the preprocessing limit sizes.",
        )
    if not len(items):
        raise DatasetError("there is no sample in it", where=dataset.path, fix="Check dataset.path and its contents.")
    if signature.batch is None:
        return
    counts = matched.columns.get(signature.batch)
    if counts is None:
        counts = np.diff(matched.offsets) if matched.offsets is not None else np.ones(1, dtype=np.int64)
    if counts.max() > MOST_ITEMS_OF_A_REQUEST or counts.sum() > MOST_ITEMS:
        raise DatasetError(
            f"its largest request has {counts.max()} items, and all have {counts.sum()}, "
            f"above {MOST_ITEMS_OF_A_REQUEST} or {MOST_ITEMS}",
            where=dataset.path,
            fix="Correct the batch sizes, and give equal requests once, with a column `weight`.",
        )


def _zeros(
    matched: Matched, signature: Signature, auto_scaling: AutoScalingSpec, dataset: DatasetSpec
) -> dict[str, float]:
    """Return, per image side, the weight of the items whose side MindOCR's analyser rounds to 0."""
    spec, names = preprocessing_spec(dataset.preprocessing), signature.size_variables
    sides = [name for name in (HEIGHT, WIDTH) if name in names]
    if not (isinstance(spec, Mindocr) and sides and {HEIGHT, WIDTH} <= set(matched.columns)):
        return {}
    raw = np.column_stack([matched.columns[HEIGHT], matched.columns[WIDTH]])
    gone = rounded_to_nothing(raw, (signature.fixed_side(HEIGHT), signature.fixed_side(WIDTH)), auto_scaling)
    mass = np.ones(len(gone)) if matched.weights is None else matched.weights
    found = {name: float((column * mass).sum()) for name, column in zip((HEIGHT, WIDTH), gone.T, strict=True)}
    return {name: found[name] for name in sides if found[name] > 0}


def _requests(
    items: NDArray[np.int64], names: tuple[str, ...], matched: Matched, batch: str
) -> tuple[ItemRequests | None, NDArray[np.int64], NDArray[np.float64] | None]:
    """Return the requests where the data has any, one row (N, sizes…) per inference, and the weights of those rows."""
    counts = matched.columns.get(batch)
    if counts is not None:
        # A row with a batch column is a request of so many items of one size.
        offsets = np.concatenate([[0], np.cumsum(counts)])
        requests = ItemRequests(names, np.repeat(items, counts, axis=0), offsets, matched.weights)
        return requests, np.column_stack([counts, items]), matched.weights
    if matched.offsets is None:
        return None, np.column_stack([np.ones(len(items), dtype=np.int64), items]), matched.weights
    if matched.weights is None:
        requests = ItemRequests(names, items, matched.offsets)
        return requests, requests.batches(), None
    filled = np.diff(matched.offsets) > 0
    weights = np.zeros(len(filled))
    weights[filled] = matched.weights[matched.offsets[:-1][filled]]
    requests = ItemRequests(names, items, matched.offsets, weights)
    return requests, requests.batches(), weights[filled]


def _in_order(batches: NDArray[np.int64], names: tuple[str, ...], signature: Signature) -> NDArray[np.int64]:
    """Put the columns (batch, sizes…) in the order of the signature's variables."""
    present = (str(signature.batch), *names)
    return batches[:, [present.index(name) for name in signature.variables]]
