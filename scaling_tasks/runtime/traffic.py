"""What a model was asked for: a compact histogram of shapes, mergeable, and a data set for the next plan."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import BundleError, of_disk
from scaling_tasks.files import write_if_changed
from scaling_tasks.shapes.signature import batch_variable

__all__ = ["Traffic", "TrafficRecorder"]

_KIND, _VERSION = "traffic", 1
_MOST_SHAPES = 4096
_COARSEST = 1 << 20


@dataclass(frozen=True)
class Traffic:
    """What was served, a value that adds up over threads and processes.

    Attributes:
        variables: Names of a shape's columns.
        shapes: How often each shape was asked for, also those that no bucket contains.
        bucket_runs: How often each bucket ran.
        oversize: How often each policy was applied to a shape that no bucket contains, and ``batch`` for requests that
            were cut along the batch.
        needed: Elements (product of the variables) that the served requests had.
        computed: Elements of the buckets that served them.
        step: To which multiple sizes were rounded up to keep the histogram small; 1 where nothing was rounded.
    """

    variables: tuple[str, ...]
    shapes: Mapping[tuple[int, ...], int]
    bucket_runs: Mapping[tuple[int, ...], int] = field(default_factory=dict)
    oversize: Mapping[str, int] = field(default_factory=dict)
    needed: int = 0
    computed: int = 0
    step: int = 1

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return sum(self.shapes.values())

    @property
    def padding_ratio(self) -> float:
        """Elements computed per element needed, 1 where nothing was served."""
        return self.computed / self.needed if self.needed else 1.0

    def merge(self, other: Traffic) -> Traffic:
        """Return both together.

        Raises:
            BundleError: They are over different variables.
        """
        if other.variables != self.variables:
            raise BundleError(f"traffic over {list(other.variables)} cannot be added to {list(self.variables)}")
        shapes, step = Counter(self.shapes) + Counter(other.shapes), max(self.step, other.step)
        if len(shapes) > _MOST_SHAPES:
            batch = batch_variable(self.variables)
            shapes, step = _coarser(shapes, step, None if batch is None else self.variables.index(batch))
        return Traffic(
            self.variables,
            dict(shapes),
            dict(Counter(self.bucket_runs) + Counter(other.bucket_runs)),
            dict(Counter(self.oversize) + Counter(other.oversize)),
            self.needed + other.needed,
            self.computed + other.computed,
            step,
        )

    def save(self, path: str | Path) -> None:
        """Write everything (``.json``), or the shapes as a data set (``.csv``: a column per variable, and weight).

        Raises:
            BundleError: It cannot be written.
        """
        path = Path(path)
        text = self._csv() if path.suffix == ".csv" else self._json()
        try:
            write_if_changed(path, text.encode(), below=path.parent)
        except OSError as cause:
            raise of_disk(cause, BundleError, where=path, what="cannot be written") from cause

    @classmethod
    def load(cls, path: str | Path) -> Traffic:
        """Read what ``save`` wrote as ``.json``.

        Raises:
            BundleError: The file is missing or holds something else.
        """
        return read_document(Path(path), _KIND, _VERSION, error=BundleError, build=cls._of)

    @classmethod
    def _of(cls, payload: Mapping[str, Any]) -> Traffic:
        variables = tuple(map(str, payload["variables"]))
        shapes, runs = (_counted(payload[key], len(variables)) for key in ("shapes", "bucket_runs"))
        oversize = {str(name): _count(number) for name, number in payload["oversize"].items()}
        needed, computed, step = (_count(payload[key]) for key in ("needed", "computed", "step"))
        return cls(variables, shapes, runs, oversize, needed, computed, max(step, 1))

    def _json(self) -> str:
        payload: dict[str, Any] = {
            "variables": list(self.variables),
            "shapes": sorted([list(shape), count] for shape, count in self.shapes.items()),
            "bucket_runs": sorted([list(bucket), count] for bucket, count in self.bucket_runs.items()),
            "oversize": dict(self.oversize),
            "needed": self.needed,
            "computed": self.computed,
            "step": self.step,
        }
        return document_text(_KIND, _VERSION, payload)

    def _csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([*self.variables, "weight"])
        writer.writerows([*shape, count] for shape, count in sorted(self.shapes.items()))
        return out.getvalue()


def _counted(pairs: Any, columns: int) -> dict[tuple[int, ...], int]:
    """Return how often each shape was counted; refuse shapes of another number of columns."""
    found = {tuple(_count(size) for size in shape): _count(number) for shape, number in pairs}
    if any(len(shape) != columns for shape in found):
        raise ValueError(f"a shape that has not {columns} sizes")
    return found


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


class TrafficRecorder:
    """Counts requests from any thread.

    Args:
        variables: Names of a shape's columns.
        batch_column: Which of them is the batch, whose numbers are never rounded; None for none.
        buckets: All buckets.
    """

    def __init__(self, variables: Sequence[str], batch_column: int | None, buckets: Sequence[tuple[int, ...]]) -> None:
        self._variables, self._batch_column = tuple(variables), batch_column
        self._buckets = list(buckets)
        self._elements = [_product(bucket) for bucket in buckets]
        self._lock = threading.Lock()
        self._shapes: Counter[tuple[int, ...]] = Counter()
        self._runs = [0] * len(self._buckets)
        self._oversize: Counter[str] = Counter()
        self._needed = 0
        self._step = 1

    def request(self, shape: tuple[int, ...], *, served: bool = True) -> None:
        """Count a request; one that was not served by buckets counts as traffic but not as padding."""
        with self._lock:
            self._shapes[_rounded(shape, self._step, self._batch_column) if self._step > 1 else shape] += 1
            if served:
                self._needed += _product(shape)
            if len(self._shapes) > _MOST_SHAPES:
                self._coarsen()

    def run(self, bucket: int) -> None:
        """Count a run of a bucket."""
        with self._lock:
            self._runs[bucket] += 1

    def oversize(self, policy: str) -> None:
        """Count a request that no bucket contains."""
        with self._lock:
            self._oversize[policy] += 1

    def snapshot(self) -> Traffic:
        """Return what was counted so far."""
        with self._lock:
            runs = {bucket: count for bucket, count in zip(self._buckets, self._runs, strict=True) if count}
            computed = sum(count * size for count, size in zip(self._runs, self._elements, strict=True))
            shapes, oversize = dict(self._shapes), dict(self._oversize)
            return Traffic(self._variables, shapes, runs, oversize, self._needed, computed, self._step)

    def _coarsen(self) -> None:
        self._shapes, self._step = _coarser(self._shapes, self._step, self._batch_column)


def _coarser(shapes: Counter[tuple[int, ...]], step: int, batch: int | None) -> tuple[Counter[tuple[int, ...]], int]:
    """Halve the resolution until the histogram is small; rounding up keeps plans on the safe side."""
    while len(shapes) > _MOST_SHAPES // 2 and step < _COARSEST:
        step *= 2
        coarse: Counter[tuple[int, ...]] = Counter()
        for shape, count in shapes.items():
            coarse[_rounded(shape, step, batch)] += count
        shapes = coarse
    return shapes, step


def _rounded(shape: tuple[int, ...], step: int, batch: int | None) -> tuple[int, ...]:
    return tuple(size if column == batch else -(-size // step) * step for column, size in enumerate(shape))


def _product(shape: Sequence[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
