"""What a data set says about the variables of one target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.documents import document_text, parse_document
from scaling_tasks.errors import DatasetError
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import BATCH

__all__ = ["DatasetStatistics", "Requests"]

_KIND, _VERSION = "statistics", 1


@dataclass(frozen=True, eq=False)
class Requests:
    """Requests of many items: each item has its own size, and a request may be served in any partition of batches.

    Attributes:
        variables: Names of the size variables, the d columns of ``items``; empty when only the number of items varies.
        items: Sizes of all items, int64 [m, d], those of one request next to each other.
        offsets: int64 [r + 1]; request i owns ``items[offsets[i]:offsets[i + 1]]``.
    """

    variables: tuple[str, ...]
    items: NDArray[np.int64]
    offsets: NDArray[np.int64]

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
class DatasetStatistics:
    """Everything planning needs to know of a data set.

    Attributes:
        histogram: One sample per inference, over all the target's variables.
        items: One sample per item, over the size variables only; None where only the batch varies.
        requests: The items in their requests, where the data has requests and the batch varies.
        source: Counts of what was read, such as ``{"images": 120, "skipped": 2}``.
    """

    histogram: ShapeHistogram
    items: ShapeHistogram | None = None
    requests: Requests | None = None
    source: Mapping[str, int] | None = None

    @property
    def variables(self) -> tuple[str, ...]:
        """The target's variables."""
        return self.histogram.variables

    @property
    def batch_counts(self) -> ShapeHistogram | None:
        """Observed numbers of items per request, over ``("N",)``; None where the data has no requests."""
        if self.requests is None:
            return None
        return self.histogram.project((BATCH,))

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
        return document_text(_KIND, _VERSION, payload)

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "statistics") -> DatasetStatistics:
        """Read what ``to_json`` wrote.

        Raises:
            DatasetError: The text is not such a document.
        """
        payload = parse_document(text, _KIND, _VERSION, where=where, error=DatasetError)
        try:
            return cls(
                ShapeHistogram.from_payload(payload["histogram"]),
                ShapeHistogram.from_payload(payload["items"]) if "items" in payload else None,
                _requests(payload["requests"]) if "requests" in payload else None,
                payload["source"],
            )
        except (KeyError, TypeError, ValueError) as cause:
            raise DatasetError(f"incomplete ({cause!r})", where=where, fix="Delete it and build again.") from cause


def _requests(payload: Mapping[str, Any]) -> Requests:
    variables = tuple(payload["variables"])
    items = np.asarray(payload["items"], dtype=np.int64).reshape(len(payload["items"]), len(variables))
    offsets = np.concatenate([[0], np.cumsum(payload["counts"])]).astype(np.int64)
    return Requests(variables, items, offsets)
