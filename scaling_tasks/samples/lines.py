"""The lines of a file, none longer than one that a data set can have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaling_tasks.errors import DatasetError
from scaling_tasks.files import open_regular
from scaling_tasks.samples.limits import LONGEST_LINE

__all__ = ["read_lines"]


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield every line with its number, from 1 on, and its end.

    Raises:
        DatasetError: A line is longer than `LONGEST_LINE`.
        OSError: The file cannot be read.
    """
    with open_regular(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(line) > LONGEST_LINE:
                raise DatasetError(
                    f"the line is longer than {LONGEST_LINE} bytes",
                    where=f"{path}, line {number}",
                    fix="Write one line per row or image.",
                )
            yield number, line
