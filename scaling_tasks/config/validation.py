"""Plain values to validated ones, with every value that is wrong told in words, where it stands."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import msgspec

from scaling_tasks.config.source import Source
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.config.value_mistakes import choices, described, in_words, nearest
from scaling_tasks.config.yaml_values import MOST_MISTAKES, KeyPath
from scaling_tasks.errors import ConfigError, one_line

__all__ = ["Mistake", "read_spec", "read_values"]

_ERROR = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_MISSING = re.compile(r"missing required field `(?P<field>.*)`")
_Wanted = TypeVar("_Wanted")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class Mistake(msgspec.Struct, frozen=True):
    """A value that is wrong: the path of its key, what is wrong, and what to write; and a key that is not known."""

    path: KeyPath
    what: str
    fix: str
    unknown: str = ""


def read_spec(values: Any, source: Source) -> tuple[TargetSpec | None, list[ConfigError], set[KeyPath]]:
    """Return the target without what is wrong, None where too much is, what is wrong, and the keys that it is without.

    Args:
        values: What is given, in the spelling of the specs.
        source: Where it stands.
    """
    spec, found, taken = read_values(values, TargetSpec, source.unread)
    return spec, [ConfigError(each.what, where=source.where(each.path), fix=each.fix) for each in found], taken


def read_values(
    values: Any, wanted: type[_Wanted], unread: Collection[KeyPath] = ()
) -> tuple[_Wanted | None, list[Mistake], set[KeyPath]]:
    """Return values of a type without what is wrong, None where too much is, and else what `read_spec` does.

    Args:
        values: What is given.
        wanted: The type.
        unread: Keys that are given too, with values that are told to be wrong: nothing is told of their absence.
    """
    found: list[Mistake] = []
    rest = _Remains(values, unread)
    while len(found) < MOST_MISTAKES:
        try:
            return msgspec.convert(rest.values, wanted, strict=True), found, rest.taken
        except msgspec.ValidationError as cause:
            blamed = _Blamed(str(cause), rest.values, wanted)
            place = rest.place(blamed.path)
            # What is missing only as it was wrong is told already.
            if not blamed.missing or (*place, blamed.missing) not in rest.taken:
                found.append(_explain(blamed, rest.values, place))
            # What is told is taken away, so that the next mistake is found.
            if not rest.take(blamed.to_leave_out(rest.values)):
                break
            if blamed.unknown and (meant := nearest(blamed.unknown, blamed.known_keys(values))):
                rest.taken.add((*place, meant))
    return None, found, rest.taken


class _Remains:
    """What is left of the values while some are taken away.

    Attributes:
        values: What is left.
        taken: The key paths of what is not, as they were at first.
    """

    def __init__(self, values: Any, taken: Collection[KeyPath] = ()) -> None:
        self.values = values
        self.taken: set[KeyPath] = set(taken)
        self._places: dict[KeyPath, list[int]] = {}  # Of the elements left of a list.

    def place(self, path: KeyPath) -> KeyPath:
        """Return where that which is now at ``path`` was at first."""
        found: KeyPath = ()
        for part in path:
            left = self._places.get(found)
            found = (*found, left[part] if left is not None and isinstance(part, int) else part)
        return found

    def take(self, path: KeyPath) -> bool:
        """Take away what is at a path; return whether something was there."""
        *above, last = path or ("",)
        inside = _value_at(tuple(above), self.values)
        if isinstance(inside, dict) and last in inside:
            inner: Any = {key: value for key, value in inside.items() if key != last}
        elif isinstance(inside, (list, tuple)) and isinstance(last, int) and last < len(inside):
            inner = [value for place, value in enumerate(inside) if place != last]
        else:
            return False
        self.taken.add(self.place(path))
        if isinstance(last, int):
            self._places.setdefault(self.place(tuple(above)), list(range(len(inside)))).pop(last)
        self.values = _with_value(tuple(above), self.values, inner)
        return True


class _Blamed:
    """What a validation error is about.

    Attributes:
        what: Its message, without the path.
        path: The key path that it names.
        unknown: The key below that is not known, empty where it is about something else.
        missing: The key below that is missing, empty where none is.
    """

    def __init__(self, message: str, values: Any, wanted: type[Any]) -> None:
        match = _ERROR.match(message)
        self._wanted = wanted
        self.what = one_line(match["what"] if match else message)
        self.path = self._found_keys(_path(match["path"] or "" if match else ""), message, values)
        unknown, missing = _UNKNOWN.match(self.what), _MISSING.search(self.what)
        self.unknown = unknown["field"] if unknown else ""
        self.missing = missing["field"] if missing else ""

    def to_leave_out(self, values: Any) -> KeyPath:
        """Return the path of what is wrong; of a list that has a fixed length, that is the list."""
        path = (*self.path, self.unknown) if self.unknown else self.path
        while (
            path and isinstance(path[-1], int) and not hasattr(_member(*self.kind_at(path[:-1], values)), "item_type")
        ):
            path = path[:-1]
        return path

    def known_keys(self, values: Any) -> list[str]:
        """Return the keys that there may be at the path."""
        kind = _member(*self.kind_at(self.path, values))
        fields = kind.fields if isinstance(kind, msgspec.inspect.StructType) else ()
        return sorted(field.encode_name for field in fields)

    def kind_at(self, path: KeyPath, values: Any) -> tuple[Any, Any]:
        """Return the type that is declared at a path, as far down as one is, and what is given there."""
        kind: Any = msgspec.inspect.type_info(self._wanted)
        for part in path:
            inner = _inner(_member(kind, values), part)
            if inner is None:
                break
            kind, values = inner, _value_at((part,), values)
        return kind, values

    def _found_keys(self, path: KeyPath, message: str, values: Any) -> KeyPath:
        """Return the path with the keys of mappings, for which the library writes dots."""
        found: list[str | int] = []
        for part in path:
            key = self._failing_key(tuple(found), message, values) if part == "..." else part
            if key is None:
                break
            found.append(key)
        return tuple(found)

    def _failing_key(self, path: KeyPath, message: str, values: Any) -> str | None:
        """Return the first key of the mapping at ``path`` that alone gives the same message."""
        mapping = _value_at(path, values)
        for key in mapping if isinstance(mapping, dict) else ():
            try:
                msgspec.convert(_with_value(path, values, {key: mapping[key]}), self._wanted, strict=True)
            except msgspec.ValidationError as cause:
                if str(cause) == message:
                    return str(key)
        return None


def _explain(blamed: _Blamed, values: Any, place: KeyPath) -> Mistake:
    path = blamed.path
    if blamed.unknown:
        fix = _suggest(blamed.unknown, blamed.known_keys(values), "keys")
        what = f"unknown key {one_line(repr(blamed.unknown), 60)}"
        return Mistake((*place, blamed.unknown), what, fix, blamed.unknown)
    kind, value = blamed.kind_at(path, values)[0], _value_at(path, values)
    words = choices(kind)
    if blamed.missing and (blamed.missing != "kind" or not words):
        what, fix = f"{blamed.missing!r} is missing", f"Write `{blamed.missing}: …`."
    elif blamed.missing:
        what, fix = "'kind' is missing", _suggest("", words, "kinds")
    else:
        what, fix = in_words(blamed.what, value, kind, next((part for part in path[::-1] if isinstance(part, str)), ""))
    return Mistake(place, what, fix)


def _suggest(given: str, known: list[str], noun: str) -> str:
    near = nearest(given, known)
    return f"Did you mean {near!r}?" if near else f"Known {noun}: {', '.join(known)}."


def _path(text: str) -> KeyPath:
    steps = ((name, index) for name, index in _STEP.findall(text))
    return tuple(name or (int(index) if index.isdigit() else index) for name, index in steps)


def _value_at(path: KeyPath, values: Any) -> Any:
    for part in path:
        try:
            values = values[part]
        except (KeyError, IndexError, TypeError):
            return None
    return values


def _with_value(path: KeyPath, values: Any, value: Any) -> Any:
    if not path:
        return value
    copy: Any = dict(values) if isinstance(values, dict) else list(values)
    copy[path[0]] = _with_value(path[1:], values[path[0]], value)
    return copy


def _inner(kind: Any, part: str | int) -> Any:
    """Return the type of what lies under a key or place, None where nothing is declared."""
    if isinstance(kind, msgspec.inspect.StructType):
        return next((field.type for field in kind.fields if field.encode_name == part), None)
    if isinstance(kind, msgspec.inspect.DictType):
        return kind.value_type
    if isinstance(kind, msgspec.inspect.TupleType) and isinstance(part, int):
        return kind.item_types[part] if part < len(kind.item_types) else None
    return getattr(kind, "item_type", None)


def _member(kind: Any, values: Any) -> Any:
    """Return the member of a type such as ``Spec | None`` that is meant: by its tag, or by what is given."""
    kind = described(kind)
    if not isinstance(kind, msgspec.inspect.UnionType):
        return kind
    inspect = msgspec.inspect
    given = values if isinstance(values, Mapping) else {}
    members = [described(member) for member in kind.types]
    structs = [member for member in members if isinstance(member, inspect.StructType)]
    tagged = [member for member in structs if member.tag_field and given.get(member.tag_field) == member.tag]
    mappings = [member for member in members if isinstance(member, inspect.DictType)]
    lists = [member for member in members if hasattr(member, "item_type") or isinstance(member, inspect.TupleType)]
    fitting = lists if isinstance(values, (list, tuple)) else [*tagged, *structs, *mappings]
    return (fitting or members)[0]
