"""One configuration for several targets: a matrix of axes, of which each combination is a target of its own."""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import PurePosixPath
from typing import Any

import msgspec

from scaling_tasks.config.source import Source, merged
from scaling_tasks.config.yaml_values import KeyPath
from scaling_tasks.errors import ConfigError, all_of, one_line

__all__ = ["MATRIX", "cells"]

MATRIX = "matrix"
_NAME, _INCLUDE, _EXCLUDE = "name", "include", "exclude"
_MOST_CELLS = 1000
_LONGEST_PATH = 8
# Keys of `compile` that bound the work: they tell no two results apart, and so are in no name.
_UNNAMED = ("optional", "threads", "memory", "timeout")
_SPOIL_NAMES = str.maketrans(dict.fromkeys("/\\:*?[]= \t", "_"))


class _Value(msgspec.Struct, frozen=True):
    """What one axis says in one cell, and where that stands in the file."""

    axis: str
    value: Any
    place: KeyPath

    @property
    def path(self) -> tuple[str, ...]:
        """The key path that the axis is named after."""
        return tuple(self.axis.split("."))


_Cell = tuple[_Value, ...]


def cells(source: Source) -> list[Source]:
    """Return one source per target: the file itself without a matrix, else each cell's values over the rest of it.

    A cell's lines are those of its values in the matrix, so that mistakes are told where they stand.

    Raises:
        ConfigError: The matrix is no mapping of lists, has no cell, or two cells give the same name.
    """
    if MATRIX not in source.values:
        return [source]
    matrix = source.values[MATRIX]
    if not isinstance(matrix, dict):
        raise _wrong(source, (), "it is no mapping of lists", "Write `compile: [{backend: …}, {backend: …}]` below it.")
    if "output" in source.values:
        output = source.where(("output",))
        raise ConfigError("every target of the matrix would be written there", where=output, fix="Leave it out.")
    found = [*_not_excluded(list(_product(matrix, source)), matrix, source), *_included(matrix, source)]
    if not found:
        raise _wrong(source, (), "it has no cell", "Give it an axis such as `compile: [{backend: openvino}]`.")
    base = {key: value for key, value in source.values.items() if key != MATRIX}
    named: dict[str, Source] = {}
    for cell in found:
        name = _name(cell, matrix, str(base.get("name", "target")), source)
        if name in named:
            where: KeyPath = cell[-1].place
            fix = f"Write matrix.{_NAME} with what tells them apart, such as '{{name}}-{{backend}}'."
            raise _wrong(source, where, f"two cells are called {one_line(repr(name))}", fix)
        named[name] = _cell_source(cell, {**base, "name": name}, source)
    return list(named.values())


def _product(matrix: Mapping[str, Any], source: Source) -> Iterator[_Cell]:
    """Yield every combination of the axes' values; none where there is no axis."""
    axes: list[list[_Value]] = []
    count = 1
    for axis, values in matrix.items():
        if axis in (_NAME, _INCLUDE, _EXCLUDE):
            continue
        if not isinstance(values, list) or not values:
            raise _wrong(source, (axis,), "it is no list of values", "List what the key is to be, one after the other.")
        _check_axis(axis, (axis,), source)
        axes.append([_Value(axis, value, (axis, place)) for place, value in enumerate(values)])
        count *= len(values)
    if count > _MOST_CELLS:
        raise _wrong(source, (), f"it has {count} cells, above {_MOST_CELLS}", "Give it fewer axes or values.")
    return product(*axes) if axes else iter(())


def _included(matrix: Mapping[str, Any], source: Source) -> list[_Cell]:
    return [
        tuple(_Value(axis, value, (_INCLUDE, place, axis)) for axis, value in entry.items())
        for place, entry in enumerate(_entries(matrix, _INCLUDE, source))
    ]


def _not_excluded(found: list[_Cell], matrix: Mapping[str, Any], source: Source) -> list[_Cell]:
    """Return the cells of which no entry of ``exclude`` says only what is so in them.

    Raises:
        ConfigError: An entry excludes nothing.
    """
    said = [_said(cell) for cell in found]
    excluded: set[int] = set()
    idle: list[ConfigError] = []
    for place, entry in enumerate(_entries(matrix, _EXCLUDE, source)):
        wanted = _said(tuple(_Value(axis, value, (_EXCLUDE, place, axis)) for axis, value in entry.items()))
        hits = {index for index, each in enumerate(said) if _holds(each, wanted)}
        if not hits:
            fix = "Correct it, or leave it out."
            idle.append(_wrong(source, (_EXCLUDE, place), "no combination is so, and none is excluded", fix))
        excluded |= hits
    if idle:
        raise all_of(idle)
    return [cell for index, cell in enumerate(found) if index not in excluded]


def _said(cell: _Cell) -> dict[str, Any]:
    """Return a cell's values as they would stand in the configuration."""
    said: dict[str, Any] = {}
    for each in cell:
        said = merged(_nested(each), said)
    return said


def _entries(matrix: Mapping[str, Any], key: str, source: Source) -> Sequence[dict[str, Any]]:
    entries = matrix.get(key, [])
    if not isinstance(entries, list):
        raise _wrong(source, (key,), "it is no list", "Write a list of mappings from axes to values.")
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not entry:
            raise _wrong(source, (key, place), "it is no mapping", "Write a mapping from axes to values.")
        for axis in entry:
            _check_axis(axis, (key, place, axis), source)
    return entries


def _holds(said: Any, wanted: Any) -> bool:
    if isinstance(said, dict) and isinstance(wanted, dict):
        return all(key in said and _holds(said[key], value) for key, value in wanted.items())
    return bool(said == wanted)


def _check_axis(axis: str, place: KeyPath, source: Source) -> None:
    if axis.count(".") >= _LONGEST_PATH:
        raise _wrong(source, place, "no key lies so deep", "Name a key such as compile.options.precision.")


def _nested(value: _Value) -> dict[str, Any]:
    """Return the value as it would stand in the configuration."""
    inner = value.value
    if value.path == ("dataset",) and isinstance(inner, str):
        inner = {"path": inner}
    for key in reversed(value.path):
        inner = {key: inner}
    return dict(inner)


def _cell_source(cell: _Cell, base: dict[str, Any], source: Source) -> Source:
    values = base
    for each in cell:
        values = merged(_nested(each), values)
    defaults = source.defaults
    if defaults is not None:
        defaults = Source(defaults.name, defaults.values, _lines(cell, defaults.lines))
    return Source(source.name, values, _lines(cell, source.lines), defaults)


def _lines(cell: _Cell, lines: Mapping[KeyPath, int]) -> dict[KeyPath, int]:
    """Return a file's lines, with those of the cell's values at the keys that they are for."""
    found = dict(lines)
    for each in cell:
        place = (MATRIX, *each.place)
        if place in lines:  # where the sections begin that the axis leads through, too
            for length in range(1, len(each.path)):
                found.setdefault(each.path[:length], lines[place])
        for path, line in lines.items():
            if path[: len(place)] == place:
                key: KeyPath = (*each.path, *path[len(place) :])
                found[key] = line
    return found


def _name(cell: _Cell, matrix: Mapping[str, Any], name: str, source: Source) -> str:
    """Return the cell's name: by the template, or the file's with every value behind it."""
    told = [leaf for each in cell for leaf in _leaves(each.path, each.value)]
    leaves = [(path, text) for path, text in told if path[0] != "compile" or path[-1] not in _UNNAMED]
    template = matrix.get(_NAME)
    if template is None:
        return "-".join([name, *(text for _, text in leaves if text)])
    if not isinstance(template, str):
        raise _wrong(source, (_NAME,), "it is no text", "Write it like '{name}-{backend}'.")
    known = {"name": name}
    for path, text in leaves:
        known |= {path[-1]: text, ".".join(path): text}
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as cause:
        raise _wrong(source, (_NAME,), f"not a template ({cause})", "Write it like '{name}-{backend}'.") from cause
    made = ""
    for literal, field, _, _ in parts:
        if field is not None and field not in known:
            what = f"a cell says nothing of {one_line(repr(field), 60)}"
            raise _wrong(source, (_NAME,), what, f"What all say: {one_line(', '.join(sorted(known)))}.")
        made += literal + (known[field] if field is not None else "")
    return made


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the key paths of single values, and what each is called in a name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves((*path, str(key)), inner)
    elif isinstance(value, bool):
        yield path, path[-1] if value else f"no_{path[-1]}"
    elif isinstance(value, list):
        yield path, "x".join(text for each in value for _, text in _leaves(path, each))
    elif value is not None:
        text = str(value)
        yield path, (PurePosixPath(text).stem if "/" in text else text).translate(_SPOIL_NAMES)


def _wrong(source: Source, path: KeyPath, what: str, fix: str) -> ConfigError:
    return ConfigError(what, where=source.where((MATRIX, *path)), fix=fix)
