"""A damaged scan cache, summary or journal costs a new scan, is said once, and never changes a number."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples import container, reading
from scaling_tasks.samples.container import read_header
from scaling_tasks.samples.journal import Journal
from scaling_tasks.samples.listing import walk
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.samples.places import summary_path
from scaling_tasks.samples.scan import read_measurements, scan, watch

Setting = tuple[DatasetSpec, Path, Measurements]


@pytest.fixture(params=["images", "table"])
def scanned(request: pytest.FixtureRequest, tmp_path: Path) -> Setting:
    if request.param == "images":
        path = tmp_path / "images"
        for number in range(5):
            (path / f"part{number % 2}").mkdir(parents=True, exist_ok=True)
            (path / f"part{number % 2}" / f"{number}.gif").write_bytes(b"GIF89a" + bytes([number + 1, 0, 9, 0]))
    else:
        path = tmp_path / "sizes.jsonl"
        path.write_text(json.dumps({"W": [10, 20], "H": 48}) + "\n" + json.dumps({"W": 7, "weight": 0.5}) + "\n")
    dataset, cache = DatasetSpec(path=str(path)), tmp_path / "state" / "scan.cache"
    scan(dataset, cache)
    return dataset, cache, scan(dataset, cache)


def _other_digests(content: bytes) -> bytes:
    """Write a cache as this version does, whose header says something else."""
    line, _, body = content.partition(b"\n")
    mark, _, text = line.split(b" ", 2)
    text = text.replace(b'"rows":', b'"rows":1')
    return mark + b" " + container._digest([text]).encode() + b" " + text + b"\n" + body[:-8]


OLDER = "what other code measured"
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "text": lambda content: b"no cache\n",
    "cut off": lambda content: content[:-1],
    "longer": lambda content: content + b"x",
    "flipped in the header": lambda content: content[:90] + bytes([content[90] ^ 1]) + content[91:],
    "flipped in the body": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "exchanged": lambda content: content[:-16] + content[-8:] + content[-16:-8],
    OLDER: lambda content: content.replace(b"scan-cache/", b"scan-cache/0", 1),
    "written to deceive": _other_digests,
    "without an end of line": lambda content: content.replace(b"\n", b" "),
    "nested without end": lambda content: content[:70] + b"[" * 100_000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_made_anew(damage: str, scanned: Setting, caplog: pytest.LogCaptureFixture) -> None:
    dataset, cache, expected = scanned
    cache.write_bytes(DAMAGES[damage](cache.read_bytes()))
    assert not watch(dataset, cache)
    with caplog.at_level(logging.WARNING):
        assert scan(dataset, cache).digest == expected.digest
        assert watch(dataset, cache)
        assert scan(dataset, cache).digest == read_measurements(dataset, cache).digest == expected.digest
    said = [record.getMessage() for record in caplog.records if "scan.cache" in record.getMessage()]
    assert said == ([] if damage == OLDER else [f"warning: {cache}: damaged; the data set is measured anew"])


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff"])
def test_a_damaged_summary_is_made_anew(content: bytes | None, scanned: Setting) -> None:
    dataset, cache, expected = scanned
    summary_path(cache).unlink()
    if content is not None:
        summary_path(cache).write_bytes(content)
    assert not watch(dataset, cache)
    scan(dataset, cache)
    assert summary_path(cache).read_text(encoding="utf-8") == expected.summary()
    assert watch(dataset, cache)


def test_another_kind_of_data_set_makes_another_cache(scanned: Setting, tmp_path: Path) -> None:
    _, cache, _ = scanned
    (tmp_path / "gt.txt").write_text('a.jpg\t[{"points": [[0, 0], [9, 0], [9, 9], [0, 9]]}]\n')
    dataset = DatasetSpec(path=str(tmp_path / "gt.txt"))
    assert not watch(dataset, cache)
    assert scan(dataset, cache).values.tolist() == [[9, 9]]
    header = read_header(cache)
    assert header is not None
    assert header.kind == "annotation"


@settings(max_examples=40)
@given(data=st.data())
def test_a_damaged_journal_is_read_as_far_as_it_is_whole(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever becomes of it, and whatever is appended to what is left, the scan finds what is there."""
    root = tmp_path_factory.mktemp("journal")
    (root / "images").mkdir()
    for number in range(4):
        (root / "images" / f"{number}.gif").write_bytes(b"GIF89a" + bytes([number + 1, 0, 9, 0]))
    dataset = DatasetSpec(path=str(root / "images"))
    expected = scan(dataset, root / "other.cache")
    cache = root / "scan.cache"
    for _ in range(2):
        _fill(Journal(cache), dataset)
    path = cache.with_name("scan.cache.partial")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    if data.draw(st.booleans()):
        _fill(Journal(cache), dataset)
    assert scan(dataset, cache).digest == expected.digest
    assert not path.exists()


def _fill(journal: Journal, dataset: DatasetSpec) -> None:
    reader = reading.Reader(dataset.path, journal, None, 0)
    for folder in walk(dataset.path):
        folder.sort()
        reader.measure(folder, {})
    reader.close()


def test_what_is_appended_behind_a_tear_is_believed(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.gif").write_bytes(b"GIF89a" + bytes([7, 0, 9, 0]))
    dataset, cache = DatasetSpec(path=str(tmp_path / "images")), tmp_path / "scan.cache"
    cache.with_name("scan.cache.partial").write_bytes(b'0123456789abcdef"torn"\t[["00.png"],[1')
    _fill(Journal(cache), dataset)
    journal = Journal(cache)
    journal.load()
    assert list(journal.entries("")) == ["a.gif"]
