"""YAML text with the line of every key, so that an error can name file, line and key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scaling_tasks.errors import ConfigError

__all__ = ["Source", "read_yaml"]

KeyPath = tuple[str | int, ...]

# A tenth of the time where PyYAML has its parser in C.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Source:
    """Plain values and where they stand.

    Attributes:
        name: The file's name, or what to call a mapping given in code.
        values: The content as mappings, lists and scalars.
        lines: Line (from 1) of every key path.
        defaults: Where values come from that stand in another file, already part of ``values``.
    """

    name: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    defaults: Source | None = None

    def where(self, path: KeyPath) -> str:
        """Return ``file:line: a.b.c`` for a key path, with the nearest line that is known."""
        if self.defaults and self.defaults._known(path) > self._known(path):
            return self.defaults.where(path)
        key = _dotted(path)
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return f"{self.name}:{line}: {key}" if key else f"{self.name}:{line}"
        return f"{self.name}: {key}" if key else self.name

    def over(self, defaults: Source) -> Source:
        """Return these values with those of ``defaults`` wherever nothing is said; mappings are merged key by key."""
        return Source(self.name, _merged(self.values, defaults.values), self.lines, defaults)

    def _known(self, path: KeyPath) -> int:
        """Return how much of a key path has a line here."""
        return next((length for length in range(len(path), 0, -1) if path[:length] in self.lines), 0)


def _merged(own: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    if own.get("kind", defaults.get("kind")) != defaults.get("kind"):
        return own  # Another kind of preprocessing has other parameters.
    merged = {**defaults, **own}
    for key in own.keys() & defaults.keys():
        if isinstance(own[key], dict) and isinstance(defaults[key], dict):
            merged[key] = _merged(own[key], defaults[key])
    return merged


def read_yaml(path: Path) -> Source:
    """Read a YAML mapping.

    Raises:
        ConfigError: The file is missing, no YAML, no mapping, or gives a key twice.
    """
    name = path.as_posix()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(f"cannot be read ({cause})", where=name, fix="Check the path and its permissions.") from cause
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        values = loader.construct_document(node) if isinstance(node, yaml.MappingNode) else None
    except yaml.YAMLError as cause:
        mark = getattr(cause, "problem_mark", None)
        line = f"{name}:{mark.line + 1}" if mark else name
        problem = getattr(cause, "problem", None) or str(cause)
        raise ConfigError(f"not YAML ({problem})", where=line, fix="Mend the syntax at that line.") from cause
    if values is None:
        raise ConfigError("not a mapping of keys to values", where=name, fix="Write `model: …` and so on.")
    return Source(name, values, dict(_lines(node, (), name)))


def _lines(node: yaml.Node, path: KeyPath, name: str) -> Iterator[tuple[KeyPath, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            if key in seen:
                raise ConfigError(
                    f"the key is given twice, first in line {seen[key]}",
                    where=f"{name}:{line}: {_dotted((*path, key))}",
                    fix="Keep one of them.",
                )
            seen[key] = line
            yield (*path, key), line
            yield from _lines(value, (*path, key), name)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index), name)


def _dotted(path: KeyPath) -> str:
    return ".".join(str(part) for part in path)
