"""From measurements to samples, items and requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scaling_tasks.config.specs import AutoScalingSpec, DatasetSpec
from scaling_tasks.errors import ConfigError, DatasetError
from scaling_tasks.samples.api import scan_dataset
from scaling_tasks.samples.compute_statistics import compute_statistics
from scaling_tasks.samples.scan import scan
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import name_dimensions

Shape = Mapping[str, Sequence[int | str]]
REC, REC_BATCH = {"x": [1, 3, 48, -1]}, {"x": [-1, 3, 48, -1]}
DET = {"x": [1, 3, -1, -1]}


def statistics(
    path: Path, shape: Shape, cache: Path, scaling: Mapping[str, Any] | None = None, **options: Any
) -> DatasetStatistics:
    dataset = msgspec.convert({"path": str(path), **options}, DatasetSpec)
    spec = msgspec.convert(dict(scaling or {}), AutoScalingSpec)
    found = compute_statistics(scan(dataset, cache), name_dimensions(shape), spec, dataset)
    cache.with_suffix(".json").write_text(found.to_json())
    assert DatasetStatistics.read(cache.with_suffix(".json")).to_json() == found.to_json()
    return found


def rows(histogram: ShapeHistogram | None) -> dict[tuple[int, ...], float]:
    assert histogram is not None
    return {tuple(sample): weight for sample, weight in zip(histogram.samples.tolist(), histogram.weights, strict=True)}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write_file(name: str, text: str) -> Path:
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_file


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "scan.cache"


def annotation(*lines: Sequence[tuple[int, int]]) -> str:
    def box(height: int, width: int) -> dict[str, Any]:
        return {"transcription": "", "points": [[0, 0], [width, 0], [width, height], [0, height]]}

    return "".join(f"{n}.jpg\t{json.dumps([box(*size) for size in line])}\n" for n, line in enumerate(lines))


Write = Callable[[str, str], Path]
BOXES = annotation([(24, 100), (48, 100)], [(24, 50)], [], [(12, 33), (24, 100), (10, 10)])


def test_boxes_without_a_batch_are_samples(write: Write, cache: Path) -> None:
    found = statistics(write("gt.txt", BOXES), REC, cache)
    assert found.variables == ("W",)
    assert rows(found.histogram) == {(48,): 1, (100,): 2, (132,): 1, (200,): 2}
    assert found.requests is None
    assert rows(found.items) == rows(found.histogram)


def test_boxes_with_a_batch_are_requests(write: Write, cache: Path) -> None:
    found = statistics(write("gt.txt", BOXES), REC_BATCH, cache)
    assert found.variables == ("N", "W")
    assert rows(found.histogram) == {(1, 100): 1, (2, 200): 1, (3, 200): 1}
    assert rows(found.items) == {(48,): 1, (100,): 2, (132,): 1, (200,): 2}
    assert found.requests is not None
    assert found.requests.items[:, 0].tolist() == [200, 100, 100, 132, 200, 48]
    assert found.requests.counts.tolist() == [2, 1, 0, 3]
    assert rows(found.batch_counts) == {(1,): 1, (2,): 1, (3,): 1}


def test_only_the_batch_varies(write: Write, cache: Path) -> None:
    found = statistics(write("gt.txt", BOXES), {"x": [-1, 3, 48, 192]}, cache)
    assert rows(found.histogram) == {(1,): 1, (2,): 1, (3,): 1}
    assert found.items is None
    assert found.requests is not None
    assert (found.requests.variables, found.requests.counts.tolist()) == ((), [2, 1, 0, 3])


def test_images_are_requests_of_one(tmp_path: Path, cache: Path, make_image: Callable[..., Path]) -> None:
    make_image(tmp_path / "images" / "a.png", 100, 300)
    make_image(tmp_path / "images" / "b.png", 60, 40)
    found = statistics(tmp_path / "images", {"x": [-1, 3, -1, -1]}, cache, {"interval": 32, "limit_side_len": 150})
    assert found.variables == ("N", "H", "W")
    assert rows(found.histogram) == {(1, 64, 160): 1, (1, 64, 32): 1}
    assert (found.requests, found.batch_counts) == (None, None)
    assert found.source == {"images": 2, "skipped": 0}


def test_channels_last(write: Write, cache: Path) -> None:
    found = statistics(write("gt.txt", BOXES), {"x": [-1, 48, -1, 3]}, cache)
    assert found.variables == ("N", "W")
    assert (3, 200) in rows(found.histogram)


@pytest.mark.parametrize("header", ["height,width", "H,W", "Height,WIDTH"])
def test_table_of_image_sizes(header: str, write: Write, cache: Path) -> None:
    path = write("sizes.csv", f"file,{header}\na,24,100\nb,48,100\n")
    assert rows(statistics(path, REC, cache).histogram) == {(200,): 1, (100,): 1}
    assert rows(statistics(path, DET, cache).histogram) == {(32, 96): 1, (64, 96): 1}
    assert rows(statistics(path, DET, cache, preprocessing="none").histogram) == {(24, 100): 1, (48, 100): 1}


def test_only_the_varying_side_is_taken_as_it_is(write: Write, cache: Path) -> None:
    path = write("sizes.csv", "width,weight\n100,0.5\n333,2\n100,1\n")
    assert rows(statistics(path, REC, cache).histogram) == {(100,): 1.5, (333,): 2}


def test_batch_column(write: Write, cache: Path) -> None:
    path = write("sizes.csv", "batch,width,weight\n4,100,3\n2,50,1\n")
    found = statistics(path, REC_BATCH, cache)
    assert rows(found.histogram) == {(4, 100): 3, (2, 50): 1}
    assert rows(found.batch_counts) == {(4,): 3, (2,): 1}
    assert found.requests is not None
    assert found.requests.counts.tolist() == [4, 2]


def test_lists_are_requests(write: Write, cache: Path) -> None:
    path = write("sizes.jsonl", '{"W": [10, 20], "weight": 2}\n{"W": [7], "weight": 0}\n{"W": 5}\n{"W": []}\n')
    found = statistics(path, REC_BATCH, cache)
    assert rows(found.histogram) == {(2, 20): 2, (1, 5): 1}
    assert rows(found.items) == {(10,): 2, (20,): 2, (5,): 1}


def test_several_variables_of_several_inputs(write: Write, cache: Path) -> None:
    shape = {"source": ["N", "src_len"], "target": ["N", "tgt_len"]}
    path = write("lengths.csv", "src_len,tgt_len,extra\n10,20,1\n10,20,2\n7,9,1\n")
    found = statistics(path, shape, cache)
    assert found.variables == ("N", "src_len", "tgt_len")
    assert rows(found.histogram) == {(1, 10, 20): 2, (1, 7, 9): 1}


def test_images_beside_texts(write: Write, cache: Path) -> None:
    shape = {"pixels": [1, 3, -1, -1], "ids": [1, "seq"]}
    path = write("pairs.csv", "height,width,seq\n30,60,7\n")
    found = statistics(path, shape, cache, preprocessing={"kind": "tokens", "special": 2, "max_length": 8})
    assert rows(found.histogram) == {(30, 60, 8): 1}


@pytest.mark.parametrize("shape", [{"ids": [1, "seq"]}, {"ids": ["batch", "seq"], "mask": ["batch", "seq"]}])
def test_the_only_column_of_numbers_serves_the_only_size(shape: Shape, write: Write, cache: Path) -> None:
    path = write("trace.csv", "id,context_tokens\n1,374\n2,396\n3,374\n")
    found = statistics(path, shape, cache)
    assert found.histogram.project(["seq"]).samples.tolist() == [[374], [396]]
    assert found.histogram.total == 3


@pytest.mark.parametrize(
    ("text", "shape", "words"),
    [
        ("a,b\n1,2\n", {"ids": [1, "seq"]}, "no column for the variable 'seq'; its columns of numbers are a, b"),
        ("a\n1\n", {"ids": ["seq", "other"]}, "no column for the variable 'seq'"),
        ("width\n9\n", DET, "no column for the variable 'H'"),
        ("seq\n0\n", {"ids": [1, "seq"]}, "column 'seq' holds '0', which is no whole number from 1 to 16777216"),
        ("seq,x\n,1\n5,1\n", {"ids": [1, "seq"]}, "column 'seq' is empty"),
        ("seq,weight\n5,0\n", {"ids": [1, "seq"]}, "weight 0"),
        ("seq\n5\n", {"ids": [1, 5]}, "no dynamic dimension"),
    ],
)
def test_tables_that_do_not_fit(text: str, shape: Shape, words: str, write: Write, cache: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        statistics(write("table.csv", text), shape, cache)


def test_a_bad_cell_of_weight_0_is_of_no_account(write: Write, cache: Path) -> None:
    found = statistics(write("table.csv", "seq,weight\nbad,0\n5,1\n"), {"ids": [1, "seq"]}, cache)
    assert rows(found.histogram) == {(5,): 1}


def test_boxes_have_no_token_lengths(write: Write, cache: Path) -> None:
    with pytest.raises(DatasetError, match="no size for the variable 'seq'"):
        statistics(write("gt.txt", BOXES), {"x": [1, 3, 48, -1], "ids": [1, "seq"]}, cache)


def test_preprocessing_of_the_recogniser(write: Write, cache: Path) -> None:
    text = annotation([(24, 101), (100, 20), (10, 500)])
    found = statistics(write("gt.txt", text), REC, cache, preprocessing={"kind": "ppocr_rec", "max_wh_ratio": 10})
    assert rows(found.histogram) == {(202,): 1, (240,): 1, (480,): 1}


def test_scan_dataset(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write("gt.txt", BOXES)
    histogram = scan_dataset(path, input_shape=REC, auto_scaling={"interval": 8})
    assert rows(histogram) == {(48,): 1, (100,): 2, (132,): 1, (200,): 2}
    assert rows(scan_dataset(str(path), REC, preprocessing="ppocr_rec")) == rows(histogram)
    assert len(list((tmp_path / ".scaling" / "scan").glob("*.cache"))) == 1
    with pytest.raises(ConfigError, match="strickt"):
        scan_dataset(path, REC, strickt=True)
    with pytest.raises(ConfigError, match="intervall"):
        scan_dataset(path, REC, {"intervall": 8})
    with pytest.raises(DatasetError, match="no such file"):
        scan_dataset(tmp_path / "absent", REC)


def test_trace_of_lengths(data_dir: Path, tmp_path: Path) -> None:
    path = data_dir / "azure_llm" / "conv_first_half.csv"
    histogram = scan_dataset(path, {"ids": ["batch", "seq"]}, cache_path=tmp_path / "trace.cache")
    assert histogram.variables == ("batch", "seq")
    assert histogram.total == 9683
