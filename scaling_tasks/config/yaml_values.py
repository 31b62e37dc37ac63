"""YAML text to plain values and the line of each, within limits that no honest configuration comes near.

The library's own constructor would follow every alias as often as it is named and raise whatever a scalar makes it
raise; its scanner, parser and composer are used as they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple

import yaml

from scaling_tasks.errors import ConfigError, all_of, one_line

__all__ = ["MOST_BYTES", "MOST_DEPTH", "MOST_MISTAKES", "MOST_VALUES", "KeyPath", "dotted", "parse_yaml", "without"]

KeyPath = tuple[str | int, ...]

MOST_BYTES = 1 << 18
MOST_DEPTH = 32
"""Of lists and mappings within each other."""
MOST_VALUES = 50_000
"""Values in a file, one named by an alias counted wherever it is named."""

MOST_MISTAKES = 50
"""In one file, beyond which the others are not told."""

_CORE = "tag:yaml.org,2002:"
_MERGE = _CORE + "merge"
_FOREIGN = "Use numbers, texts, true, false, null, lists and mappings."

# A tenth of the time where PyYAML has its parser in C.
_FastLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_FastLoader):  # type: ignore[misc]  # either of the two
    """Has a resolver of its own for numbers."""


# YAML 1.1 takes 2e6 and 1e-4 for text, which nobody means.
_Loader.add_implicit_resolver(_CORE + "float", re.compile(r"[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"), list("-+0123456789"))


class Parsed(NamedTuple):
    """What a YAML mapping says.

    Attributes:
        values: Its values, without those that are wrong.
        lines: The line (from 1) of every key path.
        mistakes: What is wrong.
        unread: The key paths of what is left out because of that.
    """

    values: dict[str, Any]
    lines: dict[KeyPath, int]
    mistakes: tuple[ConfigError, ...] = ()
    unread: frozenset[KeyPath] = frozenset()


def parse_yaml(text: str, name: str, *, may_be_empty: bool = False) -> Parsed:
    """Return what a YAML mapping says; a key that is given twice, and what is no plain value, are among the mistakes.

    Args:
        text: The content.
        name: The file's name, for messages.
        may_be_empty: Whether a text that says nothing is a mapping of nothing.

    Raises:
        ConfigError: Naming the line: the text is no YAML or no mapping, names a value within itself, or is beyond a
            limit; with all that was found until then.
    """
    try:
        node = _compose(text)
    except yaml.YAMLError as cause:
        raise _syntax_error(cause, text, name) from cause
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value and not node.style):
        if may_be_empty:
            return Parsed({}, {})
        raise ConfigError("it says nothing", where=name, fix="Write `model: …` and so on.")
    if not isinstance(node, yaml.MappingNode) or node.tag != _CORE + "map":
        raise ConfigError("not a mapping of keys to values", where=name, fix="Write `model: …` and so on.")
    builder = _Builder(name)
    try:
        values = builder.mapping(node, ())
    except ConfigError as error:
        raise all_of([*builder.mistakes, error]) from error
    sound, unread = without(values, builder.unread)
    return Parsed(sound, builder.lines, tuple(builder.mistakes), unread)


def _compose(text: str) -> yaml.Node | None:
    """Return the nodes; those of aliases are the nodes that they name, so that nothing is written out yet."""
    try:
        _check_depth(text)
        loader = _Loader(text)
        try:
            node: yaml.Node | None = loader.get_single_node()
        finally:
            loader.dispose()
    except ValueError as cause:  # such as an escape that stands for no character
        raise yaml.YAMLError(str(cause)) from cause
    return node


def _check_depth(text: str) -> None:
    """Refuse what is nested so deep that composing it would use up the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MOST_DEPTH} levels", problem_mark=event.start_mark)  # type: ignore[arg-type]


def _syntax_error(cause: yaml.YAMLError, text: str, name: str) -> ConfigError:
    mark = getattr(cause, "problem_mark", None)
    line = mark.line + 1 if mark else None
    problem = getattr(cause, "problem", None) or str(cause)
    if isinstance(cause, yaml.reader.ReaderError):
        line = text.count("\n", 0, cause.position) + 1
        problem = cause.reason
    where = f"{name}:{line}" if line else name
    if mark and "".join(text.splitlines()[mark.line : mark.line + 1])[mark.column : mark.column + 1] == "\t":
        return ConfigError("not YAML (a tab)", where=where, fix="Write spaces in its place.")
    return ConfigError(f"not YAML ({one_line(problem)})", where=where, fix="Mend the syntax at that line.")


class _Builder:
    """Makes plain values of nodes, and notes where each stands."""

    def __init__(self, name: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.mistakes: list[ConfigError] = []
        self.unread: set[KeyPath] = set()
        self._told: set[int] = set()
        self._name = name
        self._open: set[int] = set()
        self._count = 0

    def mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        self._enter(node, path)
        values: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        own: dict[str, int] = {}
        pairs: list[tuple[str, yaml.Node]] = []
        for key_node, value in node.value:
            key, line = self._key(key_node, path), key_node.start_mark.line + 1
            if key is None:
                continue
            here = (*path, key)
            if key in own:
                what = f"the key is given twice, first in line {own[key]}"
                self._wrong(what, key_node, here, "Keep one of them.")
                continue
            own[key] = line
            if key_node.tag == _MERGE:
                merged = self._merged(value, path)
            else:
                self.lines[here] = line
                pairs.append((key, value))
        for key, value in pairs:
            values[key] = self._value(value, (*path, key))
        self._open.discard(id(node))
        return {**merged, **values}

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if isinstance(node, yaml.ScalarNode) and node.tag in (_CORE + "str", _MERGE):
            return str(node.value)
        given = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        self._wrong(f"the key {one_line(repr(given))} is no text", node, path, "Put it in quotes.", value=False)
        return None

    def _merged(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        """Return the values that ``<<`` names; of several mappings the first has its say."""
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and all(isinstance(item, yaml.MappingNode) for item in node.value):
            self._enter(node, path)
            merged: dict[str, Any] = {}
            for item in reversed(node.value):
                merged |= self.mapping(item, path)
            self._open.discard(id(node))
            return merged
        raise self._error("`<<` does not name a mapping", node, path, "Write `<<: *name` for a mapping `&name`.")

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            self._enter(node, path)
            values = []
            for place, item in enumerate(node.value):
                here = (*path, place)
                self.lines[here] = item.start_mark.line + 1
                values.append(self._value(item, here))
            self._open.discard(id(node))
            return values
        if isinstance(node, yaml.ScalarNode):
            self._counted(node, path)
            return self._scalar(node, path)
        return self._wrong(f"the tag {one_line(repr(node.tag))} has no meaning here", node, path, _FOREIGN)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> Any:
        kind = node.tag.removeprefix(_CORE)
        if kind in _TEXTS:
            return str(node.value)
        if kind not in _SCALARS:
            return self._wrong(f"the tag {one_line(repr(node.tag))} has no meaning here", node, path, _FOREIGN)
        try:
            value = _SCALARS[kind](_CONSTRUCTOR, node)
        except (ValueError, KeyError, IndexError, OverflowError):
            what = f"{one_line(repr(node.value))} is no {kind}"
            return self._wrong(what, node, path, "Correct it, or leave out the tag.")
        if kind in ("int", "float") and _TWO_READINGS.fullmatch(node.value):
            what = f"{one_line(node.value)} is {value} in YAML 1.1, which hardly anybody means"
            return self._wrong(what, node, path, "Write the number in plain digits, or put a text in quotes.")
        return value

    def _enter(self, node: yaml.Node, path: KeyPath) -> None:
        if id(node) in self._open:
            raise self._error("the value names itself", node, path, "Write out what is meant.")
        if len(path) > MOST_DEPTH:
            raise self._error(f"more than {MOST_DEPTH} levels", node, path, "Write less deeply nested values.")
        self._open.add(id(node))
        self._counted(node, path)

    def _counted(self, node: yaml.Node, path: KeyPath) -> None:
        self._count += 1
        if self._count > MOST_VALUES:
            raise self._error(f"more than {MOST_VALUES} values, aliases written out", node, path, "Write less.")

    def _wrong(self, what: str, node: yaml.Node, path: KeyPath, fix: str, *, value: bool = True) -> None:
        """Note what is wrong with a node, once however often it is named; none stands for its value.

        Args:
            what: It.
            node: The node.
            path: Where it stands.
            fix: What to do.
            value: Whether the value at ``path`` is what is wrong, not a key in it.

        Raises:
            ConfigError: There are too many mistakes to go on.
        """
        error = self._error(what, node, path, fix)
        if len(self.mistakes) >= MOST_MISTAKES:
            raise error
        if id(node) not in self._told:
            self._told.add(id(node))
            self.mistakes.append(error)
        if value:
            self.unread.add(path)

    def _error(self, what: str, node: yaml.Node, path: KeyPath, fix: str) -> ConfigError:
        key = dotted(path)
        where = f"{self._name}:{node.start_mark.line + 1}" + (f": {key}" if key else "")
        return ConfigError(what, where=where, fix=fix)


# A date, `=` and `<<` are special to YAML 1.1 alone.
_TEXTS = ("str", "timestamp", "value", "merge")
# Digits to the base of 8 that begin with 0, and to that of 60 with colons.
_TWO_READINGS = re.compile(r"[-+]?(0_*[0-9][0-9_]*|[0-9_]+(:[0-9_]+)+(\.[0-9_]*)?)")
_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_SCALARS = {
    "int": yaml.constructor.SafeConstructor.construct_yaml_int,
    "float": yaml.constructor.SafeConstructor.construct_yaml_float,
    "bool": yaml.constructor.SafeConstructor.construct_yaml_bool,
    "null": yaml.constructor.SafeConstructor.construct_yaml_null,
}


def without(values: dict[str, Any], paths: Collection[KeyPath]) -> tuple[dict[str, Any], frozenset[KeyPath]]:
    """Return values without what stands at some key paths, and the paths that are left out: a list goes as a whole."""
    cut = {path[: next((at for at, part in enumerate(path) if isinstance(part, int)), len(path))] for path in paths}

    def left(inner: Any, path: KeyPath) -> Any:
        if not isinstance(inner, dict):
            return inner
        return {key: left(value, (*path, key)) for key, value in inner.items() if (*path, key) not in cut}

    return (left(values, ()) if cut else values), frozenset(cut)


def dotted(path: KeyPath) -> str:
    """Return a key path as it is shown."""
    return ".".join(one_line(part, 60) for part in path)
