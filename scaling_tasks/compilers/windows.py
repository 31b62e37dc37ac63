"""How much convolutions and pools pad, said in numbers, for importers that take it otherwise where a name says it.

nncase 2.11.0 pads no pool that says ``SAME_UPPER`` or ``SAME_LOWER``, and transposed convolutions on the wrong side;
MindSpore Lite 2.0.0 takes ``SAME_LOWER`` for ``SAME_UPPER`` or refuses it, and no ``output_shape``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from scaling_tasks.compilers.node_writer import attributes_of, static_shapes

if TYPE_CHECKING:
    import onnx

__all__ = ["SAME", "Window", "say_pads", "window_of"]

SAME = ("SAME_UPPER", "SAME_LOWER")
"""Values of ``auto_pad`` that leave it to the importer how much is padded."""

_CONVOLUTIONS = ("Conv", "ConvTranspose")


class Window:
    """What slides over a tensor, one number per axis that it slides along.

    Attributes:
        sizes: How many positions it looks at.
        strides: How far it goes.
        dilations: How far apart its positions are.
        begins: How much is padded before an axis.
        ends: How much is padded behind it.
    """

    def __init__(self, sizes: Sequence[int], given: dict[str, Any]) -> None:
        ones, rank = [1] * len(sizes), len(sizes)
        self.sizes = list(sizes)
        self.strides: list[int] = list(given.get("strides", ones))
        self.dilations: list[int] = list(given.get("dilations", ones))
        pads = given.get("pads") or [0] * (2 * rank)
        self.begins, self.ends = list(pads[:rank]), list(pads[rank:])

    @property
    def spans(self) -> list[int]:
        """How far it reaches."""
        return [(size - 1) * apart + 1 for size, apart in zip(self.sizes, self.dilations, strict=True)]


def window_of(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> Window | None:
    """Return what slides over a node's input, or None where its size is not known."""
    given = attributes_of(node)
    sizes = given.get("kernel_shape")
    if sizes is None and node.op_type in _CONVOLUTIONS:
        sizes = shapes.get(node.input[1], ())[2:]
    return Window(sizes, given) if sizes else None


def say_pads(model: onnx.ModelProto, forms: Collection[tuple[str, str]]) -> bool:
    """Say ``pads`` in numbers, in place, wherever these forms say them; return whether any did.

    Args:
        model: The model, of one shape.
        forms: Kinds of operators, each with a value of ``auto_pad`` or with ``output_shape``.
    """
    kinds = {kind for kind, _ in forms}
    if all(node.op_type not in kinds for node in model.graph.node):
        return False
    shapes, changed = static_shapes(model), False
    for node in model.graph.node:
        if node.op_type in kinds:
            changed |= _said(node, forms, shapes)
    return changed


def _said(node: onnx.NodeProto, forms: Collection[tuple[str, str]], shapes: dict[str, tuple[int, ...]]) -> bool:
    from onnx import helper

    given = attributes_of(node)
    form = "output_shape" if "output_shape" in given else given.get("auto_pad", "NOTSET")
    window, before, after = window_of(node, shapes), shapes.get(node.input[0]), shapes.get(node.output[0])
    if (node.op_type, form) not in forms or window is None or before is None or after is None:
        return False
    if node.op_type == "ConvTranspose":
        more = given.get("output_padding", [0] * len(window.sizes))
        sizes = zip(before[2:], after[2:], window.strides, window.spans, more, strict=True)
        whole = [step * (size - 1) + span + extra - made for size, made, step, span, extra in sizes]
    else:
        axes = zip(before[2:], window.strides, window.spans, strict=True)
        whole = [max((-(-size // step) - 1) * step + span - size, 0) for size, step, span in axes]
    if min(whole) < 0:
        return False
    # What is odd goes behind, unless the lower side is asked for, or a size and no side.
    least = [total // 2 for total in whole]
    most = [total - half for total, half in zip(whole, least, strict=True)]
    behind = form == "SAME_UPPER" or given.get("auto_pad") == "SAME_UPPER"
    pads = [*least, *most] if behind else [*most, *least]
    kept = [each for each in node.attribute if each.name not in ("auto_pad", "output_shape", "pads")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    return True
