"""Histograms: order and repetition of samples do not matter, mistakes are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.errors import DatasetError
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics, ItemRequests
from scaling_tasks.shapes.histogram import ShapeHistogram

samples = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=40)


@given(samples, st.randoms())
def test_order_does_not_matter(rows: list[tuple[int, int]], random: object) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = ShapeHistogram.from_samples(rows, variables=("H", "W"))
    second = ShapeHistogram.from_samples(shuffled, variables=("H", "W"))
    assert first.to_payload() == second.to_payload()
    assert first.total == len(rows)


@given(samples)
def test_counts_are_those_of_a_dictionary(rows: list[tuple[int, int]]) -> None:
    expected: dict[tuple[int, int], int] = {}
    for row in rows:
        expected[row] = expected.get(row, 0) + 1
    histogram = ShapeHistogram.from_samples(rows, variables=("H", "W"))
    found = dict(zip(map(tuple, histogram.samples.tolist()), histogram.weights.tolist(), strict=True))
    assert found == expected
    assert list(found) == sorted(found)


@given(samples, st.integers(2, 5))
def test_splitting_weights_changes_nothing(rows: list[tuple[int, int]], parts: int) -> None:
    whole = ShapeHistogram.from_samples(rows, weights=[float(parts)] * len(rows), variables=("H", "W"))
    split = ShapeHistogram.from_samples(rows * parts, variables=("H", "W"))
    np.testing.assert_array_equal(whole.samples, split.samples)
    np.testing.assert_array_equal(whole.weights, split.weights)


def test_projection() -> None:
    histogram = ShapeHistogram.from_samples([[2, 3], [1, 3]], weights=[0.5, 2], variables=("H", "W"))
    assert histogram.project(("W",)).to_payload() == {"variables": ["W"], "samples": [[3]], "weights": [2.5]}


@pytest.mark.parametrize(
    ("rows", "weights"),
    [
        ([], None),
        ([[0, 1]], None),
        ([[-3, 1]], None),
        ([[1.5, 1]], None),
        ([[float("nan"), 1]], None),
        ([[1, 2]], [float("nan")]),
        ([[1, 2]], [-1.0]),
        ([[1, 2]], [1.0, 2.0]),
        ([[1, 2]], [0.0]),
        ([["a", "b"]], None),
        ([[1, 2], [3]], None),
        ([[1, 2, 3]], None),
    ],
)
def test_unusable_samples_are_refused(rows: list[list[object]], weights: list[float] | None) -> None:
    with pytest.raises(DatasetError):
        ShapeHistogram.from_samples(rows, weights, ("H", "W"))  # type: ignore[arg-type]


def test_statistics_round_trip_is_byte_identical(tmp_path: Path) -> None:
    requests = ItemRequests(("W",), np.array([[32], [64], [96]]), np.array([0, 2, 2, 3]))
    statistics = DatasetStatistics(
        ShapeHistogram.from_samples(requests.batches(), variables=("N", "W")),
        ShapeHistogram.from_samples(requests.items, variables=("W",)),
        requests,
        {"lines": 3},
    )
    assert requests.batches().tolist() == [[2, 64], [1, 96]]
    (tmp_path / "statistics.json").write_text(statistics.to_json())
    again = DatasetStatistics.read(tmp_path / "statistics.json")
    assert again.to_json() == statistics.to_json()
    assert again.batch_counts is not None
    assert again.batch_counts.samples.tolist() == [[1], [2]]


def test_a_damaged_document_is_refused(tmp_path: Path) -> None:
    (tmp_path / "statistics.json").write_text('{"format": "scaling-tasks/other/1"}')
    with pytest.raises(DatasetError, match="format"):
        DatasetStatistics.read(tmp_path / "statistics.json")
