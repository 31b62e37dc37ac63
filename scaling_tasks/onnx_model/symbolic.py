"""Output shapes by symbolic shape inference, where the optional tool for it can follow the model."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
from pathlib import Path
from typing import Any

from scaling_tasks.onnx_model.reading import load_model
from scaling_tasks.shapes.expressions import Expression
from scaling_tasks.shapes.signature import Signature

__all__ = ["expression_from_text", "infer_symbolically"]

# A numerator and a positive divisor: fractions occur inside floor().
_Ratio = tuple[Expression, int]


def infer_symbolically(path: Path, signature: Signature) -> dict[str, list[Expression | None]]:
    """Return an expression per output axis, None for an axis that is not understood.

    The result is empty where sympy is missing or the tool gives up, which it does on many operators: it is a source of
    candidates, and whoever uses them confirms them.
    """
    if path.suffix != ".onnx":
        return {}
    log = logging.getLogger(__name__)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            inferred = _infer(_with_named_inputs(load_model(path, weights=False), signature))
    except BaseException as cause:  # it ends with assertions, bare exceptions and even SystemExit
        if isinstance(cause, KeyboardInterrupt):
            raise
        log.debug("symbolic shape inference gave up: %r", cause)
        return {}
    known = set(signature.variables)
    return {value.name: _axes(value, known) for value in inferred.graph.output}


def _infer(model: Any) -> Any:
    """Do as the tool's ``infer_shapes``, which on failure would leave a file in the current directory."""
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    tool = SymbolicShapeInference(int_max=2**31 - 1, auto_merge=False, guess_output_rank=False, verbose=0)
    tool._preprocess(model)
    complete = False
    while tool.run_:
        complete = tool._infer_impl()
    tool._update_output_from_vi()
    if not complete:
        raise ValueError("incomplete")
    return tool.out_mp_


def _with_named_inputs(model: Any, signature: Signature) -> Any:
    by_name = {tensor.name: tensor for tensor in signature.inputs}
    for value in model.graph.input:
        if value.name in by_name:
            for dim, named in zip(value.type.tensor_type.shape.dim, by_name[value.name].dims, strict=True):
                dim.Clear()
                setattr(dim, "dim_value" if isinstance(named, int) else "dim_param", named)
    for value in model.graph.output:
        # What the exporter wrote there would be merged with what is inferred.
        value.type.tensor_type.ClearField("shape")
    return model


def _axes(value: Any, known: set[str]) -> list[Expression | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else expression_from_text(dim.dim_param, known) for dim in dims]


def expression_from_text(text: str, known: set[str]) -> Expression | None:
    """Return the expression that sympy printed as ``text``, None where it is no whole-number one of ``known`` names."""
    try:
        numerator, divisor = _ratio(ast.parse(text, mode="eval").body, known)
    except (SyntaxError, ValueError):
        return None
    return numerator if divisor == 1 else ("//", numerator, divisor)


def _ratio(node: ast.expr, known: set[str]) -> _Ratio:
    match node:
        case ast.Constant(value=int(number)):
            return number, 1
        case ast.Name(id=name) if name in known:
            return name, 1
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            numerator, divisor = _ratio(operand, known)
            return _times(-1, numerator), divisor
        case ast.BinOp(left=left, op=operator, right=right):
            return _combine(operator, _ratio(left, known), _ratio(right, known))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return _call(name, [_ratio(argument, known) for argument in arguments])
    raise ValueError(ast.dump(node))


def _combine(operator: ast.operator, left: _Ratio, right: _Ratio) -> _Ratio:
    (above, below), (other_above, other_below) = left, right
    if isinstance(operator, ast.Mult):
        return _times(above, other_above), below * other_below
    if isinstance(operator, ast.Div) and isinstance(other_above, int) and other_above > 0:
        return _times(other_below, above), below * other_above
    if isinstance(operator, (ast.Add, ast.Sub)):
        sign = "+" if isinstance(operator, ast.Add) else "-"
        first, second = _times(other_below, above), _times(below, other_above)
        return (sign, first, second), below * other_below
    raise ValueError(ast.dump(operator))


def _call(name: str, arguments: list[_Ratio]) -> _Ratio:
    if name in ("floor", "ceiling") and len(arguments) == 1:
        numerator, divisor = arguments[0]
        if divisor == 1:
            return numerator, 1
        return ("//", numerator if name == "floor" else ("+", numerator, divisor - 1), divisor), 1
    if name in ("Max", "Min") and arguments and all(divisor == 1 for _, divisor in arguments):
        whole = arguments[0][0]
        for other, _ in arguments[1:]:
            whole = (name.lower(), whole, other)
        return whole, 1
    raise ValueError(name)


def _times(left: Expression, right: Expression) -> Expression:
    if isinstance(left, int) and isinstance(right, int):
        return left * right
    if left == 1:
        return right
    return left if right == 1 else ("*", left, right)
