"""How large what a data set says may be: far beyond any real one, and far below what would fill a machine."""

from __future__ import annotations

__all__ = [
    "LARGEST_SIZE",
    "LARGEST_WEIGHT",
    "LEAST_WEIGHT",
    "LONGEST_LINE",
    "LONGEST_NAME",
    "MOST_CELLS",
    "MOST_CELLS_MADE",
    "MOST_COLUMNS",
    "MOST_ITEMS",
    "MOST_ITEMS_OF_A_REQUEST",
]

LARGEST_SIZE = 1 << 24
"""Of a side in pixels, a length or a batch, before and after preprocessing."""
LARGEST_WEIGHT, LEAST_WEIGHT = 1e15, 1e-15
"""A row may also have the weight 0."""
LONGEST_LINE = 1 << 22
"""Bytes of a line of a table or an annotation."""
MOST_COLUMNS = 1024
LONGEST_NAME = 256
"""Characters in the name of a column."""
MOST_CELLS = 1 << 27
"""Rows times columns; a row with a list counts as many as its list has elements."""
MOST_CELLS_MADE = 1 << 24
"""Cells beyond the bytes that were read: what short lines that stand for much may come to."""
MOST_ITEMS_OF_A_REQUEST = 1 << 16
MOST_ITEMS = 1 << 25
"""Items of all requests of a table with a batch column."""
