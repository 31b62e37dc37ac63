"""The exact ATC call for a unit, within the rules of its documentation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scaling_tasks.compilers.base import backend_options, check_choice
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.gears import open_axes, open_sizes
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import BATCH, HEIGHT, WIDTH, Signature, TensorSpec

__all__ = ["GEAR_FLAGS", "atc_arguments", "check_atc_options"]

GEAR_FLAGS = ("dynamic_batch_size", "dynamic_image_size", "dynamic_dims")

_PRECISION_MODES = (
    "force_fp16",
    "force_fp32",
    "cube_fp16in_fp32out",
    "allow_fp32_to_fp16",
    "must_keep_origin_dtype",
    "allow_mix_precision",
    "allow_mix_precision_fp16",
    "allow_mix_precision_bf16",
)
_PRECISION_MODES_V2 = ("fp16", "origin", "cube_fp16in_fp32out", "mixed_float16", "mixed_bfloat16")

# What the command is made of here cannot be given as a further argument; the range excludes gears.
_OWN = ("model", "output", "framework", "soc_version", "input_format", "input_shape", *GEAR_FLAGS)
_EXCLUDED = ("input_shape_range", "insert_op_conf", "precision_mode", "precision_mode_v2", "mode")


def check_atc_options(signature: Signature, options: Mapping[str, Any]) -> None:
    """Refuse values and combinations that ATC refuses.

    Raises:
        CompileError: Naming the option.
    """
    own = backend_options(options)
    soc = str(options.get("soc_version", ""))
    if not re.fullmatch(r"Ascend\d{3}\w*", soc):
        raise CompileError(f"{soc!r} is no Ascend chip", where="compile.soc_version", fix="Such as 'Ascend310P3'.")
    _check_precision(own)
    flag = own.get("gears", "auto")
    check_choice(flag, ("auto", *GEAR_FLAGS), where="compile.options.gears", kind="way to give gears")
    _check_flag(flag, signature, "insert_op_conf" in own)
    for name in own.get("arguments") or {}:
        if name.lstrip("-") in (*_OWN, *_EXCLUDED):
            raise CompileError(
                "is decided by the unit or has a key of its own", where=f"compile.options.arguments.{name}"
            )


def _check_precision(own: Mapping[str, Any]) -> None:
    for key, known in (("precision_mode", _PRECISION_MODES), ("precision_mode_v2", _PRECISION_MODES_V2)):
        if key in own:
            check_choice(own[key], known, where=f"compile.options.{key}", kind="precision mode")
    if "precision_mode" in own and "precision_mode_v2" in own:
        raise CompileError(
            "excludes `precision_mode`", where="compile.options.precision_mode_v2", fix="Give one of the two."
        )


def _check_flag(flag: str, signature: Signature, has_aipp: bool) -> None:
    variables = set(signature.variables)
    image = variables <= {BATCH, HEIGHT, WIDTH} and all(len(tensor.dims) == 4 for tensor in signature.inputs)
    possible = {
        "dynamic_batch_size": variables == {BATCH},
        "dynamic_image_size": image and BATCH not in variables,
        "dynamic_dims": not has_aipp,
        "auto": not (has_aipp and variables and not image),
    }
    if variables and not possible[flag]:
        reason = "`insert_op_conf` excludes dynamic_dims" if has_aipp else f"{flag} cannot vary {sorted(variables)}"
        fix = "dynamic_batch_size varies N alone, dynamic_image_size H and W."
        if len(signature.inputs) > 1:
            fix += " Inputs that tell exact sizes need dynamic_dims; `runtime: {padding: accept}` does without them."
        raise CompileError(reason, where="compile.options.gears", fix=fix)


def atc_arguments(job: CompileJob, model: str, output: str) -> list[str]:
    """Return the arguments of ``atc`` for a unit.

    Without AIPP, gears are given as ``dynamic_dims`` in format ND, which takes any dimensions. AIPP excludes that, so
    that with it N goes into ``dynamic_batch_size`` and the sides into ``dynamic_image_size``.

    Args:
        job: The unit and its options.
        model: The model's path as ATC shall see it.
        output: The artefact's path without ``.om``.
    """
    own = backend_options(job.options)
    varying = _varying(job)
    flag = _flag(job, varying) if varying else None
    axes = open_axes(job)
    shapes = job.signature.shapes(job.unit.values()[0])
    if flag == "dynamic_image_size":
        axes = {tensor.name: _sides(tensor) for tensor in job.signature.inputs}
    inputs = ";".join(f"{name}:{_dims(shape, axes[name])}" for name, shape in shapes.items())
    arguments = {
        "framework": "3" if job.model.suffix == ".tflite" else "5",
        "model": model,
        "output": output,
        "soc_version": str(job.options["soc_version"]),
        "input_format": "ND" if flag in (None, "dynamic_dims") and "insert_op_conf" not in own else _layout(job),
        "input_shape": inputs,
    }
    if flag is not None:
        arguments[flag] = _gears(job, flag)
    for key in ("precision_mode", "precision_mode_v2", "insert_op_conf"):
        if key in own:
            arguments[key] = str(own[key])
    arguments |= {str(name).lstrip("-"): str(value) for name, value in (own.get("arguments") or {}).items()}
    arguments.setdefault("log", "error")
    return [f"--{name}={value}" for name, value in arguments.items()]


def _flag(job: CompileJob, varying: set[str]) -> str:
    own = backend_options(job.options)
    flag = str(own.get("gears", "auto"))
    if flag != "auto":
        return flag
    if "insert_op_conf" not in own:
        return "dynamic_dims"
    if BATCH in varying and len(varying) > 1:
        raise CompileError("`insert_op_conf` excludes gears of batch and size in one artefact", where=job.unit.stem)
    return "dynamic_batch_size" if varying == {BATCH} else "dynamic_image_size"


def _varying(job: CompileJob) -> set[str]:
    columns = zip(*job.unit.buckets, strict=True)
    return {name for name, column in zip(job.unit.variables, columns, strict=True) if len(set(column)) > 1}


def _dims(shape: Sequence[int], open_axes: Sequence[int]) -> str:
    return ",".join("-1" if axis in open_axes else str(size) for axis, size in enumerate(shape))


def _gears(job: CompileJob, flag: str) -> str:
    values = job.unit.values()
    if flag == "dynamic_batch_size":
        return ",".join(str(bucket[BATCH]) for bucket in values)
    if flag == "dynamic_image_size":
        (tensor, *_) = job.signature.inputs
        return ";".join(",".join(str(tensor.shape(bucket)[axis]) for axis in _sides(tensor)) for bucket in values)
    return ";".join(",".join(map(str, sizes)) for sizes in open_sizes(job))


def _sides(tensor: TensorSpec) -> tuple[int, int]:
    """Return the axes of height and width in an image tensor."""
    channels_last = tensor.dims[1:2] == (HEIGHT,) or tensor.dims[2:3] == (WIDTH,) or tensor.dims[3] in (1, 3, 4)
    return (1, 2) if channels_last and tensor.dims[1] not in (1, 3, 4) else (2, 3)


def _layout(job: CompileJob) -> str:
    return "NHWC" if _sides(job.signature.inputs[0]) == (1, 2) else "NCHW"
