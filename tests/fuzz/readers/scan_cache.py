"""The scan cache, its summary and its journal: made anew where they are damaged."""

from __future__ import annotations

import os
import struct
from array import array
from functools import partial
from pathlib import Path
from typing import Any

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples.journal import Journal
from scaling_tasks.samples.listing import walk
from scaling_tasks.samples.places import summary_path
from scaling_tasks.samples.scan import read_measurements, scan, watch
from tests.fuzz.mutations import binary_numbers, json_line
from tests.fuzz.reader import Reader
from tests.fuzz.readers import annotation, tables

_NAME = {"images": "images", "table": "sizes.jsonl", "boxes": "det_gt.txt"}


def _data(kind: str, directory: Path) -> DatasetSpec:
    return DatasetSpec(path=str(directory / _NAME[kind]))


def _make_data(kind: str, directory: Path) -> None:
    if kind == "table":
        tables.make_jsonl(directory)
    elif kind == "boxes":
        annotation.make(directory)
    else:
        for number in range(9):
            path = directory / "images" / f"part{number % 3}" / f"{number}.bmp"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(struct.pack("<2s12xIII", b"BM", 40, number + 7, 9))
    for path in directory.rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000.5))


def _make_cache(kind: str, directory: Path) -> list[Path]:
    _make_data(kind, directory)
    cache = directory / "scan.cache"
    scan(_data(kind, directory), cache)
    return [cache, cache, cache, summary_path(cache)]


def _make_journal(directory: Path) -> list[Path]:
    _make_data("images", directory)
    cache = directory / "scan.cache"
    journal = Journal(cache)
    for folder in walk(str(directory / "images")):
        folder.sort()
        widths = array("i", [int(name.partition(".")[0]) + 7 for name in folder.names])
        journal.add(folder, 0, array("i", [9] * len(widths)), widths)
    journal.flush()
    return [cache.with_name("scan.cache.partial")]


def _read(kind: str, directory: Path) -> Any:
    """Do what two runs do: scan where the watch says so, then count."""
    dataset, cache = _data(kind, directory), directory / "scan.cache"
    for _ in range(2):
        current = watch(dataset, cache)
        if not current:
            scan(dataset, cache)
        found = read_measurements(dataset, cache)
        assert found.summary() == summary_path(cache).read_text(encoding="utf-8")
    assert current, "the scan has not settled"
    rows = found.values.tolist(), None if found.offsets is None else found.offsets.tolist()
    return found.digest, found.summary(), rows


def _cache(kind: str, share: float = 1.0) -> Reader:
    make, read = partial(_make_cache, kind), partial(_read, kind)
    return Reader(f"cache of {kind}", make, read, refuses=False, mutators=(json_line, binary_numbers), share=share)


READERS = (
    _cache("images", 2),
    _cache("table"),
    _cache("boxes"),
    Reader("scan journal", _make_journal, partial(_read, "images"), refuses=False, mutators=(json_line,), share=2),
)
