"""What a data set says about the variables of one target."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import DatasetError
from scaling_tasks.files import digest_bytes
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["Column", "DatasetStatistics", "ItemRequests"]

_KIND, _VERSION = "statistics", 1


@dataclass(frozen=True, eq=False)
class ItemRequests:
    """Requests of many items: each item has its own size, and a request may be served in any partition of batches.

    Attributes:
        variables: Names of the size variables, the d columns of ``items``; empty when only the number of items varies.
        items: Sizes of all items, int64 [m, d], those of one request next to each other.
        offsets: int64 [r + 1]; request i owns ``items[offsets[i]:offsets[i + 1]]``.
        weights: How much each request counts, float64 [r]; None where all count 1.
    """

    variables: tuple[str, ...]
    items: NDArray[np.int64]
    offsets: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Number of items per request, int64 [r]."""
        return np.diff(self.offsets)

    def batches(self) -> NDArray[np.int64]:
        """Return the shape of each request run as one batch: its count and its largest sides, int64 [r, 1 + d].

        Requests without items are left out.
        """
        filled = self.counts > 0
        starts = self.offsets[:-1][filled]
        largest = (
            np.maximum.reduceat(self.items, starts, axis=0)
            if len(starts)
            else np.zeros((0, self.items.shape[1]), dtype=np.int64)
        )
        return np.column_stack([self.counts[filled], largest])


@dataclass(frozen=True, eq=False)
class Column:
    """The sizes of one variable by itself.

    Attributes:
        sizes: Distinct sizes, ascending, int64 [n]; 0 where MindOCR's rounding makes a side so.
        weights: How often each was seen, float64 [n].
    """

    sizes: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, histogram: ShapeHistogram, variable: str) -> Column:
        """Return one column of a histogram."""
        single = histogram.project([variable])
        return cls(single.samples[:, 0], single.weights)

    def with_zeros(self, weight: float, size: int) -> Column:
        """Return the column with so much weight moved from ``size`` to 0."""
        if weight <= 0:
            return self
        weights = np.where(self.sizes == size, self.weights - weight, self.weights)
        kept = weights > 1e-9 * weight
        return Column(np.append(0, self.sizes[kept]), np.append(weight, weights[kept]))


@dataclass(frozen=True, eq=False)
class DatasetStatistics:
    """Everything planning needs to know of a data set.

    Attributes:
        histogram: One sample per inference, over all the target's variables.
        items: One sample per item, over the size variables only; None where only the batch varies.
        requests: The items in their requests, where the data has requests and the batch varies.
        source: Counts of what was read, such as ``{"images": 120, "skipped": 2}``.
        zeros: Per image side, the weight of the items whose side MindOCR's analyser rounds to 0. The network gets one
            interval there, as the histograms say; the analyser's own rules take the mean and the least over the zeros.
    """

    histogram: ShapeHistogram
    items: ShapeHistogram | None = None
    requests: ItemRequests | None = None
    source: Mapping[str, int] | None = None
    zeros: Mapping[str, float] = field(default_factory=dict)

    @property
    def variables(self) -> tuple[str, ...]:
        """The target's variables."""
        return self.histogram.variables

    @property
    def batch_counts(self) -> ShapeHistogram | None:
        """Observed numbers of items per request, over the batch variable; None where the data has no requests."""
        batch = batch_variable(self.variables)
        return None if self.requests is None or batch is None else self.histogram.project((batch,))

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the document, by which plans name what they were made from."""
        return digest_bytes(self.to_json().encode())

    def to_json(self) -> str:
        """Return the ``statistics.json`` document, byte-deterministic."""
        payload: dict[str, Any] = {"histogram": self.histogram.to_payload(), "source": dict(self.source or {})}
        if self.items is not None:
            payload["items"] = self.items.to_payload()
        if self.requests is not None:
            payload["requests"] = {
                "variables": list(self.requests.variables),
                "items": self.requests.items.tolist(),
                "counts": self.requests.counts.tolist(),
            }
            if self.requests.weights is not None:
                payload["requests"]["weights"] = self.requests.weights.tolist()
        if self.zeros:
            payload["zeros"] = dict(self.zeros)
        return document_text(_KIND, _VERSION, payload)

    @classmethod
    def read(cls, path: Path) -> DatasetStatistics:
        """Read what ``to_json`` wrote.

        Raises:
            DatasetError: The file is missing or not such a document.
        """
        return read_document(path, _KIND, _VERSION, error=DatasetError, build=cls._of)

    @classmethod
    def _of(cls, payload: Mapping[str, Any]) -> DatasetStatistics:
        found = msgspec.convert(payload, _Document)
        return cls(
            found.histogram.value(),
            found.items.value() if found.items is not None else None,
            found.requests.value() if found.requests is not None else None,
            found.source,
            found.zeros,
        )


_Names = Annotated[list[str], Meta(min_length=1)]
_Size = Annotated[int, Meta(ge=1, lt=1 << 31)]
_Weight = Annotated[float, Meta(ge=0, le=1e300)]


class _Histogram(msgspec.Struct):
    variables: _Names
    samples: list[list[_Size]]
    weights: list[_Weight]

    def value(self) -> ShapeHistogram:
        return ShapeHistogram.from_samples(self.samples, self.weights, tuple(self.variables))


class _Requests(msgspec.Struct):
    variables: list[str]
    items: list[list[_Size]]
    counts: list[Annotated[int, Meta(ge=0, lt=1 << 31)]]
    weights: list[_Weight] | None = None

    def __post_init__(self) -> None:
        if sum(self.counts) != len(self.items) or any(len(item) != len(self.variables) for item in self.items):
            raise ValueError("requests of other items than those there are")
        if self.weights is not None and len(self.weights) != len(self.counts):
            raise ValueError(f"{len(self.weights)} weights for {len(self.counts)} requests")

    def value(self) -> ItemRequests:
        items = np.asarray(self.items, dtype=np.int64).reshape(len(self.items), len(self.variables))
        offsets = np.concatenate([[0], np.cumsum(self.counts)]).astype(np.int64)
        weights = None if self.weights is None else np.asarray(self.weights, dtype=np.float64)
        return ItemRequests(tuple(self.variables), items, offsets, weights)


class _Document(msgspec.Struct):
    histogram: _Histogram
    source: dict[str, int]
    items: _Histogram | None = None
    requests: _Requests | None = None
    zeros: dict[str, _Weight] = {}
