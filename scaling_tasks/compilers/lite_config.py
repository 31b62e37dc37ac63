"""The configuration file that tells MindSpore Lite's converter the gears of an Ascend artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scaling_tasks.compilers.base import backend_options
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.gears import open_axes, open_sizes
from scaling_tasks.shapes.signature import BATCH, HEIGHT, WIDTH, TensorSpec

__all__ = ["PRECISION_MODES", "ascend_config"]

PRECISION_MODES = ("enforce_fp32", "preferred_fp32", "enforce_fp16", "enforce_origin", "preferred_optimal")


def ascend_config(job: CompileJob) -> str:
    """Return the text of the configuration file for a unit.

    One image input whose N alone or whose sizes vary goes into ``[ascend_context]``, whose parser takes four
    dimensions, of which N alone or exactly two others may be -1; a side that does not vary is therefore written as -1
    too and repeated in every gear. Everything else goes into ``[acl_build_options]`` as ``ge.dynamicDims``.
    """
    lines = _context_lines(job) if _fits_context(job) else _build_lines(job)
    soc = str(job.options.get("soc_version", ""))
    if soc:
        lines += ["[acl_init_options]", f'ge.socVersion="{soc}"']
    return "\n".join(lines) + "\n"


def _fits_context(job: CompileJob) -> bool:
    inputs = job.signature.inputs
    varying = set(_varying(job))
    image = len(inputs) == 1 and len(inputs[0].dims) == 4 and varying <= {BATCH, HEIGHT, WIDTH}
    return image and (varying <= {BATCH} or BATCH not in varying)


def _varying(job: CompileJob) -> tuple[str, ...]:
    """Return the variables that take more than one value in the unit."""
    columns = zip(*job.unit.buckets, strict=True)
    return tuple(name for name, column in zip(job.unit.variables, columns, strict=True) if len(set(column)) > 1)


def _context_lines(job: CompileJob) -> list[str]:
    (tensor,) = job.signature.inputs
    height, width = _side_axes(tensor)
    varying = set(_varying(job))
    if not varying:
        axes: tuple[int, ...] = ()
    elif varying == {BATCH}:
        axes = (0,)
    else:
        axes = (height, width)
    shapes = [tensor.shape(values) for values in job.unit.values()]
    lines = [
        "[ascend_context]",
        f"input_format = {'NCHW' if width == 3 else 'NHWC'}",
        f"input_shape = {tensor.name}:[{_join(_written(shapes[0], axes))}]",
    ]
    if axes:
        # The parser splits gears at the very text "],[", so no space may follow the comma.
        gears = ",".join(f"[{_join([shape[axis] for axis in axes])}]" for shape in shapes)
        lines.append(f"dynamic_dims = {gears}")
    return lines + _common(job.options, separator=" = ")


def _side_axes(tensor: TensorSpec) -> tuple[int, int]:
    """Return the axes of height and width: NCHW unless the channels are visibly last."""
    channels_last = WIDTH in tensor.dims and tensor.dims.index(WIDTH) == 2
    channels_last = channels_last or (HEIGHT in tensor.dims and tensor.dims.index(HEIGHT) == 1)
    return (1, 2) if channels_last else (2, 3)


def _build_lines(job: CompileJob) -> list[str]:
    axes = open_axes(job)
    shapes = job.signature.shapes(job.unit.values()[0])
    inputs = ";".join(f"{name}:{_join(_written(shape, axes[name]))}" for name, shape in shapes.items())
    lines = ["[acl_build_options]", 'input_format="ND"', f'input_shape="{inputs}"']
    if any(axes.values()):
        gears = ";".join(_join(sizes) for sizes in open_sizes(job))
        lines.append(f'ge.dynamicDims="{gears}"')
    context = _common(job.options, separator=" = ")
    return lines + (["[ascend_context]", *context] if context else [])


def _written(shape: Sequence[int], open_axes: Sequence[int]) -> list[int]:
    return [-1 if axis in open_axes else size for axis, size in enumerate(shape)]


def _common(options: Mapping[str, Any], *, separator: str) -> list[str]:
    own = backend_options(options)
    lines = []
    if "precision_mode" in own:
        lines.append(f"precision_mode{separator}{own['precision_mode']}")
    if "insert_op_conf" in own:
        lines.append(f"insert_op_config_file_path{separator}{own['insert_op_conf']}")
    return lines


def _join(values: list[int]) -> str:
    return ",".join(str(value) for value in values)
