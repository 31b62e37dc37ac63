"""What the harness needs to know of one reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["Mutator", "Reader", "anything"]

Mutator = Callable[[bytes, Random], bytes]


def anything(valid: Any, found: Any) -> bool:
    """Allow every difference: the file is a user's own data, so other bytes may mean something else."""
    return True


def _nothing(valid: Any, found: Any) -> bool:
    return False


@dataclass(frozen=True)
class Reader:
    """One reader of files. A module in `tests.fuzz.readers` registers it by naming it ``READERS = (Reader(…), …)``.

    Attributes:
        name: Shown in the table; what ``--reader`` takes.
        make: Writes valid files into an empty directory and returns those of them that are to be mutated, one per case.
        read: Reads what lies in such a directory and returns something that can be compared by ``==``: the same for the
            same content. It gets the directory alone, and may write into it.
        allowed: ``allowed(valid, found)`` says whether a mutated file may be read as ``found`` where the valid one is
            read as ``valid``. Nothing else than ``valid`` by default, as befits what is derived; see `anything`.
        refuses: Whether a mutated file may be refused by a `ScalingTasksError`. False where it must be made anew.
        mutators: Those of `tests.fuzz.mutations` that know the file's structure. Mutations of bytes are always among
            those tried.
        words: Pieces of content to put in anywhere, in addition to those that are tried on every reader.
        share: How many cases it gets, relative to others.
        processor_seconds: What one case may take.
        memory: Bytes that one case may take beyond what the process had before.
    """

    name: str
    make: Callable[[Path], list[Path]]
    read: Callable[[Path], Any]
    allowed: Callable[[Any, Any], bool] = _nothing
    refuses: bool = True
    mutators: tuple[Mutator, ...] = ()
    words: tuple[bytes, ...] = ()
    share: float = 1.0
    processor_seconds: int = 5
    memory: int = 512 << 20
