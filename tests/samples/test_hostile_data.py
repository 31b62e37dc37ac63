"""Data sets that would fill the memory, take for ever, or are no files: one error, or counted and skipped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import CacheError, DatasetError
from scaling_tasks.samples.api import scan_dataset
from scaling_tasks.samples.limits import LARGEST_SIZE, LONGEST_LINE, MOST_COLUMNS, MOST_ITEMS_OF_A_REQUEST
from scaling_tasks.samples.scan import scan, watch

MANY = [f"c{number}" for number in range(MOST_COLUMNS + 1)]
TEXT = {"ids": ["batch", "seq"]}


def refused(tmp_path: Path, name: str, content: str | bytes, shape: dict[str, list[int | str]] = TEXT) -> str:
    """Return the message that a data set is refused with; it is one printable line that names the file."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    with pytest.raises(DatasetError) as caught:
        scan_dataset(path, shape, cache_path=tmp_path / "scan.cache")
    message = str(caught.value)
    assert name in caught.value.where
    assert message.isprintable()
    message.encode()
    return message


@pytest.mark.parametrize(
    "size", ["1000000000", str(2**53 + 1), str(10**20), str(LARGEST_SIZE + 1), "-1", "1e400", "nan"]
)
@pytest.mark.parametrize("column", ["batch", "seq"])
def test_a_size_that_none_can_be_is_named_with_line_and_column(size: str, column: str, tmp_path: Path) -> None:
    other = "seq" if column == "batch" else "batch"
    message = refused(tmp_path, "sizes.csv", f"{column},{other}\n5,5\n{size},1\n")
    assert f"sizes.csv, line 3: column '{column}' holds '{size}', which is no whole number" in message
    if size not in ("1e400", "nan"):
        line = f'{{"{column}": 5, "{other}": 5}}\n{{"{column}": {size}, "{other}": 1}}\n'
        assert "sizes.jsonl, line 2" in refused(tmp_path, "sizes.jsonl", line)


def test_the_largest_size_is_a_size(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text(f"seq\n{LARGEST_SIZE}\n-0\n".replace("-0\n", ""))
    found = scan_dataset(tmp_path / "sizes.csv", {"ids": [1, "seq"]}, cache_path=tmp_path / "scan.cache")
    assert found.samples.tolist() == [[LARGEST_SIZE]]


@pytest.mark.parametrize(
    "text",
    [
        f"batch,seq\n{MOST_ITEMS_OF_A_REQUEST + 1},5\n",
        "batch,seq\n" + f"{MOST_ITEMS_OF_A_REQUEST},5\n" * 600,
    ],
)
def test_few_lines_cannot_stand_for_very_many_items(text: str, tmp_path: Path) -> None:
    assert "largest request has" in refused(tmp_path, "sizes.csv", text)


def test_sizes_that_only_preprocessing_makes_large(tmp_path: Path) -> None:
    message = refused(tmp_path, "sizes.csv", f"height,width\n1,{LARGEST_SIZE}\n", {"x": [1, 3, 48, -1]})
    assert "'W' is 805306368 after preprocessing" in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", "[" * 100_000, "line 1: not a JSON object"),
        ("a.jsonl", '{"a":' * 100_000, "line 1: not a JSON object"),
        ("a.jsonl", '{"\\ud800": 1}\n', "cannot name a column"),
        ("a.jsonl", '{"seq": ' + "1" * 5000 + "}\n", "line 1: not a JSON object"),
        ("a.jsonl", '{"seq": [1, 2], "batch": [1]}\n', "line 1: the lists of one row differ in length"),
        ("a.jsonl", b'{"seq": "\xed\xa0\x80"}\n', "line 1: not UTF-8"),
        ("a.jsonl", json.dumps(dict.fromkeys(MANY, 1)), "line 1: there are more than 1024 columns"),
        ("a.jsonl", json.dumps({"seq": [1] * 200_000, **dict.fromkeys(MANY, 1)}), "line 1: the table comes to"),
        ("a.jsonl", '{"seq": 1, "weight": [[[1]]]}\n', "line 1: weight is 'a list'"),
        ("a.jsonl", '{"seq": 1, "weight": 1e300}\n', "line 1: weight is '1e+300'"),
        ("a.csv", ",".join(f"c{n}" for n in range(100_000)) + "\n" + "1," * 100_000, "line 2: there are more than"),
        ("a.csv", "seq,seq\n1,2\n", "'seq' names several columns"),
        ("a.csv", "seq,batch\n1,2,3\n", "line 2: 3 cells stand below 2 names"),
        ("a.csv", "seq\n\0\n", "a.csv"),
        ("a.csv", "x" * (LONGEST_LINE + 1), "line 1: the line is longer than"),
        ("a.csv", 'seq\n"' + "5\n" * 100_000, "line"),
        ("a.tsv", "é" * 300 + "\tseq\n1\t2\n", "cannot name a column"),
        ("a.txt", "a.jpg\t" + "[" * 100_000, "no line has the det annotation form"),
        ("a.txt", "a.jpg\t[" + " " * LONGEST_LINE + "]", "line 1: the line is longer than"),
    ],
)  # fmt: skip
def test_what_no_table_holds_is_named_with_its_line(
    name: str, content: str | bytes, words: str, tmp_path: Path
) -> None:
    assert words in refused(tmp_path, name, content)


def test_boxes_that_cannot_be_are_skipped_and_counted(tmp_path: Path) -> None:
    def box(*points: list[float]) -> dict[str, object]:
        return {"points": points}

    good = box([0, 0], [30, 0], [30, 20], [0, 20])
    huge = box([0, 0], [1e308, 0], [1e308, 1e308], [0, 1e308])
    large = box([0, 0], [LARGEST_SIZE + 1, 0], [LARGEST_SIZE + 1, 20], [0, 20])
    many = box(*([float(n), float(n * n)] for n in range(2000)))
    path = tmp_path / "gt.txt"
    path.write_text(f'a.jpg\t{json.dumps([good, huge, large, many])[:-1]}, {{"points": [[1{"0" * 400}, 1]]}}]\n')
    found = scan(DatasetSpec(path=str(path)), tmp_path / "scan.cache")
    assert (found.values.tolist(), found.source["skipped_boxes"]) == ([[20, 30]], 4)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "gt.txt"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), lambda path: path.symlink_to(path.name), Path.mkdir]
)  # fmt: skip
def test_what_is_no_file_is_not_opened(make: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    make(tmp_path / name)
    with pytest.raises(DatasetError) as caught:
        scan_dataset(tmp_path / name, TEXT, cache_path=tmp_path / "scan.cache")
    assert name in str(caught.value)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """Be nobody where the tests are run by root, who may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.parametrize("name", ["a.csv", "gt.txt", "a.parquet", "images"])
def test_what_may_not_be_read_is_named(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    pytest.importorskip("pyarrow.parquet")  # while it may be read
    path = tmp_path / name
    path.mkdir() if name == "images" else path.write_text("seq\n1\n")
    path.chmod(0)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o777)
    request.getfixturevalue("unprivileged")
    with pytest.raises(DatasetError, match=rf"{name}: cannot be (read|listed|found) \(Permission denied\)"):
        scan_dataset(path, TEXT, cache_path=tmp_path / "scan.cache")


@pytest.mark.parametrize("year", [-2_208_988_800, 13_569_465_600])
def test_files_of_strange_dates(year: int, tmp_path: Path) -> None:
    path = tmp_path / "images" / "a.gif"
    path.parent.mkdir()
    path.write_bytes(b"GIF89a" + (5).to_bytes(2, "little") * 2)
    (tmp_path / "sizes.csv").write_text("seq\n5\n")
    for each in (path, tmp_path / "sizes.csv"):
        os.utime(each, (year, year))
    for each in ("images", "sizes.csv"):
        dataset = DatasetSpec(path=str(tmp_path / each))
        assert len(scan(dataset, tmp_path / "scan.cache").values) == 1
        assert watch(dataset, tmp_path / "scan.cache")


def test_directories_full_of_links_to_each_other_are_listed_once(tmp_path: Path) -> None:
    root = tmp_path / "images"
    for number in range(20):
        (root / str(number)).mkdir(parents=True)
        (root / str(number) / "a.gif").write_bytes(b"GIF89a" + (number + 1).to_bytes(2, "little") * 2)
    for number in range(20):
        for other in range(20):
            (root / str(number) / f"to{other}").symlink_to(root / str(other), target_is_directory=True)
    assert scan(DatasetSpec(path=str(root)), tmp_path / "scan.cache").source == {"images": 20, "skipped": 0}


def test_the_cache_never_replaces_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("seq\n5\n")
    (tmp_path / "gt.json").write_text('a.jpg\t[{"points": [[0, 0], [9, 0], [9, 9], [0, 9]]}]\n')
    for data, cache in (("sizes.csv", "sizes.csv"), ("gt.json", "gt.cache")):
        before = (tmp_path / data).read_bytes()
        with pytest.raises(CacheError, match="would replace the data set"):
            scan_dataset(tmp_path / data, {"x": [1, 3, 9, -1]}, cache_path=tmp_path / cache)
        assert (tmp_path / data).read_bytes() == before


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("seq\n5\n")
    (tmp_path / "scan.cache").mkdir()
    with pytest.raises(CacheError, match=r"scan\.cache: the scan cache cannot be written"):
        scan_dataset(tmp_path / "sizes.csv", {"ids": [1, "seq"]}, cache_path=tmp_path / "scan.cache")


def test_names_of_columns_in_any_script(tmp_path: Path) -> None:
    (tmp_path / "sizes.csv").write_text("längd,数\n5,6\n", encoding="utf-8")
    dataset = DatasetSpec(path=str(tmp_path / "sizes.csv"))
    assert scan(dataset, tmp_path / "scan.cache").columns == ("längd", "数")
    assert watch(dataset, tmp_path / "scan.cache")
