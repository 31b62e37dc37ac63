"""The table kinds of Arrow: Parquet, and Arrow's own files and streams (Feather is one), batch by batch."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from scaling_tasks.errors import DatasetError, one_line
from scaling_tasks.samples.cells import Cells
from scaling_tasks.samples.columns import WEIGHT, ColumnReader
from scaling_tasks.samples.limits import MOST_CELLS
from scaling_tasks.samples.places import open_data

__all__ = ["add_arrow_table"]

_ROWS_AT_ONCE = 1 << 16
_FILE_MARK = b"ARROW1"
_NAMES = {"parquet": "a parquet file", "arrow": "an Arrow file or stream"}


def add_arrow_table(
    columns: ColumnReader, path: str, kind: str, check_names: Callable[[Sequence[str], str], None]
) -> None:
    """Read the columns of numbers, and of lists of them, into ``columns``; no other column is read.

    Raises:
        DatasetError: pyarrow is missing, or the file is damaged or beyond a limit.
        OSError: The file cannot be read.
    """
    try:
        import pyarrow
    except ImportError as cause:
        raise DatasetError(
            f"reading {kind} needs the package pyarrow",
            where=path,
            fix="Install scaling-tasks[parquet], or save the table as .csv.",
        ) from cause
    number = 0
    try:
        with open_data(path) as file:
            opened = _Bounded(file)
            batches = _parquet_batches if kind == "parquet" else _arrow_batches
            for batch in batches(opened, path, check_names):
                _add_batch(columns, batch, number + 1)
                number += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, ArithmeticError, MemoryError) as cause:
        # Damaged pages make the library raise its own types and plain ones alike.
        if isinstance(cause, OSError) and not isinstance(cause, pyarrow.ArrowException) and cause.errno:
            raise
        raise DatasetError(f"not {_NAMES[kind]} ({one_line(cause)})", where=path) from cause


class _Bounded:
    """A file of which never more is asked for than is left: lengths that lie would be made room for first."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file to who opened it."""


def _parquet_batches(opened: Any, path: str, check_names: Callable[[Sequence[str], str], None]) -> Iterator[Any]:
    from pyarrow import parquet

    with parquet.ParquetFile(opened) as file:
        check_names(file.schema_arrow.names, path)
        wanted = _wanted(file.schema_arrow)
        _check_size(path, file.metadata.num_rows, len(wanted))
        # A name may stand for columns within others too.
        yield from (batch.select(wanted) for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted))


def _arrow_batches(opened: Any, path: str, check_names: Callable[[Sequence[str], str], None]) -> Iterator[Any]:
    from pyarrow import ipc

    mark = opened.read(len(_FILE_MARK))
    opened.seek(0)
    reader = ipc.open_file(opened) if mark == _FILE_MARK else ipc.open_stream(opened)
    check_names(reader.schema.names, path)
    wanted = _wanted(reader.schema)
    options = ipc.IpcReadOptions(included_fields=[reader.schema.names.index(name) for name in wanted])
    opened.seek(0)
    if mark == _FILE_MARK:
        with ipc.open_file(opened, options=options) as file:
            yield from map(file.get_batch, range(file.num_record_batches))
    else:
        with ipc.open_stream(opened, options=options) as stream:
            yield from stream
        if opened.read(1):
            raise ValueError("something stands behind its end, such as a second stream")


def _wanted(schema: Any) -> list[str]:
    """Return the names of the columns that can hold sizes."""
    return [field.name for field in schema if field.name == WEIGHT or _holds_numbers(field.type)]


def _holds_numbers(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _holds_numbers(kind.value_type)
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _check_size(path: str, rows: int, columns: int) -> None:
    if rows * columns > MOST_CELLS:
        raise DatasetError(
            f"the table has {rows} rows of {columns} columns, which is too much",
            where=path,
            fix="Leave out columns that are no sizes, and give equal rows once, with a column `weight`.",
        )


def _add_batch(columns: ColumnReader, batch: Any, first: int) -> None:
    from pyarrow import types

    if not batch.num_rows:
        return
    lists = [field for field in batch.schema if types.is_nested(field.type)]
    if lists:
        for number, row in enumerate(batch.to_pylist(), first):
            columns.add(number, row)
        return
    cells: Mapping[str, Cells] = dict(zip(batch.schema.names, map(_cells, batch.columns), strict=True))
    columns.add_columns(range(first, first + batch.num_rows), cells)


def _cells(column: Any) -> Cells:
    """Return a column as an array where it is numbers throughout, else as Python values."""
    from pyarrow import types

    plain = types.is_integer(column.type) or types.is_floating(column.type)
    found: Cells = column.to_numpy() if plain and not column.null_count else column.to_pylist()
    return found
