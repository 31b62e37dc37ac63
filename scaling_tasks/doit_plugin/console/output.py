"""Writing to whoever reads, who may have gone."""

from __future__ import annotations

import os
from typing import TextIO

__all__ = ["write_out"]


def write_out(stream: TextIO, text: str) -> None:
    """Write and flush; where the reader has gone, as ``head`` does, this and all that follows goes nowhere."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - not a path
            os.dup2(nowhere.fileno(), stream.fileno())
