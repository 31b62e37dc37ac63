"""Random small graphs over known operators, for property tests: valid ones, because every node is run as it is added.

``random_models()`` draws a model with one or two inputs of up to three variables; the table ``OPERATORS`` says how an
operator is put behind a value. A value is known by what it holds at a few probe sizes, so that no shape formula has to
be written down a second time here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = [
    "OPERATORS",
    "OPSETS",
    "Draw",
    "Growing",
    "RandomModel",
    "Rejected",
    "Value",
    "axis_of",
    "load_operators",
    "operator",
    "random_models",
]

Sizes = Mapping[str, int]

_PROBES: dict[int, tuple[Sizes, ...]] = {
    1: (
        {"B": 3, "L": 17, "M": 13, "H": 11, "W": 14},
        {"B": 2, "L": 13, "M": 7, "H": 9, "W": 11},
        {"B": 1, "L": 8, "M": 5, "H": 7, "W": 6},
    ),
    4: (
        {"B": 3, "L": 20, "M": 16, "H": 12, "W": 20},
        {"B": 2, "L": 12, "M": 8, "H": 8, "W": 16},
        {"B": 1, "L": 8, "M": 4, "H": 4, "W": 8},
    ),
}
"""Sizes at which every node is run, by the step of all sizes but the batch's; the first are the limits."""
OPSETS = (13, 17, 23, 25)
_MOST_ELEMENTS = 40_000
_LARGEST = 1e4
_INPUTS: tuple[tuple[tuple[int | str, ...], ...], ...] = (
    (("B", "L", 4),),
    (("B", 3, "L"),),
    (("B", 4, "H", "W"),),
    (("B", "H", "W", 3),),
    (("L", 4),),
    (("L", "B", 3),),
    (("L", 1, 4),),
    (("B", "L", 4), ("B", "M", 4)),
    (("B", "L", 4), ("B", "L", 4)),
)
_TYPES = {
    np.dtype("float32"): TensorProto.FLOAT,
    np.dtype("int64"): TensorProto.INT64,
    np.dtype("int32"): TensorProto.INT32,
    np.dtype("int8"): TensorProto.INT8,
    np.dtype("uint8"): TensorProto.UINT8,
    np.dtype("bool"): TensorProto.BOOL,
}
_DOMAINS = {"com.microsoft": 1, "ai.onnx.ml": 3}
"""Versions of the operators that are not ONNX's own."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph.

    Attributes:
        name: Its name.
        probes: What it holds at each of the probe sizes.
    """

    name: str
    probes: tuple[NDArray[Any], ...] = field(repr=False)

    @property
    def rank(self) -> int:
        """How many axes it has."""
        return self.probes[0].ndim

    def fixed(self, axis: int) -> int | None:
        """Return the length of an axis, None where it varies."""
        lengths = {array.shape[axis] for array in self.probes}
        return lengths.pop() if len(lengths) == 1 else None

    @property
    def fixed_axes(self) -> list[int]:
        """Axes that have one length at all sizes."""
        return [axis for axis in range(self.rank) if self.fixed(axis) is not None]

    def same_shape(self, other: Value) -> bool:
        """Return whether two values have equal shapes at all sizes."""
        return [each.shape for each in self.probes] == [each.shape for each in other.probes]


@dataclass(frozen=True)
class RandomModel:
    """What ``random_models`` draws.

    Attributes:
        model: The model.
        limits: The largest size per variable.
        step: Of which all sizes but the batch's are multiples.
        operators: What was put into it, in order.
    """

    model: onnx.ModelProto = field(repr=False)
    limits: Sizes
    step: int
    operators: tuple[str, ...]

    def dims(self) -> dict[str, list[int | str | None]]:
        """Return the shape of each input, variables by name."""
        return {
            value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in self.model.graph.input
        }

    def sizes(self, seed: int) -> dict[str, int]:
        """Return random sizes up to the limits."""
        generator = np.random.default_rng(seed)
        steps = {name: 1 if name == "B" else self.step for name in self.limits}
        most = {name: limit // steps[name] for name, limit in self.limits.items()}
        return {name: steps[name] * int(generator.integers(1, most[name] + 1)) for name in self.limits}

    def inputs(self, sizes: Sizes, seed: int) -> dict[str, NDArray[Any]]:
        """Return random inputs at these sizes."""
        generator = np.random.default_rng(seed)
        shapes = {
            value.name: [
                sizes[dim.dim_param] if dim.dim_param else dim.dim_value for dim in value.type.tensor_type.shape.dim
            ]
            for value in self.model.graph.input
        }
        return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


class Growing:
    """A graph to which nodes are added, each run at the probe sizes.

    Args:
        seed: Of weights and of the inputs at the probe sizes.
        opset: Version of the operators.
        step: Of the sizes.
    """

    def __init__(self, seed: int, opset: int = 17, step: int = 1) -> None:
        self.probes = _PROBES[step]
        self.random = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.values: list[Value] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._weights: dict[str, NDArray[Any]] = {}
        self._count = 0

    def input(self, name: str, dims: Sequence[int | str]) -> Value:
        """Add an input."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        shapes = [[probe[dim] if isinstance(dim, str) else dim for dim in dims] for probe in self.probes]
        value = Value(name, tuple(self.random.standard_normal(shape).astype(np.float32) for shape in shapes))
        self.values.append(value)
        return value

    def const(self, value: ArrayLike, dtype: str | None = None) -> Value:
        """Add a constant; whole numbers become int64, others float32."""
        array = np.asarray(value)
        array = array.astype(dtype or {"f": "float32", "i": "int64", "b": "bool"}[array.dtype.kind])
        name = self._name("const")
        self._weights[name] = array
        return Value(name, (array,) * len(self.probes))

    def weight(self, *shape: int, scale: float = 0.0) -> Value:
        """Add random weights, by default as large as their number of inputs asks for."""
        fan_in = max(1, int(np.prod(shape[1:])) if len(shape) > 2 else shape[0])
        return self.const(self.random.standard_normal(shape) * (scale or fan_in**-0.5))

    def add(self, kind: str, *inputs: Value | None, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; return its output, or a tuple of those.

        Raises:
            Rejected: It is invalid at a probe size, or gives something empty, large or not finite.
        """
        names = [self._name(kind) for _ in range(outputs)]
        node = helper.make_node(
            kind, [each.name if each else "" for each in inputs], names, name=names[0], **attributes
        )
        found = self._run(node, [each for each in inputs if each])
        self.nodes.append(node)
        made = tuple(Value(name, tuple(arrays[at] for arrays in found)) for at, name in enumerate(names))
        return made[0] if outputs == 1 else made

    def reduced(self, kind: str, value: Value, axes: Sequence[int], keepdims: int = 1) -> Value:
        """Add a reduction, whose axes are an attribute or an input as the opset has it."""
        if kind == "ReduceSum" or self.opset >= 18:
            return self.add(kind, value, self.const(list(axes)), keepdims=keepdims)
        return self.add(kind, value, axes=list(axes), keepdims=keepdims)

    def cast(self, value: Value, dtype: str) -> Value:
        """Add a conversion to a type of numpy's name."""
        return self.add("Cast", value, to=_TYPES[np.dtype(dtype)])

    def size(self, value: Value, axis: int) -> Value:
        """Return the length of an axis as a scalar, as torch exports it."""
        return self.add("Gather", self.add("Shape", value), self.const(axis % value.rank), axis=0)

    def shape_of(self, value: Value, parts: Sequence[int | Value]) -> Value:
        """Return a vector of numbers and scalars."""
        singles = [
            self.const([part]) if isinstance(part, int) else self.add("Unsqueeze", part, self.const([0]))
            for part in parts
        ]
        return self.add("Concat", *singles, axis=0)

    def model(self, outputs: Sequence[Value]) -> onnx.ModelProto:
        """Return the graph with these outputs, without the nodes that they do not need."""
        needed, nodes = {each.name for each in outputs}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                nodes.insert(0, node)
                needed |= set(node.input)
        for at, value in enumerate(outputs):
            nodes.append(helper.make_node("Identity", [value.name], [f"y{at}"]))
        results = [
            helper.make_tensor_value_info(f"y{at}", _TYPES[value.probes[0].dtype], [None] * value.rank)
            for at, value in enumerate(outputs)
        ]
        weights = [numpy_helper.from_array(array, name) for name, array in self._weights.items() if name in needed]
        graph = helper.make_graph(nodes, "random", list(self._inputs), results, weights)
        return self._model(graph)

    def _model(self, graph: onnx.GraphProto) -> onnx.ModelProto:
        domains = {node.domain for node in graph.node} - {""}
        versions = [("", self.opset), *((domain, _DOMAINS[domain]) for domain in sorted(domains))]
        imports = [helper.make_opsetid(*version) for version in versions]
        return helper.make_model(graph, opset_imports=imports, ir_version=10)

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{kind.lower()}{self._count}"

    def _run(self, node: onnx.NodeProto, inputs: list[Value]) -> list[list[NDArray[Any]]]:
        distinct = {each.name: each for each in inputs}
        infos = [
            helper.make_tensor_value_info(name, _TYPES[each.probes[0].dtype], list(map(each.fixed, range(each.rank))))
            for name, each in distinct.items()
            if name not in self._weights
        ]
        weights = [numpy_helper.from_array(self._weights[name], name) for name in distinct if name in self._weights]
        outputs = [onnx.ValueInfoProto(name=name) for name in node.output]
        graph = helper.make_graph([node], "one", infos, outputs, weights)
        try:
            session = _session(self._model(graph))
            found = [
                session.run(None, {info.name: distinct[info.name].probes[at] for info in infos})
                for at in range(len(self.probes))
            ]
        except Exception as cause:  # onnxruntime raises types of its own for each kind of mistake
            raise Rejected(str(cause)) from cause
        for array in (each for arrays in found for each in arrays):
            most = _LARGEST if array.dtype.kind == "f" else _LARGEST**2
            large = array.size and (not np.isfinite(array).all() or np.abs(array.astype(float)).max() > most)
            if array.size == 0 or array.size > _MOST_ELEMENTS or array.ndim > 5 or large or array.dtype not in _TYPES:
                raise Rejected(f"{array.dtype} {array.shape}")
        return found


class Rejected(Exception):  # noqa: N818  # No error: a choice that does not fit here.
    """A node that cannot be added."""


Draw = Callable[[Any], Any]
"""Hypothesis' function that draws from a strategy."""

Rule = Callable[[Growing, Draw, Value], "Value | None"]
"""Puts an operator behind a value; None where it does not fit."""

OPERATORS: dict[str, Rule] = {}
"""By name, which is the operator's or says what is special; filled by the modules that ``load_operators`` names."""


def operator(name: str) -> Callable[[Rule], Rule]:
    """Put a rule into the table."""

    def register(rule: Rule) -> Rule:
        OPERATORS[name] = rule
        return rule

    return register


def axis_of(draw: Draw, value: Value) -> int:
    """Draw one of a value's axes."""
    return int(draw(st.integers(0, value.rank - 1)))


def load_operators() -> None:
    """Fill the table."""
    from tests.analysis import (  # noqa: F401  # Each registers its rules.
        random_classical,
        random_contributed,
        random_lookups,
        random_mathematics,
        random_movements,
        random_operators,
        random_quantised,
    )


@st.composite
def random_models(draw: Draw, *, most: int = 7, only: Sequence[str] = (), first: Sequence[str] = ()) -> RandomModel:
    """Draw a model of up to ``most`` operators, of those named alone if any are, one of ``first`` before them."""
    load_operators()
    step = draw(st.sampled_from([1, 1, 4]))
    graph = Growing(draw(st.integers(0, 2**16)), opset=draw(st.sampled_from(OPSETS)), step=step)
    for index, dims in enumerate(draw(st.sampled_from(_INPUTS))):
        graph.input(f"x{index}", dims)
    value, used = graph.values[0], []
    names = list(only) or list(OPERATORS)
    for at in range(draw(st.integers(1, most))):
        name = draw(st.sampled_from(first if first and not at else names))
        added = _put(graph, OPERATORS[name], draw, value)
        if added is not None:
            used.append(name)
            graph.values.append(value := added)
    others = [each for each in graph.values if each is not value and not each.name.startswith("x")]
    outputs = [value, *([draw(st.sampled_from(others))] if others and draw(st.booleans()) else [])]
    model = graph.model(outputs)
    assume(_runs(model, graph.values))
    named = {dim.dim_param for each in model.graph.input for dim in each.type.tensor_type.shape.dim if dim.dim_param}
    limits = {name: limit for name, limit in graph.probes[0].items() if name in named}
    return RandomModel(model, limits, step, tuple(used))


def _put(graph: Growing, rule: Rule, draw: Draw, value: Value) -> Value | None:
    before = len(graph.nodes)
    try:
        added = rule(graph, draw, value)
    except Rejected:
        added = None
    if added is None or added.rank == 0:  # Behind a scalar hardly anything fits.
        del graph.nodes[before:]
        return None
    return added


def _runs(model: onnx.ModelProto, values: Sequence[Value]) -> bool:
    """Return whether onnxruntime takes the whole as well as each node: its own inference of shapes may object."""
    inputs = {value.name: value.probes[0] for value in values if value.name.startswith("x")}
    try:
        _session(model).run(None, {each.name: inputs[each.name] for each in model.graph.input})
    except Exception:  # onnxruntime raises types of its own for each kind of mistake
        return False
    return True


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
