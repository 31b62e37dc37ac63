"""YAML text with the line of every key, so that an error can name file, line and key."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.config.yaml_values import MOST_BYTES, MOST_DEPTH, KeyPath, dotted, parse_yaml
from scaling_tasks.errors import ConfigError, one_line
from scaling_tasks.files import read_regular

__all__ = ["LARGEST_NUMBER", "Source", "merged", "read_yaml"]

LARGEST_NUMBER = 2**53
"""Of whole numbers: others than Python read them too."""


class Source(msgspec.Struct, frozen=True):
    """Plain values and where they stand.

    Attributes:
        name: The file's name, or what to call a mapping given in code.
        values: The content as mappings, lists and scalars.
        lines: Line (from 1) of every key path.
        defaults: Where values come from that stand in another file, already part of ``values``.
    """

    name: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = {}
    defaults: Source | None = None

    def where(self, path: KeyPath) -> str:
        """Return ``file:line: a.b.c`` for a key path, with the nearest line that is known."""
        if self.defaults and self.defaults._known(path) > self._known(path):
            return self.defaults.where(path)
        key = dotted(path)
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return f"{self.name}:{line}: {key}" if key else f"{self.name}:{line}"
        return f"{self.name}: {key}" if key else self.name

    def check(self) -> None:
        """Refuse values that nothing here can mean, wherever they stand.

        Raises:
            ConfigError: A key is no text, a text holds NUL or half a character, a number is not finite or beyond
                `LARGEST_NUMBER`, or values are nested without end.
        """
        _check(self.values, (), self)

    def over(self, defaults: Source) -> Source:
        """Return these values with those of ``defaults`` wherever nothing is said; mappings are merged key by key."""
        return Source(self.name, merged(self.values, defaults.values), self.lines, defaults)

    def _known(self, path: KeyPath) -> int:
        """Return how much of a key path has a line here."""
        return next((length for length in range(len(path), 0, -1) if path[:length] in self.lines), 0)


def merged(own: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Return ``own`` over ``defaults``: mappings are merged key by key, everything else is replaced."""
    if own.get("kind", defaults.get("kind")) != defaults.get("kind"):
        return own  # Another kind of preprocessing has other parameters.
    found = {**defaults, **own}
    for key in own.keys() & defaults.keys():
        if isinstance(own[key], dict) and isinstance(defaults[key], dict):
            found[key] = merged(own[key], defaults[key])
    return found


def read_yaml(path: Path, *, may_be_empty: bool = False) -> Source:
    """Read a YAML mapping; where it may be empty, a file that says nothing is a mapping of nothing.

    Raises:
        ConfigError: The file cannot be read, or see `parse_yaml`.
    """
    name = path.as_posix()
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as cause:
        why = cause.strerror or cause
        raise ConfigError(f"cannot be read ({why})", where=name, fix="Check the path and its permissions.") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError(f"not UTF-8 text ({cause.reason})", where=name, fix="Save it as UTF-8.") from cause
    values, lines = parse_yaml(text, name, may_be_empty=may_be_empty)
    return Source(name, values, lines)


def _check(value: Any, path: KeyPath, source: Source) -> None:
    if len(path) > MOST_DEPTH:
        raise ConfigError(f"more than {MOST_DEPTH} levels", where=source.where(path), fix="Nest values less deeply.")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                what = f"the key {one_line(repr(key))} is no text"
                raise ConfigError(what, where=source.where(path), fix="Put it in quotes.")
            _check_text(key, (*path, key), source)
            _check(inner, (*path, key), source)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            _check(inner, (*path, place), source)
    elif isinstance(value, str):
        _check_text(value, path, source)
    elif isinstance(value, float) and not math.isfinite(value):
        fix = "Write a number; a large one where nothing is to be excluded."
        raise ConfigError(f"{value} is not a finite number", where=source.where(path), fix=fix)
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        what = f"{one_line(value, 40)} is beyond {LARGEST_NUMBER}"
        raise ConfigError(what, where=source.where(path), fix="Write a smaller number.")


def _check_text(text: str, path: KeyPath, source: Source) -> None:
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ConfigError(
            f"{one_line(repr(text), 60)} holds what no file name and no text can",
            where=source.where(path),
            fix="Correct it.",
        )
