"""Counting traffic, adding it up, and saving it."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime import traffic as module
from scaling_tasks.runtime.traffic import Traffic, TrafficRecorder
from tests.documents import resealed


def recorded(shapes: list[tuple[int, int]]) -> Traffic:
    recorder = TrafficRecorder(("N", "W"), 0, [(1, 32), (1, 64)])
    for shape in shapes:
        recorder.request(shape)
        recorder.run(0 if shape[1] <= 32 else 1)
    return recorder.snapshot()


def test_padding_paid_is_elements_computed_per_element_needed() -> None:
    found = recorded([(1, 16), (1, 48)])
    assert found.padding_ratio == (32 + 64) / (16 + 48)
    assert found.bucket_runs == {(1, 32): 1, (1, 64): 1}
    assert Traffic(("W",), {}).padding_ratio == 1.0


def test_merging_is_counting_together(tmp_path: Path) -> None:
    first, second = [(1, 16), (1, 16), (1, 60)], [(1, 60), (2, 8)]
    merged = recorded(first).merge(recorded(second))
    assert merged == recorded(first + second)
    merged.save(tmp_path / "traffic.json")
    assert Traffic.load(tmp_path / "traffic.json") == merged
    with pytest.raises(BundleError, match="cannot be added"):
        merged.merge(Traffic(("L",), {}))


def test_a_path_may_be_text(tmp_path: Path) -> None:
    found = recorded([(1, 16)])
    found.save(str(tmp_path / "traffic.csv"))
    found.save(str(tmp_path / "traffic.json"))
    assert (tmp_path / "traffic.csv").read_text().startswith("N,W,weight")
    assert Traffic.load(str(tmp_path / "traffic.json")) == found


def test_the_csv_is_a_data_set(tmp_path: Path) -> None:
    recorded([(1, 16), (2, 60), (1, 16)]).save(tmp_path / "traffic.csv")
    assert (tmp_path / "traffic.csv").read_text() == "N,W,weight\n1,16,2\n2,60,1\n"


def test_a_long_histogram_is_rounded_up_but_not_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SHAPES", 16)
    found = recorded([(1 + width % 3, width) for width in range(1, 65)])
    assert len(found.shapes) <= 16
    assert found.requests == 64
    assert found.step > 1
    assert all(width % found.step == 0 for _, width in found.shapes)
    assert {count for count, _ in found.shapes} == {1, 2, 3}
    assert found.needed == sum((1 + width % 3) * width for width in range(1, 65))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(resealed({"format": "scaling-tasks/traffic/1"}))
    with pytest.raises(BundleError, match="does not hold what it should"):
        Traffic.load(tmp_path / "t.json")
