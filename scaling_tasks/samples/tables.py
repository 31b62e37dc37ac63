"""The table kinds: sizes or lengths in the columns of .csv, .jsonl and .parquet files."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.errors import DatasetError, one_line
from scaling_tasks.files import digest_file, open_regular
from scaling_tasks.samples.columns import ColumnReader
from scaling_tasks.samples.limits import MOST_CELLS
from scaling_tasks.samples.lines import read_lines
from scaling_tasks.samples.measurements import Measurements

__all__ = ["read_table"]

_Rows = Iterator[tuple[int, Mapping[str, Any]]]


def read_table(path: Path, kind: str) -> tuple[Measurements, str]:
    """Measure every row; return the measurements and the SHA-256 of the file.

    Every column that holds a whole number somewhere is kept under its own name; which of them a model needs is decided
    when the statistics are made, and so is whether 0 is a size. A cell that is no whole number up to `LARGEST_SIZE` is
    remembered as a fault of its column. In .jsonl and .parquet a cell may be a list: the row is then one request, and
    each element one of its items. How much a table may hold is in `scaling_tasks.samples.limits`.

    Args:
        path: The file.
        kind: ``csv`` (a header line; tabs in a ``.tsv``), ``jsonl`` (one object per line) or ``parquet``.

    Raises:
        DatasetError: The file is not of that kind, has no rows, no column of numbers, or is beyond a limit.
        OSError: The file cannot be read.
    """
    columns = ColumnReader(str(path))
    if kind == "parquet":
        for number, row in _parquet_rows(path):
            columns.add(number, row)
        return columns.measurements(), digest_file(path)
    text = _Text(path)
    for number, row in _csv_rows(path, text) if kind == "csv" else _jsonl_rows(path, text):
        columns.add(number, row, text.bytes)
    return columns.measurements(), text.digest.hexdigest()


class _Text:
    """The lines of a file as text, digested and counted while they are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.digest = hashlib.sha256()
        self.bytes = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in read_lines(self._path):
            self.digest.update(line)
            self.bytes += len(line)
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as cause:
                raise DatasetError(
                    f"not UTF-8 text ({cause.reason})", where=f"{self._path}, line {number}", fix="Save it as UTF-8."
                ) from cause


def _csv_rows(path: Path, text: _Text) -> _Rows:
    reader = csv.reader(iter(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_names(names, f"{path}, line {reader.line_num}")
        for cells in reader:
            if any(cells):
                if any(cells[len(names) :]):
                    raise DatasetError(
                        f"{len(cells)} cells stand below {len(names)} names",
                        where=f"{path}, line {reader.line_num}",
                        fix="Give every column a name, and put text with separators in quotes.",
                    )
                yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as cause:
        raise DatasetError(f"not a CSV file ({cause})", where=f"{path}, line {reader.line_num}") from cause


def _check_names(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DatasetError(f"{twice[0][:40]!r} names several columns", where=where, fix="Rename all but one of them.")


def _jsonl_rows(path: Path, text: _Text) -> _Rows:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as cause:
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
    number = 0
    try:
        with open_regular(path) as opened, parquet.ParquetFile(opened) as file:
            _check_names(file.schema_arrow.names, str(path))
            _check_parquet_size(path, file.metadata)
            for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, ArithmeticError) as cause:
        # Damaged pages make the library raise its own types and plain ones alike.
        if isinstance(cause, OSError) and not isinstance(cause, pyarrow.ArrowException) and cause.errno:
            raise
        raise DatasetError(f"not a parquet file ({one_line(cause)})", where=str(path)) from cause


_ROWS_AT_ONCE = 8192


def _check_parquet_size(path: Path, metadata: Any) -> None:
    if metadata.num_rows * metadata.num_columns > MOST_CELLS:
        raise DatasetError(
            f"the table has {metadata.num_rows} rows of {metadata.num_columns} columns, which is too much",
            where=str(path),
            fix="Leave out columns that are no sizes, and give equal rows once, with a column `weight`.",
        )
