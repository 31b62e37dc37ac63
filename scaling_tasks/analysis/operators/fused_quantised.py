"""Products of onnxruntime's own domain whose weights, or all of whose numbers, are quantised."""

from __future__ import annotations

from dataclasses import replace

from scaling_tasks.analysis.axes import Axis, grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.products import follow_gemm
from scaling_tasks.analysis.operators.quantised import clean_for_one_scale, follow_dequantise, follow_quantise
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor

_OWN = "com.microsoft"
_FLOAT = 1

operator("FusedGemm", domain=_OWN)(follow_gemm)
operator("QuantizeLinear", domain=_OWN)(follow_quantise)


@operator("DequantizeLinear", domain=_OWN)
def follow_own_dequantise(op: Operation) -> Tensor:
    """Follow DequantizeLinear of types that the default domain took up later."""
    found = follow_dequantise(op)
    return replace(found, dequantised=None) if isinstance(found, Tensor) else found[0]


@operator("MatMulNBits", "MatMulBnb4", domain=_OWN)
def follow_few_bits(op: Operation) -> Tensor:
    """Follow a product with weights of a few bits: ``[…, K]`` by ``[N, K]``, the second in blocks."""
    tensor = op.input(0)
    fills = {at: 0.0 for at, fill in tensor.fills.items() if fill == 0 and not op.has(5)}
    axes = [*_rows(op), grid(int(op.attribute("N")))]
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite)


@operator("DynamicQuantizeMatMul", domain=_OWN)
def follow_dynamic_product(op: Operation) -> Tensor:
    """Follow a product of real numbers that are quantised first, by one scale, with weights that are."""
    rows = _rows(op)
    tensor = clean_for_one_scale(op)
    return op.result([*rows, op.input(1).known_axes[-1]], tensor.dtype, finite=tensor.finite)


@operator("MatMulIntegerToFloat", domain=_OWN)
def follow_product_to_real(op: Operation) -> Tensor:
    """Follow a product of quantised numbers with weights, multiplied by their scales."""
    return op.result([*_rows(op), op.input(1).known_axes[-1]], op.input(2).dtype)


def _rows(op: Operation) -> list[Axis]:
    """Return the axes of what is multiplied with weights, but for its channels.

    Raises:
        Refused: Weights or channels follow the sizes of the request.
    """
    *rows, channels = op.input(0).known_axes
    if channels.variables or any(each is not None and each.variables for each in op.inputs[1:]):
        raise Refused("its weights, or how many channels it sums over, follow the sizes of the request")
    return rows
