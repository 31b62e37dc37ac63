"""Rules of a configuration that concern more than one value."""

from __future__ import annotations

import re

from scaling_tasks.config.source import Source
from scaling_tasks.config.specs import ShapeBucketSpec, TargetSpec
from scaling_tasks.errors import ConfigError
from scaling_tasks.files import is_plain_name
from scaling_tasks.shapes.signature import name_dimensions

__all__ = ["check_target"]

_NOT_IN_NAMES = "/\\:*?[]="
_WITH_PASSWORD = re.compile(r"[^/]*://[^/]*@")


def check_target(spec: TargetSpec, source: Source) -> None:
    """Refuse ranges upside down, overlapping maps, and targets that say too little.

    Raises:
        ConfigError: Naming file, line and key.
    """
    if not is_plain_name(spec.name) or spec.name.startswith("-") or set(spec.name) & set(_NOT_IN_NAMES):
        raise ConfigError(
            f"{spec.name!r} cannot name directories and tasks",
            where=source.where(("name",)),
            fix=f"Use at most 128 characters without {' '.join(_NOT_IN_NAMES)}, the first neither a dot nor a dash.",
        )
    if spec.model is None and spec.input_shape is None:
        raise ConfigError(
            "neither model nor input_shape is given", where=source.where(()), fix="Write `model: models/….onnx`."
        )
    if spec.compile is not None and spec.model is None:
        raise ConfigError("there is nothing to compile", where=source.where(("compile",)), fix="Write `model: …`.")
    if spec.input_shape is not None:
        _check_input_shape(spec, source)
    if spec.dataset is not None and _WITH_PASSWORD.match(spec.dataset.path):
        raise ConfigError(
            "a URL must not hold credentials",
            where=source.where(("dataset", "path")),
            fix="Give them in the environment or in the files that the store's own tools read.",
        )
    if (spec.verify.metric is None) != (spec.verify.dataset is None):
        given, missing = ("metric", "dataset") if spec.verify.metric else ("dataset", "metric")
        raise ConfigError(
            f"{given} is given without {missing}", where=source.where(("verify", given)), fix=f"Write verify.{missing}."
        )
    scaling = spec.auto_scaling
    for key, bounds in (("width_range", scaling.width_range), ("height_range", scaling.height_range)):
        _check_range(bounds, source, ("auto_scaling", key))
    if not scaling.batch_choices:
        where = source.where(("auto_scaling", "batch_choices"))
        raise ConfigError("the list is empty", where=where, fix="List at least one batch size, such as [1].")
    for name, limit in scaling.limits.items():
        if not limit.each and not limit.per_element:
            raise ConfigError(
                "no bucket takes anything of it",
                where=source.where(("auto_scaling", "limits", name)),
                fix="Write what a bucket takes, `each` or `per_element`.",
            )
    if spec.shape_bucket is not None:
        _check_shape_bucket(spec.shape_bucket, source)


def _check_input_shape(spec: TargetSpec, source: Source) -> None:
    try:
        name_dimensions(spec.input_shape or {})
    except ConfigError as cause:
        name = cause.where.partition(".")[2]
        raise ConfigError(cause.what, where=source.where(("input_shape", name)), fix=cause.fix) from cause


def _check_shape_bucket(spec: ShapeBucketSpec, source: Source) -> None:
    ranges, fixed = spec.shape_bucket_range_info, spec.shape_bucket_fix_var_map
    for variable, bounds in ranges.items():
        _check_range(bounds, source, ("shape_bucket", "shape_bucket_range_info", variable))
    for variable in sorted(ranges.keys() & fixed.keys()):
        raise ConfigError(
            f"the variable {variable!r} is both fixed and given a range",
            where=source.where(("shape_bucket", "shape_bucket_fix_var_map", variable)),
            fix="Keep it in one of the two maps.",
        )
    if spec.shape_bucket_enable and not ranges:
        raise ConfigError(
            "no variable is given a range",
            where=source.where(("shape_bucket", "shape_bucket_range_info")),
            fix="Write one range per dynamic variable, such as {seq_len: [1, 100]}.",
        )


def _check_range(bounds: tuple[int, int], source: Source, path: tuple[str, ...]) -> None:
    if bounds[0] > bounds[1]:
        raise ConfigError(
            f"the range [{bounds[0]}, {bounds[1]}] begins above its end",
            where=source.where(path),
            fix="Write the smaller number first.",
        )
