"""The det annotation kind: sides of boxes, requests, and malformed lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.samples.places import summary_path
from scaling_tasks.samples.scan import read_measurements, scan, watch


def box(*points: Sequence[float]) -> dict[str, object]:
    return {"transcription": "text", "points": [list(point) for point in points]}


def upright(height: float, width: float) -> dict[str, object]:
    return box((5, 7), (5 + width, 7), (5 + width, 7 + height), (5, 7 + height))


def line(name: str, *boxes: object) -> str:
    return f"{name}\t{json.dumps(list(boxes))}\n"


def measure(tmp_path: Path, text: str, **options: object) -> Measurements:
    path = tmp_path / "det_gt.txt"
    path.write_text(text, encoding="utf-8")
    return scan(DatasetSpec(path=str(path), **options), tmp_path / "scan.cache")


def test_sides_are_the_larger_of_the_opposite_edges(tmp_path: Path) -> None:
    slanted = box((0, 0), (30, 40), (0, 95), (0, 10.9))
    found = measure(tmp_path, line("a.jpg", upright(20, 100), slanted))
    # |p0-p1| = 50, |p2-p3| = 84.1; |p0-p3| = 10.9, |p1-p2| = sqrt(900 + 3025) = 62.6
    assert found.values.tolist() == [[20, 100], [62, 84]]


def test_sides_are_cut_to_whole_pixels(tmp_path: Path) -> None:
    assert measure(tmp_path, line("a.jpg", upright(19.99, 100.999))).values.tolist() == [[19, 100]]


def test_ignored_texts_count_and_lines_are_requests(tmp_path: Path) -> None:
    ignored = {**upright(8, 9), "transcription": "###"}
    found = measure(tmp_path, line("a", ignored, upright(1, 2)) + line("b") + line("c", upright(3, 4)))
    assert found.offsets is not None
    assert found.offsets.tolist() == [0, 2, 2, 3]
    assert found.source == {"lines": 3, "boxes": 3, "skipped": 0, "skipped_boxes": 0, "skipped_lines": 0}


def test_degenerate_boxes_are_skipped_and_counted(tmp_path: Path) -> None:
    bad = [upright(0, 50), upright(50, 0), box((1, 1), (2, 2)), {"text": "no points"}, upright(float("nan"), 5), 7]
    found = measure(tmp_path, line("a", upright(10, 20), *bad) + line("b", *bad, upright(30, 40)))
    assert found.values.tolist() == [[10, 20], [30, 40]]
    assert found.offsets is not None
    assert found.offsets.tolist() == [0, 1, 2]
    assert found.source["skipped_boxes"] == 12


@pytest.mark.parametrize("bad", ["no tab here", "a.jpg\tnot json", 'a.jpg\t{"points": []}', "a.jpg\t[1"])
def test_malformed_lines(bad: str, tmp_path: Path) -> None:
    text = line("a.jpg", upright(10, 20)) + bad + "\n" + line("b.jpg", upright(30, 40))
    found = measure(tmp_path, text)
    assert found.source["skipped_lines"] == 1
    assert len(found.values) == 2
    with pytest.raises(DatasetError, match=r"line 2") as caught:
        measure(tmp_path, text, strict=True)
    assert "det_gt.txt" in caught.value.where


@pytest.mark.parametrize("text", ["", "\n\n", "only words\n", "a.jpg\t[]\n", "a.jpg\tnull\n"])
def test_a_file_without_boxes_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        measure(tmp_path, text)
    assert "det_gt.txt" in caught.value.where
    assert caught.value.fix


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    text = "\ufeff" + line("a.jpg", upright(10, 20)).replace("\n", "\r\n")
    assert measure(tmp_path, text).values.tolist() == [[10, 20]]


def test_a_polygon_is_measured_by_its_least_rectangle(tmp_path: Path) -> None:
    hexagon = box((0, 0), (50, -0.0), (100, 0), (100, 30), (50, 30), (0, 30))
    assert measure(tmp_path, line("a.jpg", hexagon)).values.tolist() == [[30, 100]]


def test_touched_and_changed_files(tmp_path: Path) -> None:
    dataset = DatasetSpec(path=str(tmp_path / "det_gt.txt"))
    cache = tmp_path / "scan.cache"
    first = measure(tmp_path, line("a.jpg", upright(10, 20)))
    assert watch(dataset, cache)
    summary = summary_path(cache).stat()
    (tmp_path / "det_gt.txt").touch()
    assert not watch(dataset, cache)
    assert scan(dataset, cache).digest == first.digest
    assert watch(dataset, cache)
    assert summary_path(cache).stat().st_mtime_ns == summary.st_mtime_ns
    other = measure(tmp_path, line("a.jpg", upright(10, 21)))
    assert other.digest != first.digest
    assert read_measurements(dataset, cache).digest == other.digest


def test_one_image_is_not_an_annotation(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DatasetError, match="single image"):
        scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")


def test_format_must_fit(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not fit"):
        scan(DatasetSpec(path=str(tmp_path), format="annotation"), tmp_path / "scan.cache")


def test_receipts(data_dir: Path, tmp_path: Path) -> None:
    found = scan(DatasetSpec(path=str(data_dir / "sroie" / "det_gt.txt")), tmp_path / "scan.cache")
    assert found.source["lines"] == 313
    assert len(found.values) == 17106
    images = scan(DatasetSpec(path=str(data_dir / "sroie" / "images")), tmp_path / "images.cache")
    rows = (data_dir / "sroie" / "sizes.csv").read_text().split()[1:]
    sizes = {name: (int(height), int(width)) for name, height, width in (row.split(",") for row in rows)}
    listed = sorted(sizes.get(path.name, (0, 0)) for path in (data_dir / "sroie" / "images").iterdir())
    assert images.values.tolist() == [list(size) for size in listed]
