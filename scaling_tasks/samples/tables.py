"""The table kinds: sizes or lengths in the columns of .csv, .jsonl and .parquet files."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.errors import DatasetError
from scaling_tasks.files import digest_file
from scaling_tasks.samples.columns import ColumnReader
from scaling_tasks.samples.measurements import Measurements

__all__ = ["read_table"]

_Rows = Iterator[tuple[int, Mapping[str, Any]]]


def read_table(path: Path, kind: str) -> tuple[Measurements, str]:
    """Measure every row; return the measurements and the SHA-256 of the file.

    Every column that holds a whole number somewhere is kept under its own name; which of them a model needs is decided
    when the statistics are made, and so is whether 0 is a size. A cell that is no positive whole number is remembered
    as a fault of its column. In .jsonl and .parquet a cell may be a list: the row is then one request, and each element
    one of its items.

    Args:
        path: The file.
        kind: ``csv`` (a header line; tabs in a ``.tsv``), ``jsonl`` (one object per line) or ``parquet``.

    Raises:
        DatasetError: The file is not of that kind, has no rows, or no column of numbers.
    """
    digest = hashlib.sha256()
    columns = ColumnReader(str(path))
    for number, row in _rows(path, kind, digest):
        columns.add(number, row)
    found = columns.measurements()
    return found, digest_file(path) if kind == "parquet" else digest.hexdigest()


def _rows(path: Path, kind: str, digest: Any) -> _Rows:
    if kind == "parquet":
        return _parquet_rows(path)
    return _csv_rows(path, digest) if kind == "csv" else _jsonl_rows(path, digest)


def _lines(path: Path, digest: Any) -> Iterator[str]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            digest.update(line)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as cause:
                raise DatasetError(
                    f"not UTF-8 text ({cause.reason})", where=f"{path}, line {number}", fix="Save it as UTF-8."
                ) from cause


def _csv_rows(path: Path, digest: Any) -> _Rows:
    reader = csv.reader(_lines(path, digest), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        names = [name.strip() for name in next(reader, [])]
        for cells in reader:
            if any(cells):
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as cause:
        raise DatasetError(f"not a CSV file ({cause})", where=f"{path}, line {reader.line_num}") from cause


def _jsonl_rows(path: Path, digest: Any) -> _Rows:
    for number, line in enumerate(_lines(path, digest), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as cause:
            raise _not_an_object(path, number) from cause
        if not isinstance(row, dict):
            raise _not_an_object(path, number)
        yield number, row


def _not_an_object(path: Path, number: int) -> DatasetError:
    return DatasetError(
        "not a JSON object", where=f"{path}, line {number}", fix='Write one object per line, like {"H": 32, "W": 100}.'
    )


def _parquet_rows(path: Path) -> _Rows:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as cause:
        raise DatasetError(
            "reading parquet needs the package pyarrow",
            where=str(path),
            fix="Install scaling-tasks[parquet], or save the table as .csv.",
        ) from cause
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=8192):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as cause:
        raise DatasetError(f"not a parquet file ({cause})", where=str(path)) from cause
