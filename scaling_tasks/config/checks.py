"""Rules of a configuration that concern more than one value."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator

from scaling_tasks.config.environment import parse_executor
from scaling_tasks.config.source import Source
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.config.yaml_values import KeyPath
from scaling_tasks.errors import ConfigError, one_line
from scaling_tasks.names import plain_name
from scaling_tasks.shapes.signature import name_dimensions

__all__ = ["overlap", "target_mistakes"]

_NOT_IN_NAMES = "/\\:*?[]="
_WITH_PASSWORD = re.compile(r"[^/]*://[^/]*@")
_RANGES, _FIXED = "shape_bucket_range_info", "shape_bucket_fix_var_map"


def target_mistakes(spec: TargetSpec, source: Source, unread: Collection[KeyPath] = ()) -> Iterator[ConfigError]:
    """Yield what is wrong: ranges upside down, overlapping maps, a target that says too little.

    Args:
        spec: The target.
        source: Where its values stand.
        unread: Keys whose values are wrong and so are not in ``spec``: rules that miss them say nothing.
    """
    for keys, rule in _RULES:
        if not any(overlap(tuple(key.split(".")), path) for key in keys for path in unread):
            yield from rule(spec, source)


def overlap(key: KeyPath, path: KeyPath) -> bool:
    """Return whether one key is the other, or lies in it."""
    return all(one == other for one, other in zip(key, path, strict=False))


def _check_name(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    try:
        plain_name(spec.name)
        sound = not spec.name.startswith("-") and not set(spec.name) & set(_NOT_IN_NAMES)
    except ValueError:
        sound = False
    if not sound:
        yield ConfigError(
            f"{one_line(repr(spec.name))} cannot name directories and tasks",
            where=source.where(("name",)),
            fix=f"Use at most 128 characters without {' '.join(_NOT_IN_NAMES)}, the first neither a dot nor a dash.",
        )


def _check_model(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    if spec.model is None and spec.input_shape is None:
        what = "neither model nor input_shape is given"
        yield ConfigError(what, where=source.where(()), fix="Write `model: models/….onnx`.")
    if spec.compile is not None and spec.model is None:
        yield ConfigError("there is nothing to compile", where=source.where(("compile",)), fix="Write `model: …`.")


def _check_executor(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    try:
        parse_executor(spec.executor or "", where=source.where(("executor",)))
    except ConfigError as error:
        yield error


def _check_input_shape(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    for name, dims in (spec.input_shape or {}).items():
        try:
            name_dimensions({name: dims})
        except ConfigError as cause:
            yield ConfigError(cause.what, where=source.where(("input_shape", name)), fix=cause.fix)


def _check_dataset(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    if spec.dataset is not None and _WITH_PASSWORD.match(spec.dataset.path):
        yield ConfigError(
            "a URL must not hold credentials",
            where=source.where(("dataset", "path")),
            fix="Give them in the environment or in the files that the store's own tools read.",
        )


def _check_metric(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    if (spec.verify.metric is None) != (spec.verify.dataset is None):
        given, missing = ("metric", "dataset") if spec.verify.metric else ("dataset", "metric")
        where = source.where(("verify", given))
        yield ConfigError(f"{given} is given without {missing}", where=where, fix=f"Write verify.{missing}.")


def _check_ranges(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    scaling = spec.auto_scaling
    ranges: dict[tuple[str, ...], tuple[int, int]] = {
        ("auto_scaling", "width_range"): scaling.width_range,
        ("auto_scaling", "height_range"): scaling.height_range,
    }
    if spec.shape_bucket is not None:
        named = spec.shape_bucket.shape_bucket_range_info
        ranges |= {("shape_bucket", _RANGES, variable): bounds for variable, bounds in named.items()}
    for path, (first, last) in ranges.items():
        if first > last:
            what = f"the range [{first}, {last}] begins above its end"
            yield ConfigError(what, where=source.where(path), fix="Write the smaller number first.")


def _check_auto(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    scaling, ranged = spec.auto_scaling, spec.shape_bucket is not None and spec.shape_bucket.shape_bucket_enable
    if scaling.max_scaling_num != "auto" and scaling.target_padding is not None:
        yield ConfigError(
            f"{scaling.max_scaling_num} buckets may be used, whatever padding they reach",
            where=source.where(("auto_scaling", "target_padding")),
            fix="Write `max_scaling_num: auto`, or leave it out (`null` where shared settings give it).",
        )
    priced = scaling.target_padding is not None or scaling.bucket_price
    if scaling.max_scaling_num == "auto" and not priced and spec.dataset is not None and not ranged:
        yield ConfigError(
            "'auto' needs to know what a bucket is worth",
            where=source.where(("auto_scaling", "max_scaling_num")),
            fix="Write auto_scaling.target_padding, such as 1.1, or auto_scaling.bucket_price.",
        )


def _check_batches(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    if not spec.auto_scaling.batch_choices:
        where = source.where(("auto_scaling", "batch_choices"))
        yield ConfigError("the list is empty", where=where, fix="List at least one batch size, such as [1].")


def _check_limits(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    for name, limit in spec.auto_scaling.limits.items():
        if not limit.each and not limit.per_element:
            yield ConfigError(
                "no bucket takes anything of it",
                where=source.where(("auto_scaling", "limits", name)),
                fix="Write what a bucket takes, `each` or `per_element`.",
            )


def _check_buckets(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    if spec.auto_scaling.buckets and spec.auto_scaling.strategy != "explicit":
        yield ConfigError(
            f"the strategy {spec.auto_scaling.strategy!r} takes no list of buckets",
            where=source.where(("auto_scaling", "buckets")),
            fix="Write `strategy: explicit`, or leave `buckets` out.",
        )


def _check_shape_bucket(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    if spec.shape_bucket and spec.shape_bucket.shape_bucket_enable and not spec.shape_bucket.shape_bucket_range_info:
        yield ConfigError(
            "no variable is given a range",
            where=source.where(("shape_bucket", _RANGES)),
            fix="Write one range per dynamic variable, such as {seq_len: [1, 100]}.",
        )


def _check_fixed(spec: TargetSpec, source: Source) -> Iterator[ConfigError]:
    section = spec.shape_bucket
    ranges, fixed = (section.shape_bucket_range_info, section.shape_bucket_fix_var_map) if section else ({}, {})
    for variable in sorted(ranges.keys() & fixed.keys()):
        yield ConfigError(
            f"the variable {one_line(repr(variable), 60)} is both fixed and given a range",
            where=source.where(("shape_bucket", _FIXED, variable)),
            fix="Keep it in one of the two maps.",
        )


_Rule = Callable[[TargetSpec, Source], Iterator[ConfigError]]
# Each with the keys whose absence would mislead it.
_RULES: tuple[tuple[tuple[str, ...], _Rule], ...] = (
    ((), _check_name),
    (("model", "input_shape", "compile"), _check_model),
    ((), _check_executor),
    (("input_shape",), _check_input_shape),
    ((), _check_dataset),
    (("verify.metric", "verify.dataset"), _check_metric),
    ((), _check_ranges),
    (tuple(f"auto_scaling.{key}" for key in ("max_scaling_num", "target_padding", "bucket_price")), _check_auto),
    (("auto_scaling.batch_choices",), _check_batches),
    (("auto_scaling.limits",), _check_limits),
    (("auto_scaling.strategy",), _check_buckets),
    (("shape_bucket",), _check_shape_bucket),
    ((), _check_fixed),
)
