"""The data sets that the planner's benchmarks run on, as raw samples in their own order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.config.specs import AutoScalingSpec, DatasetSpec
from scaling_tasks.samples.compute_statistics import compute_statistics
from scaling_tasks.samples.scan import scan
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.signature import name_dimensions

__all__ = ["Samples", "load_samples", "receipt_statistics"]


@dataclass(frozen=True)
class Samples:
    """One data set.

    Attributes:
        name: For the table.
        variables: Names of the columns.
        rows: Samples in the order they were seen, int64 [n, d].
        interval: What buckets are multiples of.
    """

    name: str
    variables: tuple[str, ...]
    rows: NDArray[np.int64]
    interval: int

    def halves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the first and the second half in file order."""
        middle = len(self.rows) // 2
        return self.rows[:middle], self.rows[middle:]


def load_samples(data: Path | None) -> list[Samples]:
    """Return the real data sets below ``data``, where there are any, and the generated ones."""
    real = [] if data is None else [*_receipts(data), *_lengths(data)]
    return [*real, *_generated()]


def receipt_statistics(data: Path, cache: Path, interval: int) -> DatasetStatistics:
    """Return the statistics of the receipts' text lines for a recogniser of height 48, batch and width dynamic."""
    dataset = DatasetSpec(path=str(data / "sroie" / "det_gt.txt"))
    signature = name_dimensions({"x": [-1, 3, 48, -1]})
    return compute_statistics(scan(dataset, cache), signature, AutoScalingSpec(interval=interval), dataset)


def _receipts(data: Path) -> list[Samples]:
    path = data / "sroie" / "sizes.csv"
    if not path.is_file():
        return []
    sides = np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2))
    ratio = np.minimum(1, 960 / sides.max(axis=1))
    pages = np.maximum((sides * ratio[:, None]).astype(np.int64), 1)
    return [Samples(f"receipts, page H x W to {step}", ("H", "W"), pages, step) for step in (32, 8)]


def _lengths(data: Path) -> list[Samples]:
    path = data / "azure_llm" / "conv_first_half.csv"
    if not path.is_file():
        return []
    tokens = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.int64, usecols=0)
    return [Samples("chat requests, tokens to 16", ("L",), tokens[:, None], 16)]


def _generated() -> list[Samples]:
    random = np.random.default_rng(11)
    long_side = random.normal(1200, 180, 1500).clip(400, 2000)
    aspect = random.choice([0.5, 0.66, 0.75, 1.0], 1500) * random.normal(1, 0.04, 1500)
    photos = np.column_stack([long_side, long_side * aspect])
    turned = random.random(1500) < 0.5
    photos[turned] = photos[turned][:, ::-1]
    speech = random.lognormal(6.2, 0.6, 4000)
    return [
        Samples("photos (generated), H x W to 32", ("H", "W"), photos.astype(np.int64) + 1, 32),
        Samples("utterances (generated), frames to 8", ("T",), speech.astype(np.int64)[:, None] + 1, 8),
    ]
