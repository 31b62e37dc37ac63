"""The table kinds of text: sizes or lengths in the columns of .csv and .jsonl files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, groupby, starmap
from typing import Any

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.columns import ColumnReader
from scaling_tasks.samples.lines import read_blocks
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.samples.plain_columns import plain_columns

__all__ = ["check_names", "read_table"]

_Rows = Iterator[tuple[int, Mapping[str, Any]]]
_CsvRows = list[list[str]]


def read_table(path: str, kind: str) -> tuple[Measurements, str]:
    """Measure every row; return the measurements and the SHA-256 of the file, empty where it is read in parts.

    Every column that holds a whole number somewhere is kept under its own name; which of them a model needs is decided
    when the statistics are made, and so is whether 0 is a size. A cell that is no whole number up to `LARGEST_SIZE` is
    remembered as a fault of its column. In all kinds but .csv a cell may be a list: the row is then one request, and
    each element one of its items. How much a table may hold is in `scaling_tasks.samples.limits`.

    Args:
        path: The file's path or URL.
        kind: ``csv`` (a header line; tabs in a ``.tsv``), ``jsonl`` (one object per line), ``parquet`` or ``arrow``.

    Raises:
        DatasetError: The file is not of that kind, has no rows, no column of numbers, or is beyond a limit.
        OSError: The file cannot be read.
    """
    columns = ColumnReader(path)
    if kind in ("parquet", "arrow"):
        from scaling_tasks.samples.arrow_tables import add_arrow_table

        add_arrow_table(columns, path, kind, check_names)
        return columns.measurements(), ""
    text = _Text(path)
    if kind == "csv":
        _CsvRecords(path, text).add_to(columns)
    else:
        for number, row in _jsonl_rows(path, text):
            columns.add(number, row, text.bytes)
    return columns.measurements(), text.digest.hexdigest()


class _Text:
    """The text of a file in pieces of whole lines, digested and counted while they are read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.digest = hashlib.sha256()
        self.bytes = 0

    def pieces(self) -> Iterator[tuple[int, bytes]]:
        """Yield them with the number of their first line."""
        for first, piece in read_blocks(self._path):
            self.digest.update(piece)
            self.bytes += len(piece)
            yield first, piece

    def lines(self, first: int, piece: bytes) -> Iterator[str]:
        """Return the lines of a piece.

        Raises:
            DatasetError: One is no text; those before come first.
        """
        try:
            return io.StringIO(piece.decode("utf-8-sig" if first == 1 else "utf-8"), newline="\n")
        except UnicodeDecodeError:
            return self._lines_up_to_mistake(first, piece)

    def _lines_up_to_mistake(self, first: int, piece: bytes) -> Iterator[str]:
        for number, line in enumerate(io.BytesIO(piece), first):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as cause:
                raise DatasetError(
                    f"not UTF-8 text ({cause.reason})", where=f"{self._path}, line {number}", fix="Save it as UTF-8."
                ) from cause


class _CsvRecords:
    """The records of a CSV file, which may go over several lines and from one piece of the file to the next."""

    def __init__(self, path: str, text: _Text) -> None:
        self._path, self._text = path, text
        self._pieces = text.pieces()
        self._delimiter = "\t" if path.lower().endswith(".tsv") else ","
        self._end = 0  # number of the last line taken

    def add_to(self, columns: ColumnReader) -> None:
        """Take the names of the columns from the first record, and all rows piece by piece."""
        names: list[str] | None = None
        for first, piece in self._pieces:
            if names is not None and (cells := plain_columns(piece, len(names), self._delimiter)) is not None:
                columns.add_columns(range(first, first + len(cells[0])), dict(zip(names, cells, strict=True)))
                continue
            for rows, lines in self._batches(first, piece):
                if names is None and rows:
                    names = [name.strip() for name in rows.pop(0)]
                    check_names(names, f"{self._path}, line {lines.pop(0)}")
                _add_rows(columns, names or [], rows, lines, self._path)

    def _batches(self, first: int, piece: bytes) -> Iterator[tuple[_CsvRows, list[int]]]:
        """Yield the rows that begin in a piece, with their lines; those before a mistake come before it is told."""
        reader = csv.reader(self._lines_from(first, piece), delimiter=self._delimiter)
        rows: _CsvRows = []
        lines: list[int] = []
        before = first - 1
        try:
            for row in reader:
                rows.append(row)
                lines.append(before + reader.line_num)
                if before + reader.line_num >= self._end:
                    break
        except csv.Error as cause:
            yield rows, lines
            where = f"{self._path}, line {before + reader.line_num}"
            fix = "End lines with line feeds, and close every quote."
            raise DatasetError(f"not a CSV file ({cause})", where=where, fix=fix) from cause
        except DatasetError:
            yield rows, lines
            raise
        yield rows, lines

    def _lines_from(self, first: int, piece: bytes) -> Iterator[str]:
        """Yield the lines of a piece, and on those of the next ones for as long as a record goes on."""
        for number, each in chain([(first, piece)], self._pieces):
            self._end = number - 1 + each.count(b"\n") + (not each.endswith(b"\n"))
            yield from self._text.lines(number, each)


def _add_rows(columns: ColumnReader, names: list[str], rows: _CsvRows, lines: list[int], path: str) -> None:
    """Take rows, those of equally many cells together."""
    start = 0
    for width, alike in groupby(rows, len):
        stop = start + sum(1 for _ in alike)
        if width:
            _add_alike(columns, names, rows[start:stop], lines[start:stop], path)
        start = stop


def _add_alike(columns: ColumnReader, names: list[str], rows: _CsvRows, lines: list[int], path: str) -> None:
    """Take rows of equally many cells; those without content are left out."""
    cells = list(zip(*rows, strict=True))
    if "" in cells[0] and not all(map(any, rows)):
        filled = [place for place, row in enumerate(rows) if any(row)]
        rows, lines = [rows[place] for place in filled], [lines[place] for place in filled]
        cells = list(zip(*rows, strict=True))
    beyond = (place for place, row in enumerate(rows) if any(row[len(names) :]))
    wrong = next(beyond, None) if len(cells) > len(names) else None
    if rows[:wrong]:
        named = {name: column[:wrong] for name, column in zip(names, cells, strict=False)}
        columns.add_columns(lines[:wrong], named)
    if wrong is not None:
        raise DatasetError(
            f"{len(rows[wrong])} cells stand below {len(names)} names",
            where=f"{path}, line {lines[wrong]}",
            fix="Give every column a name, and put text with separators in quotes.",
        )


def check_names(names: Sequence[str], where: str) -> None:
    """Refuse several columns of one name.

    Raises:
        DatasetError: There are.
    """
    twice = [name for name, count in Counter(names).items() if count > 1 and name]
    if twice:
        raise DatasetError(f"{twice[0][:40]!r} names several columns", where=where, fix="Rename all but one of them.")


def _jsonl_rows(path: str, text: _Text) -> _Rows:
    for number, line in enumerate(chain.from_iterable(starmap(text.lines, text.pieces())), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as cause:
            raise _not_an_object(path, number) from cause
        if not isinstance(row, dict):
            raise _not_an_object(path, number)
        yield number, row


def _not_an_object(path: str, number: int) -> DatasetError:
    return DatasetError(
        "not a JSON object", where=f"{path}, line {number}", fix='Write one object per line, like {"H": 32, "W": 100}.'
    )
