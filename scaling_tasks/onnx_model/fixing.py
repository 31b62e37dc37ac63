"""Fixing the dimensions of an ONNX model to one bucket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.errors import ModelError, one_line
from scaling_tasks.files import link_or_copy
from scaling_tasks.onnx_model.digest import external_files
from scaling_tasks.onnx_model.model_file import read_model

if TYPE_CHECKING:
    import onnx

__all__ = ["fix_dimensions", "link_external_data", "link_files", "write_fixed_model"]


def write_fixed_model(source: Path, shapes: Mapping[str, tuple[int, ...]], target: Path) -> Path:
    """Write the model at ``source`` to ``target`` with every input fixed to its shape.

    External data is linked beside ``target`` (copied where the file system cannot link), never loaded.

    Args:
        source: The dynamic model.
        shapes: Shape per input name, as ``Signature.shapes`` gives it for one bucket.
        target: Where to write; its directory exists.

    Returns:
        ``target``.

    Raises:
        ModelError: The model cannot be read, or an input or dimension does not fit it.
    """
    model = read_model(source)
    link_external_data(source, target.parent)
    target.write_bytes(fix_dimensions(model, shapes, where=str(source)).SerializeToString(deterministic=True))
    return target


def link_external_data(source: Path, directory: Path) -> None:
    """Give a copy of the model at ``source`` that lies in ``directory`` the external data it names."""
    link_files(
        source.parent, [file.relative_to(source.parent).as_posix() for file in external_files(source)], directory
    )


def link_files(root: Path, names: Iterable[str], directory: Path) -> None:
    """Give ``directory`` the files of these relative names below ``root``, unless it has them."""
    for name in names:
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link_or_copy(root / name, target)


def fix_dimensions(
    model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]], *, where: str = "model"
) -> onnx.ModelProto:
    """Return a copy of ``model`` with its inputs fixed and all other shapes inferred anew.

    Raises:
        ModelError: A name is no input of the model, a rank differs, a fixed dimension would change, or shapes cannot be
            inferred.
    """
    import onnx

    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    inputs = {value.name: value for value in fixed.graph.input}
    for name, shape in shapes.items():
        if name not in inputs:
            raise ModelError(f"has no input {name!r}", where=where, fix=f"Its inputs are {', '.join(inputs)}.")
        _fix_input(inputs[name], shape, where=where)
    # What was inferred for the dynamic model may name dimensions that are numbers now.
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        _forget_dimensions(value)
    try:
        return onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except Exception as cause:  # onnx's own types and RuntimeError alike
        what = f"its shapes cannot be inferred at {one_line(dict(shapes), 100)} ({one_line(cause)})"
        raise ModelError(what, where=where, fix="Export the model again.") from cause


def _fix_input(value: onnx.ValueInfoProto, shape: tuple[int, ...], *, where: str) -> None:
    dims = value.type.tensor_type.shape.dim
    known = [dim.dim_value if dim.dim_value > 0 else None for dim in dims]
    clash = any(dim is not None and dim != size for dim, size in zip(known, shape, strict=False))
    if len(known) != len(shape) or clash:
        raise ModelError(
            f"input {value.name!r} has the dimensions {['?' if dim is None else dim for dim in known]}, "
            f"which cannot be fixed to {list(shape)}",
            where=where,
            fix="Correct `input_shape`.",
        )
    for dim, size in zip(dims, shape, strict=True):
        dim.Clear()
        dim.dim_value = size


def _forget_dimensions(value: onnx.ValueInfoProto) -> None:
    for dim in value.type.tensor_type.shape.dim:
        dim.Clear()
