"""ONNX's own test models of single operators with the axes of their inputs made dynamic, in several ways each."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Case", "Variant", "cases", "variants"]

Axis = tuple[int, int]
"""The number of an input and one of its axes."""


@dataclass(frozen=True)
class Case:
    """One of ONNX's test models with the inputs that come with it."""

    name: str
    model: onnx.ModelProto
    inputs: tuple[NDArray[Any], ...]

    @property
    def operators(self) -> frozenset[str]:
        """The types of its nodes."""
        return frozenset(node.op_type for node in self.model.graph.node)


@dataclass(frozen=True)
class Variant:
    """A case some of whose axes are variables.

    Attributes:
        case: The case.
        kind: Which inputs are constants, and how variables are named.
        fixed: Numbers of the inputs that are constants.
        names: The variable of each dynamic axis.
        shifted: Whether real inputs have a number added first, so that padding is no zero.
    """

    case: Case
    kind: str
    fixed: tuple[int, ...]
    names: Mapping[Axis, str]
    shifted: bool

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes that the case itself has."""
        return {name: self.case.inputs[at].shape[axis] for (at, axis), name in self.names.items()}

    @functools.cached_property
    def model(self) -> onnx.ModelProto:
        """The model."""
        proto = onnx.ModelProto()
        proto.CopyFrom(self.case.model)
        graph = proto.graph
        for at, (value, array) in enumerate(zip(list(graph.input), self.case.inputs, strict=True)):
            if at in self.fixed:
                graph.initializer.append(numpy_helper.from_array(array, value.name))
                graph.input.remove(value)
                continue
            dims = [self.names.get((at, axis), size) for axis, size in enumerate(array.shape)]
            value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, dims))
        del graph.value_info[:]
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
        if self.shifted:
            _shift(graph)
        proto.ir_version = min(proto.ir_version, 13)
        return proto

    def content(self) -> dict[str, Any]:
        """Return per input what makes its content: the case's own, repeated along each axis."""
        named = zip(self.case.model.graph.input, self.case.inputs, strict=True)
        made = {value.name: functools.partial(_repeated, array) for value, array in named}
        return {**made, **{f"own_{name}": make for name, make in made.items()}}


def _repeated(array: NDArray[Any], shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    for axis, size in enumerate(shape):
        array = np.take(array, np.arange(size) % array.shape[axis], axis=axis)
    return np.array(array, order="C")


def _shift(graph: onnx.GraphProto) -> None:
    nodes = []
    for value in graph.input:
        tensor = value.type.tensor_type
        if tensor.elem_type == TensorProto.FLOAT and any(dim.dim_param for dim in tensor.shape.dim):
            name, value.name = value.name, f"own_{value.name}"
            graph.initializer.append(numpy_helper.from_array(np.array(0.75, np.float32), f"shift_{name}"))
            nodes.append(helper.make_node("Add", [value.name, f"shift_{name}"], [name], name=f"shifted_{name}"))
    nodes += list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


@functools.cache
def cases() -> tuple[Case, ...]:
    """Return all cases whose inputs are tensors with elements."""
    from onnx.backend.test.loader import load_model_tests

    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_model_tests(kind="node")
    for case in loaded:
        if case.model is None or not case.data_sets:
            continue
        given = case.data_sets[0][0]
        tensors = [value.type.HasField("tensor_type") for value in (*case.model.graph.input, *case.model.graph.output)]
        if all(tensors) and all(isinstance(each, (np.ndarray, np.generic)) and each.size for each in given):
            found.append(Case(case.name, case.model, tuple(np.asarray(each) for each in given)))
    return tuple(found)


def variants(case: Case) -> Iterator[Variant]:
    """Yield the case with all inputs live, with shapes and the like constant, and with all but the first constant.

    In each of these every axis is a variable of its own, or those of equal size share one, or one alone is a variable.
    """
    count = len(case.inputs)
    small = tuple(at for at in range(1, count) if case.inputs[at].ndim <= 1 and case.inputs[at].dtype.kind in "iu")
    for fixed, kind in {(): "live", small: "shapes", tuple(range(1, count)): "weights"}.items():
        for naming, names in _namings(case, fixed):
            for shifted in (False, True):
                real = any(case.inputs[at].dtype == np.float32 for at, _ in names)
                if real or not shifted:
                    yield Variant(case, f"{kind} {naming}", fixed, names, shifted)


def _namings(case: Case, fixed: tuple[int, ...]) -> Iterator[tuple[str, dict[Axis, str]]]:
    axes = [(at, axis) for at, array in enumerate(case.inputs) if at not in fixed for axis in range(array.ndim)]
    own = {(at, axis): f"v{at}_{axis}" for at, axis in axes if case.inputs[at].shape[axis] > 1}
    if own:
        yield "own", own
    if len(own) < 2:
        return
    shared: dict[Axis, str] = {}
    for at, axis in own:
        size = case.inputs[at].shape[axis]
        shared[at, axis] = f"s{size}_{case.inputs[at].shape[:axis].count(size)}"
    if len(set(shared.values())) < len(shared):
        yield "shared", shared
    for name in dict.fromkeys(shared.values()):
        yield f"only {name}", {place: each for place, each in shared.items() if each == name}
