"""YAML text with the line of every key, so that an error can name file, line and key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.config.yaml_values import MOST_BYTES, MOST_DEPTH, MOST_MISTAKES, KeyPath, dotted, parse_yaml, without
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
        mistakes: What is wrong with values that are left out because of that.
        unread: Their key paths.
    """

    name: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = {}
    defaults: Source | None = None
    mistakes: tuple[ConfigError, ...] = ()
    unread: frozenset[KeyPath] = frozenset()

    def where(self, path: KeyPath) -> str:
        """Return ``file:line: a.b.c`` for a key path, with the nearest line that is known."""
        if self.defaults and self.defaults._known(path) > self._known(path):
            return self.defaults.where(path)
        key = dotted(path)
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return f"{self.name}:{line}: {key}" if key else f"{self.name}:{line}"
        return f"{self.name}: {key}" if key else self.name

    def sound(self) -> Source:
        """Return the source without values that nothing here can mean, wherever they stand.

        They are: a key that is no text, a text that holds NUL or half a character, a number that is not finite or
        beyond `LARGEST_NUMBER`.

        Raises:
            ConfigError: Values are nested without end.
        """
        found = list(islice(_mistakes(self.values, (), self), MOST_MISTAKES))
        values, unread = without(self.values, [path for path, _ in found])
        mistakes = (*self.mistakes, *(error for _, error in found))
        return msgspec.structs.replace(self, values=values, mistakes=mistakes, unread=self.unread | unread)

    def over(self, defaults: Source) -> Source:
        """Return these values with those of ``defaults`` wherever nothing is said; mappings are merged key by key."""
        values = merged(self.values, defaults.values)
        mistakes, unread = (*self.mistakes, *defaults.mistakes), self.unread | defaults.unread
        return Source(self.name, values, self.lines, defaults, mistakes, unread)

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
        ConfigError: The file cannot be read, or see `parse_yaml`; not what is among the source's ``mistakes``.
    """
    name = path.as_posix()
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as cause:
        why = cause.strerror or cause
        raise ConfigError(f"cannot be read ({why})", where=name, fix="Check the path and its permissions.") from cause
    except UnicodeDecodeError as cause:
        raise ConfigError(f"not UTF-8 text ({cause.reason})", where=name, fix="Save it as UTF-8.") from cause
    found = parse_yaml(text, name, may_be_empty=may_be_empty)
    return Source(name, found.values, found.lines, None, found.mistakes, found.unread)


def _mistakes(value: Any, path: KeyPath, source: Source) -> Iterator[tuple[KeyPath, ConfigError]]:
    """Yield what is wrong with values, and where it stands."""
    if len(path) > MOST_DEPTH:
        raise ConfigError(f"more than {MOST_DEPTH} levels", where=source.where(path), fix="Nest values less deeply.")
    if isinstance(value, dict):
        for key, inner in value.items():
            here = (*path, key)
            if not isinstance(key, str):
                what = f"the key {one_line(repr(key))} is no text"
                yield here, ConfigError(what, where=source.where(path), fix="Put it in quotes.")
            elif _is_no_text(key):
                yield here, _no_text(key, here, source)
            else:
                yield from _mistakes(inner, here, source)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from _mistakes(inner, (*path, place), source)
    elif isinstance(value, str) and _is_no_text(value):
        yield path, _no_text(value, path, source)
    elif isinstance(value, float) and not math.isfinite(value):
        fix = "Write a number; a large one where nothing is to be excluded."
        yield path, ConfigError(f"{value} is not a finite number", where=source.where(path), fix=fix)
    elif isinstance(value, int) and abs(value) > LARGEST_NUMBER:
        what = f"{one_line(value, 40)} is beyond {LARGEST_NUMBER}"
        yield path, ConfigError(what, where=source.where(path), fix="Write a smaller number.")


def _is_no_text(text: str) -> bool:
    return "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text)


def _no_text(text: str, path: KeyPath, source: Source) -> ConfigError:
    what = f"{one_line(repr(text), 60)} holds what no file name and no text can"
    return ConfigError(what, where=source.where(path), fix="Correct it.")
