"""Sizes and lengths from tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.samples.scan import read_measurements, scan, watch


def measure(tmp_path: Path, text: str, name: str = "sizes.csv", **options: object) -> Measurements:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    dataset = DatasetSpec(path=str(path), **options)
    found = scan(dataset, tmp_path / "scan.cache")
    assert watch(dataset, tmp_path / "scan.cache")
    again = read_measurements(dataset, tmp_path / "scan.cache")
    assert (again.digest, again.summary()) == (found.digest, found.summary())
    return found


def test_columns_of_whole_numbers_are_kept(tmp_path: Path) -> None:
    found = measure(tmp_path, "file, height,width ,note\na.jpg,10,20,x\nb.jpg,30,40.0,\n\n")
    assert found.columns == ("height", "width")
    assert found.values.tolist() == [[10, 20], [30, 40]]
    assert found.source == {"rows": 2}


def test_weights(tmp_path: Path) -> None:
    found = measure(tmp_path, "seq,weight\n5,0.5\n7,2\n")
    assert found.columns == ("seq",)
    assert found.weights is not None
    assert found.weights.tolist() == [0.5, 2.0]


@pytest.mark.parametrize("weight", ["-1", "nan", "inf", "many", ""])
def test_unusable_weights(weight: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="weight") as caught:
        measure(tmp_path, f"seq,weight\n5,1\n7,{weight}\n")
    assert caught.value.where.endswith("sizes.csv, line 3")


@pytest.mark.parametrize("cell", ["-3", "12.5", "many", "", "nan", "1e300"])
def test_the_first_unusable_cell_is_remembered(cell: str, tmp_path: Path) -> None:
    found = measure(tmp_path, f"seq,other\n5,1\n{cell},1\n-9,1\n")
    assert found.values[:, 0].tolist() == [5, 0, 0]
    fault = found.faults["seq"]
    assert (fault.line, fault.text) == (3, cell)
    assert "other" not in found.faults


def test_zeros_are_told_only_where_nothing_else_is_wrong(tmp_path: Path) -> None:
    found = measure(tmp_path, "past,seq\n0,1\n0,0\n5,-9\n")
    assert {name: (fault.line, fault.text) for name, fault in found.faults.items()} == {
        "past": (2, "0"),
        "seq": (4, "-9"),
    }


def test_jsonl_with_lists_is_requests_of_items(tmp_path: Path) -> None:
    rows = [{"W": [10, 20, 30], "H": 48}, {"W": 7, "H": 32}, {"W": [], "H": 48}]
    found = measure(tmp_path, "\n".join(map(json.dumps, rows)), "sizes.jsonl")
    assert found.columns == ("W", "H")
    assert found.values.tolist() == [[10, 48], [20, 48], [30, 48], [7, 32]]
    assert found.offsets is not None
    assert found.offsets.tolist() == [0, 3, 4, 4]


def test_a_key_that_comes_late_or_goes_missing_is_a_fault(tmp_path: Path) -> None:
    rows = [{"a": 1}, {"a": 2, "b": 3}, {"b": 4}]
    found = measure(tmp_path, "\n".join(map(json.dumps, rows)), "sizes.jsonl")
    assert found.values.tolist() == [[1, 0], [2, 3], [0, 4]]
    assert (found.faults["b"].line, found.faults["a"].line) == (1, 3)


@pytest.mark.parametrize("bad", ["{", "[1]", "7", "words"])
def test_bad_jsonl_names_the_line(bad: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a JSON object") as caught:
        measure(tmp_path, f'{{"a": 1}}\n{bad}\n', "sizes.jsonl")
    assert caught.value.where.endswith("sizes.jsonl, line 2")


def test_lists_of_one_row_must_agree(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="differ in length"):
        measure(tmp_path, '{"a": [1, 2], "b": [1]}', "sizes.jsonl")


@pytest.mark.parametrize("text", ["", "height,width\n", "file\na.jpg\n"])
def test_a_table_without_numbers_is_an_error(text: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        measure(tmp_path, text)
    assert caught.value.where.endswith("sizes.csv")


def test_binary_nonsense(tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(DatasetError, match="UTF-8"):
        scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")


def test_tsv_and_explicit_format(tmp_path: Path) -> None:
    assert measure(tmp_path, "H\tW\n1\t2\n", "sizes.tsv").values.tolist() == [[1, 2]]
    assert measure(tmp_path, "H,W\n3,4\n", "sizes.data", format="csv").values.tolist() == [[3, 4]]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "sizes.parquet"
    table = {"file": ["a", "b"], "H": [10, 20], "W": [[1, 2], [3]], "weight": [1.0, 0.25]}
    parquet.write_table(pyarrow.table(table), path)
    found = scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")
    assert found.values.tolist() == [[10, 1], [10, 2], [20, 3]]
    assert found.weights is not None
    assert found.weights.tolist() == [1, 1, 0.25]
    path.write_bytes(b"not parquet")
    with pytest.raises(DatasetError, match="not a parquet file"):
        scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")


def test_parquet_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sizes.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(DatasetError, match=r"scaling-tasks\[parquet\]"):
        scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")
