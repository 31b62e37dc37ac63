"""The lines of a file, none longer than one that a data set can have."""

from __future__ import annotations

import io
from collections.abc import Iterator

from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.limits import LONGEST_LINE
from scaling_tasks.samples.places import open_data

__all__ = ["read_blocks", "read_lines"]

_BLOCK = 1 << 20


def read_blocks(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the file in pieces of whole lines, about 1 MiB each, with the number of the first line, from 1 on.

    Raises:
        DatasetError: A line is longer than `LONGEST_LINE`, or see `open_data`; what stands before it comes first.
        OSError: The file cannot be read.
    """
    with open_data(path) as file:
        number = 1
        while block := file.read(_BLOCK):
            block += file.readline(LONGEST_LINE + 1)
            last = block.rfind(b"\n", 0, -1) + 1
            if len(block) - last > LONGEST_LINE:
                if last:
                    yield number, block[:last]
                number += block.count(b"\n", 0, last)
                raise DatasetError(
                    f"the line is longer than {LONGEST_LINE} bytes",
                    where=f"{path}, line {number}",
                    fix="Write one line per row or image.",
                )
            yield number, block
            number += block.count(b"\n")


def read_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield every line with its number, from 1 on, and its end.

    Raises:
        DatasetError: A line is longer than `LONGEST_LINE`, or see `open_data`.
        OSError: The file cannot be read.
    """
    for first, block in read_blocks(path):
        yield from enumerate(io.BytesIO(block), first)
