"""The options of nncase under their own names, checked before its compiler can abort on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from scaling_tasks.compilers.base import backend_options, check_choice
from scaling_tasks.compilers.fixed_lengths import LONGEST
from scaling_tasks.compilers.options import UNSET, Annotated, Options, UnsetType, option
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature

__all__ = [
    "COMPILE_OPTIONS",
    "PTQ_OPTIONS",
    "NncaseOptions",
    "check_buckets",
    "check_options",
    "is_native",
    "quantizes",
    "target_of",
]

_CHOICES: dict[str, tuple[str, ...]] = {
    "target": ("cpu", "k230"),
    "input_type": ("", "float32", "uint8", "int8"),
    "input_layout": ("", "NCHW", "NHWC"),
    "output_layout": ("", "NCHW", "NHWC"),
    "calibrate_method": ("NoClip", "Kld"),
    "finetune_weights_method": ("NoFineTuneWeights", "UseSquant", "UseAdaRound"),
    "quant_type": ("uint8", "int8", "int16"),
    "w_quant_type": ("uint8", "int8", "int16"),
}
# Attributes of nncase.CompileOptions and nncase.PTQTensorOptions that are passed on as they are.
COMPILE_OPTIONS = (
    "preprocess",
    "swapRB",
    "input_type",
    "input_range",
    "input_shape",
    "mean",
    "std",
    "input_layout",
    "output_layout",
    "letterbox_value",
)
PTQ_OPTIONS = (
    "calibrate_method",
    "finetune_weights_method",
    "quant_type",
    "w_quant_type",
    "use_mix_quant",
    "use_mse_quant_w",
    "quant_scheme",
    "quant_scheme_strict_mode",
    "input_mean",
    "input_std",
)
_SHAPE_BUCKET = (
    "shape_bucket_enable",
    "shape_bucket_range_info",
    "shape_bucket_segments_count",
    "shape_bucket_fix_var_map",
)


_REAL = "where real inputs are to calibrate on and be judged by; by default verify.samples, or the data set's images"


class _OwnOptions(Options, frozen=True):
    """What nncase compiles for, and on which inputs it calibrates."""

    target: Annotated[str, option("what it compiles for", *_CHOICES["target"])] = "k230"
    quantize: Annotated[bool, option("after training; by default for the k230")] | UnsetType = UNSET
    real_inputs: Annotated[str, option(_REAL)] | None = None
    samples_count: Annotated[int, option("of how many samples it is calibrated")] = 4
    calibration: Annotated[str, option("where other samples are to calibrate on, or `random`")] | None = None
    calibration_range: Annotated[tuple[float, float], option("of random samples")] = (-1.0, 1.0)
    calibration_mean: Annotated[float | list[float], option("of pixels, which lie between 0 and 1")] = 0.5
    calibration_std: Annotated[float | list[float], option("by which pixels are divided")] = 0.5
    calibration_bgr: Annotated[bool, option("blue first")] = False
    simplify: Annotated[bool, option("fold constants first")] = True
    longest: LONGEST | UnsetType = UNSET
    shape_bucket_enable: Annotated[bool, option("leave the buckets to nncase")] = False
    shape_bucket_range_info: Annotated[dict[str, tuple[int, int]], option("sizes per variable")] | UnsetType = UNSET
    shape_bucket_segments_count: Annotated[int, option("how many sizes per variable")] = 2
    shape_bucket_fix_var_map: Annotated[dict[str, int], option("variables that are fixed")] | UnsetType = UNSET


def _own_by_name(name: str) -> tuple[str, Any, Any]:
    """Return a field for an option of nncase's own."""
    said = option("of nncase, passed on as it is", *_CHOICES.get(name, ()))
    return name, Annotated[Any, said] | UnsetType, UNSET


_FIELDS = [_own_by_name(name) for name in (*COMPILE_OPTIONS, *PTQ_OPTIONS)]
_WHOLE = msgspec.defstruct("NncaseOptions", _FIELDS, bases=(_OwnOptions,), frozen=True, kw_only=True)
NncaseOptions = cast("type[Options]", _WHOLE)
"""Options of this backend, and those of nncase under their own names."""


def target_of(options: Mapping[str, Any]) -> str:
    """Return what is compiled for: ``k230`` unless the options say ``cpu``."""
    return str(backend_options(options).get("target", "k230"))


def quantizes(options: Mapping[str, Any]) -> bool:
    """Return whether the model is quantised after training; the k230 runs quantised models unless told otherwise."""
    return bool(backend_options(options).get("quantize", target_of(options) == "k230"))


def is_native(options: Mapping[str, Any]) -> bool:
    """Return whether nncase's own ShapeBucket puts all sizes into one kmodel."""
    return bool(backend_options(options).get("shape_bucket_enable", False))


def check_options(signature: Signature, options: Mapping[str, Any]) -> None:
    """Refuse what nncase answers with an abort, a silent nonsense or nothing at all.

    Raises:
        CompileError: Naming the option.
    """
    own = backend_options(options)
    for key, known in _CHOICES.items():
        if key in own:
            check_choice(own[key], known, where=f"compile.options.{key}", kind=f"value of {key}")
    count = own.get("samples_count", 1)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise CompileError(f"is {count!r}", where="compile.options.samples_count", fix="Write a positive number.")
    if is_native(options):
        _check_native(signature, own, quantizes(options))
    elif given := [key for key in _SHAPE_BUCKET[1:] if key in own]:
        raise CompileError("has no effect without `shape_bucket_enable: true`", where=f"compile.options.{given[0]}")


def _check_native(signature: Signature, own: Mapping[str, Any], quantized: bool) -> None:
    ranges = own.get("shape_bucket_range_info", {})
    fixed = own.get("shape_bucket_fix_var_map", {})
    where = "compile.options.shape_bucket_range_info"
    for key, names in (("range_info", ranges), ("fix_var_map", fixed)):
        for name in names:
            place = f"compile.options.shape_bucket_{key}"
            check_choice(name, signature.variables, where=place, kind="variable of the model")
    if both := sorted(set(ranges) & set(fixed)):
        raise CompileError(f"{both[0]!r} is in `shape_bucket_fix_var_map` too", where=where)
    if ranges and (missing := sorted(set(signature.variables) - set(ranges) - set(fixed))):
        raise CompileError(f"leaves out the variable {missing[0]!r}", where=where, fix="Give its range, or fix it.")
    _check_ranges(ranges, where)
    count = own.get("shape_bucket_segments_count", 2)
    if not isinstance(count, int) or count < 2:
        raise CompileError(f"is {count!r}", where="compile.options.shape_bucket_segments_count", fix="At least 2.")
    if len(set(signature.variables) - set(fixed)) > 1 and not quantized:
        raise CompileError(
            "nncase makes no buckets for several variables without quantisation",
            where="compile.options.quantize",
            fix="Set it to true, or leave `shape_bucket_enable` out.",
        )


def _check_ranges(ranges: Mapping[str, Sequence[int]], where: str) -> None:
    for name, bounds in ranges.items():
        low, high = bounds
        if not 1 <= low <= high:
            raise CompileError(f"{list(bounds)} is no range", where=f"{where}.{name}", fix="1 <= minimum <= maximum.")
        if len(ranges) == 1 and low != 1:
            raise CompileError(
                f"begins at {low}, and nncase's tables for a single variable begin at 1",
                where=f"{where}.{name}",
                fix=f"Write [1, {high}], or leave `shape_bucket_enable` out.",
            )
    if len({tuple(bounds) for bounds in ranges.values()}) > 1:
        raise CompileError(
            "the ranges differ, and nncase selects by the largest of all variables in the first one's range",
            where=where,
            fix="Leave `shape_bucket_enable` out: one kmodel per bucket has no such limit.",
        )


def check_buckets(signature: Signature, buckets: Sequence[Sequence[int]], options: Mapping[str, Any]) -> None:
    """Refuse buckets that the native kmodel would not take.

    Raises:
        CompileError: Naming the variable.
    """
    own = backend_options(options)
    for variable, column in zip(signature.variables, zip(*buckets, strict=True), strict=True):
        fixed = own.get("shape_bucket_fix_var_map", {}).get(variable)
        low, high = own.get("shape_bucket_range_info", {}).get(variable, (1, max(column)))
        if any((value != fixed) if fixed is not None else not low <= value <= high for value in column):
            raise CompileError(
                f"buckets with {variable} = {sorted(set(column))} are outside what the kmodel takes",
                where="compile.options",
                fix="Widen `shape_bucket_range_info`, or correct `shape_bucket_fix_var_map`.",
            )
