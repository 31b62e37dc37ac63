"""Refusing a word that is not among the known ones, by naming the nearest that is."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.errors import CompileError, one_line

__all__ = ["check_choice", "wrong_choice"]


def check_choice(value: object, known: Sequence[str], *, where: str, kind: str) -> None:
    """Refuse a value that is not among the known ones.

    Raises:
        CompileError: Naming the nearest known value and all of them.
    """
    if value not in known:
        raise wrong_choice(value, known, where=where, kind=kind)


def wrong_choice(value: object, known: Sequence[str], *, where: str, kind: str) -> CompileError:
    """Return what refuses a value that is not among the known ones, see ``check_choice``."""
    import difflib

    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(known) or "none"
    return CompileError(f"{one_line(repr(value), 60)} is no {kind}", where=where, fix=f"{hint}Known: {listed}.")
