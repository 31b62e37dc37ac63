"""Sizes and lengths from tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples import lines
from scaling_tasks.samples.columns import ColumnReader
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.samples.scan import read_measurements, scan, watch
from scaling_tasks.samples.tables import read_table


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


_CELLS = [
    "1",
    "7",
    "16777216",
    "16777217",
    "0",
    "",
    "12.5",
    "40.0",
    "-3",
    "a.jpg",
    " 8",
    "9" * 20,
    '"1,\n2"',
    '""',
    "1_0",
]


def _row_by_row(text: str) -> Measurements:
    """What the table comes to with one cell after the other."""
    reader = csv.reader(io.StringIO(text, newline="\n"))
    names = [name.strip() for name in next(reader, [])]
    columns = ColumnReader("sizes.csv")
    for cells in reader:
        if any(cells):
            if any(cells[len(names) :]):
                raise DatasetError("cells stand below", where=f"sizes.csv, line {reader.line_num}")
            columns.add(reader.line_num, dict(zip(names, cells, strict=False)))
    return columns.measurements()


def _outcome(measured: Callable[[], Measurements]) -> tuple[object, ...]:
    try:
        found = measured()
    except DatasetError as error:
        return (error.where.rpartition("/")[2], "stand below" in error.what or error.what)
    return found.summary(), found.values.tolist(), None if found.weights is None else found.weights.tolist()


@pytest.mark.parametrize("seed", range(200))
def test_pieces_of_a_table_are_read_as_one_cell_after_the_other(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = Random(seed)
    monkeypatch.setattr(lines, "_BLOCK", random.choice([1, 16, 64, 1 << 20]))
    weights = ["1", "0", "0.5", "2"] + ["none"] * (seed % 5 == 0)
    text = random.choice(["H,W\n", "H,W,weight\n", "H,,\n", '"H\n",W\n', "H\n"])
    width = text.count(",") + 1
    ending = random.choice(["\n", "\r\n"])
    for _ in range(random.randrange(1, 40)):
        plain = random.random() < 0.7
        row = [str(random.randrange(1, 2000)) if plain else random.choice(_CELLS) for _ in range(width)]
        if "weight" in text:
            row[2] = random.choice(weights)
        row = [f"{row[0]}é.jpg", *row[1:]] if seed % 3 == 0 and random.random() < 0.9 else row
        row = row if random.random() < 0.97 else row[: random.randrange(width)] + row
        text += ",".join(row) + ending
    text = text if random.random() < 0.8 else text.rstrip()
    path = tmp_path / "sizes.csv"
    path.write_bytes(text.encode())
    assert _outcome(lambda: read_table(str(path), "csv")[0]) == _outcome(lambda: _row_by_row(text))


@pytest.mark.parametrize("name", ["sizes.arrow", "stream.arrow", "sizes.feather", "sizes.parquet"])
def test_columns_of_arrow(name: str, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import feather, ipc, parquet

    path = tmp_path / name
    columns = {
        "H": pyarrow.array([10, None, 0], pyarrow.int32()),
        "W": pyarrow.array([1.0, 2.5, 1e9], pyarrow.float32()),
        "note": pyarrow.array(["1", "2", "3"]),
        "C": pyarrow.array([5, 6, 2**63], pyarrow.uint64()),
        "weight": pyarrow.array([1, 2, 0]),
    }
    table = pyarrow.table(columns)
    if name == "stream.arrow":
        with ipc.new_stream(path, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    elif name == "sizes.arrow":
        with ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=2)
    else:
        (feather.write_feather if name == "sizes.feather" else parquet.write_table)(table, path)
    found = scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")
    assert found.columns == ("H", "W", "C")
    assert found.values.tolist() == [[10, 1, 5], [0, 0, 6], [0, 0, 0]]
    assert found.weights is not None
    assert found.weights.tolist() == [1, 2, 0]
    # What weighs nothing is no fault.
    assert {key: (fault.line, fault.text) for key, fault in found.faults.items()} == {"H": (2, ""), "W": (2, "2.5")}
    path.write_bytes(path.read_bytes()[:-20] if name != "stream.arrow" else b"nothing")
    with pytest.raises(DatasetError, match="not a"):
        scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")


def test_a_second_stream_behind_the_first_is_not_passed_over(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc

    path = tmp_path / "stream.arrow"
    with ipc.new_stream(path, pyarrow.schema([("H", pyarrow.int32())])) as stream:
        stream.write_table(pyarrow.table({"H": pyarrow.array([10], pyarrow.int32())}))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DatasetError, match="behind its end"):
        scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")
