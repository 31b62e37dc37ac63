"""Operators that ONNX itself defines by others, for importers that do not know them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx

__all__ = ["inline_in_file", "inline_operators"]


def inline_operators(model: onnx.ModelProto, kinds: Collection[str]) -> onnx.ModelProto:
    """Return the model with operators of these kinds replaced by their definitions: itself where it has none.

    A definition does shape arithmetic, which is best folded afterwards. Operators whose definition cannot be told,
    because types before them are not known, stay. onnx before 1.20 cannot do it.
    """
    left = set(kinds)
    # One kind at a time: in a definition there may be others, which types within it must be known for.
    while left and (found := next(filter(left.__contains__, _kinds_of(model)), "")):
        inlined = _inlined(model, found)
        if inlined is None or found in _kinds_of(inlined):
            left.remove(found)
        model = model if inlined is None else inlined
    return model


def _kinds_of(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")]


def _inlined(model: onnx.ModelProto, kind: str) -> onnx.ModelProto | None:
    import onnx
    from onnx import defs, helper, inliner

    known = onnx.shape_inference.infer_shapes(model)
    # Which definition is meant can depend on types, of weights too, and those the inliner does not look up.
    told = {value.name for value in (*known.graph.value_info, *known.graph.input)}
    weights = [each for each in known.graph.initializer if each.name not in told]
    known.graph.value_info.extend(
        helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in weights
    )
    try:
        _say_defaults(known, kind)
        inlined: onnx.ModelProto = inliner.inline_selected_functions(known, [("", kind)], inline_schema_functions=True)
    except (AttributeError, RuntimeError, TypeError, defs.SchemaError):
        return None
    for node in inlined.graph.node:
        node.name = node.name or next(filter(None, node.output))
    return inlined


def _say_defaults(model: onnx.ModelProto, kind: str) -> None:
    """Say all attributes of operators of a kind: the inliner puts nothing in place of one that is left out."""
    from onnx import defs

    for node in model.graph.node:
        if node.op_type == kind and node.domain in ("", "ai.onnx"):
            given = {attribute.name for attribute in node.attribute}
            known = defs.get_schema(kind, opset_of(model), "").attributes
            node.attribute.extend(
                each.default_value for name, each in known.items() if name not in given and each.default_value.name
            )


def inline_in_file(path: Path, kinds: Collection[str]) -> None:
    """Replace operators of these kinds in the model at ``path``, whose external data stays where it is."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    inlined = inline_operators(model, kinds)
    if inlined is not model:
        path.write_bytes(inlined.SerializeToString(deterministic=True))
