"""A static model whose lengths data decides, as one in which every tensor has one shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scaling_tasks.analysis.analyse import input_tensors, names_of
from scaling_tasks.analysis.assembly import assemble
from scaling_tasks.analysis.bounding.bounds import Bounds
from scaling_tasks.analysis.bounding.forms import FORMS
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.operators import load_rules
from scaling_tasks.analysis.preparation import prepare
from scaling_tasks.analysis.walk import Walk
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.fixed_lengths import FixedLengths

if TYPE_CHECKING:
    import onnx

__all__ = ["Bounded", "bound_lengths"]

_POINTS = 2048


@dataclass(frozen=True)
class Bounded:
    """What came of it.

    Attributes:
        model: The model, with outputs besides that tell how long others truly are.
        lengths: How to cut its outputs.
    """

    model: onnx.ModelProto
    lengths: FixedLengths


def bound_lengths(model: onnx.ModelProto, longest: Mapping[str, int]) -> Bounded | None:
    """Return a model with fixed shapes whose outputs begin with, or hold, the given model's; None where it is one.

    Args:
        model: A model whose inputs have fixed shapes.
        longest: By the name of a node how long its result can get, for those that nothing in the graph bounds.

    Raises:
        CompileError: An operator has no form of a fixed length, or what follows it cannot be made exact.
    """
    load_rules()
    prepared = prepare(model, {}, {})
    # Claims are tested at so many sizes of a variable that nothing depends on.
    domain = Domain({"": _POINTS})
    bounds = Bounds(FORMS, longest)
    walk = Walk(
        prepared.model,
        input_tensors(prepared.inputs),
        domain,
        None,
        taken=names_of(prepared.model),
        bounds=bounds,
    )
    walk.run(prepared.model.graph)
    names = [value.name for value in prepared.model.graph.output]
    walk.finish(names)
    if bounds.unused:
        raise CompileError(
            f"{min(bounds.unused)!r} is no node of which data decides how long its result is",
            where="compile.options.longest",
            fix="Leave it out.",
        )
    outputs = {name: walk.tensors[name] for name in names}
    if not bounds.wanted:
        if any(tensor.axes is None for tensor in outputs.values()):
            _refuse_open(prepared.model)
        return None
    for name, tensor in outputs.items():
        for reason in tensor.blames.values():
            raise CompileError(f"output {name!r} can have no fixed length: {reason}", fix=reason.fix)
        if tensor.axes is None:
            raise CompileError(f"output {name!r} can have no fixed length: its shape cannot be followed")
    layouts = {
        name: tuple(axis.layout() for axis in tensor.known_axes)
        for name, tensor in outputs.items()
        if not tensor.variables.isdisjoint(bounds.counts)
    }
    used = frozenset().union(*(tensor.variables for tensor in outputs.values()))
    told = {name: count for name, count in bounds.counts.items() if name in used or not count.proven}
    # Two axes: nncase gives an output of one element in one axis once and for all.
    counts = {name: walk.emitter.unsqueeze(count.name, [0]) for name, count in told.items()}
    cleaned, _ = assemble(prepared, walk, [*names, *counts.values()])
    return Bounded(
        _with_counts(cleaned, counts.values()),
        FixedLengths(
            counts,
            {name: count.most for name, count in told.items()},
            layouts,
        ),
    )


def _refuse_open(model: onnx.ModelProto) -> None:
    """Refuse a model of which ONNX does not know the shape of an output either."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    known = {value.name for value in (*inferred.output, *inferred.value_info) if _is_fixed(value)}
    if all(value.name in known for value in inferred.output):
        return
    node = next((node for node in inferred.node if any(name not in known for name in node.output if name)), None)
    by = f": {node.op_type} {node.name or node.output[0]!r} decides it by its data" if node is not None else ""
    raise CompileError(
        f"an output can have no fixed length{by}, in a way that is not followed",
        fix="Leave it out of the model, or choose another backend.",
    )


def _is_fixed(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type
    return kind.HasField("shape") and all(dim.HasField("dim_value") for dim in kind.shape.dim)


def _with_counts(model: onnx.ModelProto, counts: Iterable[str]) -> onnx.ModelProto:
    from onnx import TensorProto, helper

    for name in dict.fromkeys(counts):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1]))
    return model
