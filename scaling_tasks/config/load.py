"""Configuration files and mappings to validated target specs."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.config.checks import check_target
from scaling_tasks.config.matrix import MATRIX, cells
from scaling_tasks.config.source import Source, read_yaml
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.config.yaml_values import KeyPath
from scaling_tasks.errors import ConfigError, Mistakes, ScalingTasksError, one_line

__all__ = ["DEFAULTS", "load_target", "load_targets", "parse_target", "section", "source_of", "sources_of"]

DEFAULTS = "_defaults.yaml"
"""The file beside the targets' own that holds what they have in common."""

_MOST_MISTAKES = 50

# Data sets of sizes alone, and shards.
_NO_IMAGES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".feather", ".tar")

_ERROR = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")
_MISSING = re.compile(r"missing required field `(?P<field>.*)`")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def load_target(path: Path) -> TargetSpec:
    """Read the YAML file of a single target; its stem is the target's name unless the file names it.

    A file ``_defaults.yaml`` beside it says what holds where the target says nothing.

    Raises:
        ConfigError: Naming file, line and key; all of them where there are several. Or it is several targets.
    """
    source, *others = sources_of(path)
    if others:
        names = ", ".join(each.values["name"] for each in (source, *others[:2]))
        what = f"it is {len(others) + 1} targets ({names}, …)"
        raise ConfigError(what, where=f"{path.as_posix()}: {MATRIX}", fix="Give one of them as a mapping.")
    return _convert(source)


def load_targets(path: Path) -> list[TargetSpec]:
    """Read a YAML file as `load_target` does: one target, or each that its matrix gives.

    Raises:
        ConfigError: As of `load_target`.
    """
    found: list[TargetSpec] = []
    wrong: dict[str, ScalingTasksError] = {}
    for source in sources_of(path):
        try:
            found.append(_convert(source))
        except ConfigError as error:
            # What is said once for all of them is told once.
            wrong |= {str(each): each for each in (error.errors if isinstance(error, Mistakes) else [error])}
    if wrong:
        errors = list(wrong.values())
        raise errors[0] if len(errors) == 1 else Mistakes(errors)
    return found


def source_of(path: Path, name: str) -> Source:
    """Return what a YAML file says of the target of a name, the first where it has none of that name.

    Raises:
        ConfigError: Naming file, line and key.
    """
    sources = sources_of(path)
    return next((each for each in sources if each.values["name"] == name), sources[0])


def sources_of(path: Path) -> list[Source]:
    """Return what a YAML file says of each of its targets, over what ``_defaults.yaml`` beside it says.

    Raises:
        ConfigError: Naming file, line and key.
    """
    source = read_yaml(path)
    own = Source(source.name, {"name": path.stem, **_accept_both_spellings(source)}, source.lines)
    defaults = path.with_name(DEFAULTS)
    if not os.path.lexists(defaults):
        return cells(own)
    common = read_yaml(defaults)
    if "name" in common.values:
        where = common.where(("name",))
        raise ConfigError("every target would have this name", where=where, fix="Name targets in their own files.")
    return cells(own.over(Source(common.name, _accept_both_spellings(common), common.lines)))


def parse_target(values: Mapping[str, Any], *, where: str = "target") -> TargetSpec:
    """Validate a target given as a mapping.

    Raises:
        ConfigError: Naming the key.
    """
    if MATRIX in values:
        what = "a matrix is several targets, and this is one"
        raise ConfigError(what, where=f"{where}: {MATRIX}", fix="Write it in a file of configs/.")
    return _convert(Source(where, dict(values)))


def section(spec: msgspec.Struct | None) -> Any:
    """Return a spec as plain JSON values, for cache keys and documents."""
    return msgspec.to_builtins(spec)


def _convert(source: Source) -> TargetSpec:
    source.check()
    values = _accept_padding_of_shape_bucket(_accept_both_spellings(source))
    found: list[ConfigError] = []
    taken: set[KeyPath] = set()
    while len(found) < _MOST_MISTAKES:
        try:
            spec = msgspec.convert(values, TargetSpec, strict=True)
        except msgspec.ValidationError as cause:
            blamed, follows = _blamed(str(cause), values, taken)
            if not follows:
                found.append(_explain(str(cause), values, source))
            # What is told is taken away, so that the next mistake is found.
            taken.add(blamed)
            rest = _without(values, blamed)
            if rest is None:
                break
            values = rest
        else:
            try:
                check_target(spec, source)
            except ConfigError as error:
                found.append(error)
            if not found:
                return _with_real_inputs(spec)
            break
    raise found[0] if len(found) == 1 else Mistakes(found)


def _blamed(message: str, values: Any, taken: set[KeyPath]) -> tuple[KeyPath, bool]:
    """Return the path of the key that a validation error is about, and whether that is missing only as it was taken."""
    match = _ERROR.match(message)
    path = _found_keys(_path(match["path"] or "" if match else ""), message, values)
    what = match["what"] if match else message
    unknown, missing = _UNKNOWN.match(what), _MISSING.search(what)
    return (*path, unknown["field"]) if unknown else path, bool(missing and (*path, missing["field"]) in taken)


def _without(values: Any, path: KeyPath) -> Any:
    """Return a copy of the values without what lies at a path; None where nothing does."""
    if not path:
        return None
    key, rest = path[0], path[1:]
    if not isinstance(values, dict) or key not in values:
        return None
    inner = _without(values[key], rest) if rest else None
    kept = {name: value for name, value in values.items() if name != key}
    return kept if inner is None else {**kept, key: inner}


def _with_real_inputs(spec: TargetSpec) -> TargetSpec:
    """Name the target's real inputs for nncase's quantisation: its samples, or the images of its data set."""
    section = spec.compile
    if section is None or section.backend != "nncase" or "real_inputs" in section.options:
        return spec
    if not section.options.get("quantize", section.options.get("target") != "cpu"):
        return spec
    path = spec.verify.samples
    if path is None and spec.dataset is not None and _may_be_images(spec.dataset.path):
        path = spec.dataset.path
    if path is None:
        return spec
    options = {**section.options, "real_inputs": path}
    return msgspec.structs.replace(spec, compile=msgspec.structs.replace(section, options=options))


def _may_be_images(path: str) -> bool:
    return "://" not in path and Path(path).suffix.lower() not in _NO_IMAGES


def _accept_padding_of_shape_bucket(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with padding accepted where they are nncase's ShapeBucket and do not say otherwise.

    That is what its users come from: the model as it is, with its own inputs.
    """
    runtime, section, compiling = (values.get(key) or {} for key in ("runtime", "shape_bucket", "compile"))
    if not all(isinstance(each, dict) for each in (runtime, section, compiling)) or "padding" in runtime:
        return values
    own = compiling.get("options")
    native = isinstance(own, dict) and own.get("shape_bucket_enable") is True
    if native or (section and section.get("shape_bucket_enable", True)):
        return {**values, "runtime": {**runtime, "padding": "accept"}}
    return values


def _accept_both_spellings(source: Source) -> dict[str, Any]:
    """Return the values with MindOCR's nested parameters flat and a bare data set path as a mapping."""
    values = dict(source.values)
    if isinstance(values.get("dataset"), str):
        values["dataset"] = {"path": values["dataset"]}
    scaling = values.get("auto_scaling")
    if isinstance(scaling, dict):
        flat = dict(scaling)
        for nested in ("mean_std", "max_min"):
            inner = flat.pop(nested, None) if isinstance(flat.get(nested), dict) else None
            for key, value in (inner or {}).items():
                if key in flat:
                    raise ConfigError(
                        f"{key} is given both here and beside it",
                        where=source.where(("auto_scaling", nested, key)),
                        fix="Keep one of them.",
                    )
                flat[key] = value
        values["auto_scaling"] = flat
    return values


def _explain(message: str, values: Any, source: Source) -> ConfigError:
    match = _ERROR.match(message)
    what = one_line(match["what"] if match else message)
    path = _found_keys(_path(match["path"] or "" if match else ""), message, values)
    unknown = _UNKNOWN.match(what)
    if unknown:
        field = unknown["field"]
        known = sorted(part.encode_name for part in _fields_at(path, values))
        return ConfigError(
            f"unknown key {one_line(repr(field), 60)}",
            where=source.where((*path, field)),
            fix=_suggest(field, known, "keys"),
        )
    missing = _MISSING.search(what)
    choices = _choices(_kind_at(path, values)[0]) if not missing or missing["field"] == "kind" else []
    fix = _suggest(what.rpartition(" ")[2].strip("'"), choices, "values") if choices else "See the configuration table."
    if missing and not choices:
        fix = f"Write `{missing['field']}: …`."
    return ConfigError(_plain(what, path, values), where=source.where(path), fix=fix)


def _suggest(given: str, known: list[str], noun: str) -> str:
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known {noun}: {', '.join(known)}."


def _path(text: str) -> KeyPath:
    steps = ((name, index) for name, index in _STEP.findall(text))
    return tuple(name or (int(index) if index.isdigit() else index) for name, index in steps)


def _found_keys(path: KeyPath, message: str, values: Any) -> KeyPath:
    """Return the path with the keys of mappings, for which the library writes dots."""
    found: list[str | int] = []
    for part in path:
        key = _failing_key(tuple(found), message, values) if part == "..." else part
        if key is None:
            break
        found.append(key)
    return tuple(found)


def _failing_key(path: KeyPath, message: str, values: Any) -> str | None:
    """Return the first key of the mapping at ``path`` that alone gives the same message."""
    mapping = _value_at(path, values)
    for key in mapping if isinstance(mapping, dict) else ():
        try:
            msgspec.convert(_with_value(path, values, {key: mapping[key]}), TargetSpec, strict=True)
        except msgspec.ValidationError as cause:
            if str(cause) == message:
                return str(key)
    return None


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


def _plain(what: str, path: KeyPath, values: Any) -> str:
    value = _value_at(path, values)
    if value is None or isinstance(value, dict):
        return what[:1].lower() + what[1:]
    return f"{one_line(repr(value), 60)} is not valid: {what[:1].lower() + what[1:]}"


def _fields_at(path: KeyPath, values: Any) -> tuple[msgspec.inspect.Field, ...]:
    kind = _member(*_kind_at(path, values))
    return kind.fields if isinstance(kind, msgspec.inspect.StructType) else ()


def _kind_at(path: KeyPath, values: Any) -> tuple[Any, Any]:
    """Return the type that the specs declare at ``path``, as far down as they declare one, and what is given there."""
    kind: Any = msgspec.inspect.type_info(TargetSpec)
    for part in path:
        inner = _inner(_member(kind, values), part)
        if inner is None:
            break
        kind, values = inner, _value_at((part,), values)
    return kind, values


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
    if not isinstance(kind, msgspec.inspect.UnionType):
        return kind
    inspect = msgspec.inspect
    given = values if isinstance(values, Mapping) else {}
    structs = [member for member in kind.types if isinstance(member, inspect.StructType)]
    tagged = [member for member in structs if member.tag_field and given.get(member.tag_field) == member.tag]
    mappings = [member for member in kind.types if isinstance(member, inspect.DictType)]
    lists = [member for member in kind.types if hasattr(member, "item_type") or isinstance(member, inspect.TupleType)]
    fitting = lists if isinstance(values, (list, tuple)) else [*tagged, *structs, *mappings]
    return (fitting or kind.types)[0]


def _choices(kind: Any) -> list[str]:
    """Return the words that a type allows; empty where it allows anything else."""
    if isinstance(kind, msgspec.inspect.LiteralType):
        return [str(value) for value in kind.values]
    if isinstance(kind, msgspec.inspect.UnionType):
        tags = [
            str(member.tag) for member in kind.types if isinstance(member, msgspec.inspect.StructType) and member.tag
        ]
        literals = [
            value for member in kind.types if isinstance(member, msgspec.inspect.LiteralType) for value in member.values
        ]
        return list(dict.fromkeys([*map(str, literals), *tags]))
    return []
