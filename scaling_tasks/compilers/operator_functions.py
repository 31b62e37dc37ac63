"""Operators that ONNX itself defines by others, for importers that do not know them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

__all__ = ["inline_in_file", "inline_operators"]


def inline_operators(model: onnx.ModelProto, kinds: Collection[str]) -> onnx.ModelProto:
    """Return the model with operators of these kinds replaced by their definitions: itself where it has none.

    A definition does shape arithmetic, which is best folded afterwards. onnx before 1.20 cannot do it.
    """
    import onnx
    from onnx import helper, inliner

    if all(node.op_type not in kinds or node.domain not in ("", "ai.onnx") for node in model.graph.node):
        return model
    known = onnx.shape_inference.infer_shapes(model)
    # Which definition is meant can depend on types, of weights too, and those the inliner does not look up.
    told = {value.name for value in (*known.graph.value_info, *known.graph.input)}
    weights = [each for each in known.graph.initializer if each.name not in told]
    known.graph.value_info.extend(
        helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in weights
    )
    asked = [("", kind) for kind in kinds]
    try:
        inlined: onnx.ModelProto = inliner.inline_selected_functions(known, asked, inline_schema_functions=True)
    except (AttributeError, TypeError):
        return model
    for node in inlined.graph.node:
        node.name = node.name or next(filter(None, node.output))
    return inlined


def inline_in_file(path: Path, kinds: Collection[str]) -> None:
    """Replace operators of these kinds in the model at ``path``, whose external data stays where it is."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    inlined = inline_operators(model, kinds)
    if inlined is not model:
        path.write_bytes(inlined.SerializeToString(deterministic=True))
