"""Configuration files and mappings to validated target specs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.config.checks import target_mistakes
from scaling_tasks.config.matrix import MATRIX, cells
from scaling_tasks.config.source import Source, read_yaml
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.config.validation import read_spec
from scaling_tasks.config.yaml_values import KeyPath
from scaling_tasks.errors import ConfigError, ScalingTasksError, all_of

__all__ = [
    "DEFAULTS",
    "Reading",
    "load_target",
    "parse_target",
    "read_targets",
    "section",
    "source_of",
    "sources_of",
]

DEFAULTS = "_defaults.yaml"
"""The file beside the targets' own that holds what they have in common."""

# Data sets of sizes alone, and shards.
_NO_IMAGES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq", ".arrow", ".feather", ".tar")


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
    return _sound(_read(source))


class Reading(msgspec.Struct, frozen=True):
    """What a configuration says of a target.

    Attributes:
        spec: It, without what is wrong; None where too much is.
        mistakes: What is wrong.
        unread: The keys that the spec is without because of that.
    """

    spec: TargetSpec | None
    mistakes: tuple[ScalingTasksError, ...] = ()
    unread: frozenset[KeyPath] = frozenset()


def read_targets(path: Path) -> list[Reading]:
    """Read a YAML file as `load_target` does: one target, or each that its matrix gives; with what is wrong.

    Raises:
        ConfigError: What targets there are cannot be told.
    """
    return [_read(source) for source in sources_of(path)]


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
    own = msgspec.structs.replace(source, values={"name": path.stem, **_accept_both_spellings(source)})
    defaults = path.with_name(DEFAULTS)
    if not os.path.lexists(defaults):
        return _cells(own)
    common = read_yaml(defaults, may_be_empty=True)
    if "name" in common.values:
        where = common.where(("name",))
        raise ConfigError("every target would have this name", where=where, fix="Name targets in their own files.")
    return _cells(own.over(msgspec.structs.replace(common, values=_accept_both_spellings(common))))


def _cells(source: Source) -> list[Source]:
    """Return the sources of a file's targets; what targets a matrix gives cannot be told where values are wrong."""
    if source.mistakes and (MATRIX in source.values or (MATRIX,) in {path[:1] for path in source.unread}):
        raise all_of(source.mistakes)
    return cells(source)


def parse_target(values: Mapping[str, Any], *, where: str = "target") -> TargetSpec:
    """Validate a target given as a mapping.

    Raises:
        ConfigError: Naming the key.
    """
    if MATRIX in values:
        what = "a matrix is several targets, and this is one"
        raise ConfigError(what, where=f"{where}: {MATRIX}", fix="Write it in a file of configs/.")
    return _sound(_read(Source(where, dict(values))))


def section(spec: msgspec.Struct | None) -> Any:
    """Return a spec as plain JSON values, for cache keys and documents."""
    return msgspec.to_builtins(spec)


def _read(source: Source) -> Reading:
    try:
        source = source.sound()
        values = _accept_padding_of_shape_bucket(_accept_both_spellings(source))
    except ConfigError as error:
        return Reading(None, (*source.mistakes, *error.errors))
    spec, wrong, unread = read_spec(values, source)
    found = (*source.mistakes, *wrong)
    if spec is None:
        return Reading(None, found)
    return Reading(_with_real_inputs(spec), (*found, *target_mistakes(spec, source, unread)), frozenset(unread))


def _sound(found: Reading) -> TargetSpec:
    """Return the target, where nothing is wrong with it.

    Raises:
        ConfigError: Something is.
    """
    if found.spec is None or found.mistakes:
        raise all_of(found.mistakes)
    return found.spec


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
