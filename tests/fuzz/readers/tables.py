"""Tables of sizes: .csv, .tsv, .jsonl, .parquet, .arrow."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from scaling_tasks.samples.api import scan_dataset
from tests.fuzz.mutations import json_line, table_cells
from tests.fuzz.reader import Mutator, Reader, anything

SHAPE = {"ids": ["batch", "seq"], "mask": ["batch", "seq"]}


def read(name: str, directory: Path) -> Any:
    """Return the samples that a data set gives."""
    found = scan_dataset(directory / name, SHAPE, cache_path=directory / "scan.cache")
    return found.variables, found.samples.tolist(), found.weights.tolist()


def _make(name: str, content: bytes, directory: Path) -> list[Path]:
    path = directory / name
    path.write_bytes(content)
    return [path]


def make_jsonl(directory: Path) -> list[Path]:
    """Write a table of requests."""
    return _make("sizes.jsonl", _JSONL, directory)


def _make_parquet(directory: Path) -> list[Path]:
    import pyarrow
    from pyarrow import parquet

    columns = {"file": ["a", "b", "c"], "batch": [1, 4, 2], "seq": [10, 20, 30], "weight": [1.0, 0.25, 2.0]}
    lists = {"seq": [[1, 2], [3], [4, 5, 6]]}
    paths = [directory / "sizes.parquet", directory / "lists.parquet"]
    for path, table in zip(paths, (columns, lists), strict=True):
        parquet.write_table(pyarrow.table(table), path)
    return paths


def _read_parquet(directory: Path) -> Any:
    return read("sizes.parquet", directory), read("lists.parquet", directory)


def _make_arrow(directory: Path) -> list[Path]:
    import pyarrow
    from pyarrow import ipc

    table = pyarrow.table({"file": ["a", "b", "c"], "batch": [1, 4, 2], "seq": [10, 20, 30]})
    paths = [directory / "sizes.arrow", directory / "stream.arrow"]
    for path, new in zip(paths, (ipc.new_file, ipc.new_stream), strict=True):
        with new(path, table.schema) as file:
            file.write_table(table)
    return paths


def _read_arrow(directory: Path) -> Any:
    return read("sizes.arrow", directory), read("stream.arrow", directory)


_CSV = b"file,batch,seq,weight\na.txt,1,10,1\nb.txt,4,200,0.5\nc.txt,16,3,2\n"
_TSV = b"batch\tseq\n1\t10\n3\t17\n"
_JSONL = b'{"seq": [10, 20, 30], "weight": 2}\n{"seq": [7]}\n{"seq": 5, "note": "x"}\n{"seq": []}\n'


def _table(name: str, content: bytes, *mutators: Mutator) -> Reader:
    make, reading = partial(_make, name, content), partial(read, name)
    words = (b"batch", b"seq", b"weight", b"16777216", b"16777217", b"1000000000", b"," * 100_000, b"9" * 10)
    return Reader(name.rpartition(".")[2], make, reading, allowed=anything, mutators=mutators, words=words)


READERS = (
    _table("sizes.csv", _CSV, table_cells),
    _table("sizes.tsv", _TSV, table_cells),
    _table("sizes.jsonl", _JSONL, json_line),
    Reader("arrow", _make_arrow, _read_arrow, allowed=anything, words=(b"ARROW1",), share=0.5),
    Reader("parquet", _make_parquet, _read_parquet, allowed=anything, words=(b"PAR1",), share=0.5),
)
