"""Building small models in tests, and comparing a cleaned model in a bucket with the original at exact sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnxruntime
from hypothesis.errors import UnsatisfiedAssumption
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.analysis.analyse import Analysis, analyse_model
from scaling_tasks.shapes.behaviour import depends_on_data
from scaling_tasks.shapes.data_lengths import PositionsOfData, is_mixed
from scaling_tasks.shapes.layouts import layout_length, valid_positions
from scaling_tasks.shapes.size_inputs import fill_size_input
from tests.analysis.claims import assert_claims

Sizes = Mapping[str, int]


@dataclass
class Draft:
    """A graph as it grows."""

    opset: int = 17
    nodes: list[Any] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    number: int = 0

    def name(self) -> str:
        self.number += 1
        return f"t{self.number}"

    def input(self, name: str, dims: Sequence[int | str], dtype: Any = np.float32) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(dims)))
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def add(self, operator: str, inputs: Sequence[str], *, outputs: int = 1, **attributes: Any) -> Any:
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, name=f"{operator}_{names[0]}", **attributes))
        return names[0] if outputs == 1 else names

    def shifted(self, name: str, scale: float = 1.5, shift: float = 0.75, dtype: Any = np.float32) -> str:
        """Make padding hold something."""
        return self.add("Add", [self.add("Mul", [name, self.constant(scale, dtype)]), self.constant(shift, dtype)])

    def weights(self, *shape: int, seed: int = 0, dtype: Any = np.float32) -> str:
        return self.constant(np.random.default_rng([seed, *shape]).standard_normal(shape), dtype)

    def model(self, *outputs: str) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "draft", self.inputs, values, self.constants)
        domains = {node.domain for node in self.nodes} - {""}
        others = (helper.make_opsetid(domain, 3 if domain == "ai.onnx.ml" else 1) for domain in domains)
        opsets = [helper.make_opsetid("", self.opset), *others]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        inferred = onnx.shape_inference.infer_shapes(model)
        for value, found in zip(model.graph.output, inferred.graph.output, strict=True):
            value.type.tensor_type.elem_type = found.type.tensor_type.elem_type or TensorProto.FLOAT
        return model


def session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def content(spec: Any, shape: Sequence[int], generator: np.random.Generator) -> NDArray[Any]:
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    return generator.integers(0, 2 if dtype.kind == "b" else 4, shape).astype(dtype)


def assert_exact(
    model: onnx.ModelProto,
    bucket: Sizes,
    rows: Sequence[Sizes],
    *,
    refusable: bool = False,
    tolerance: float = 1e-4,
    data: Mapping[str, Any] | None = None,
    **options: Any,
) -> Analysis:
    """Assert that the cleaned model in a bucket gives what the original gives at the exact size of each request.

    Args:
        model: The original.
        bucket: One value per variable.
        rows: One request each; where rows are not independent, only the first one is run. A variable that counts
            rows is 1 in each; variables in which rows must agree are taken from the first.
        refusable: Whether the analysis may refuse; nothing is compared then.
        tolerance: Of the largest number.
        data: Content per input in place of random numbers: a function of shape and generator.
        options: For ``analyse_model``.
    """
    analysis = analyse_model(model, **options)
    if analysis.behaviour.refusals:
        assert refusable, [f"{each.operator} {each.node}: {each.reason}" for each in analysis.behaviour.refusals]
        return analysis
    wanted = [{**row, **{name: rows[0][name] for name in analysis.behaviour.uniform}} for row in rows]
    if analysis.behaviour.rows is None:
        wanted = wanted[:1]
    else:
        bucket = {**bucket, analysis.behaviour.rows: len(wanted)}
        wanted = [{**row, analysis.behaviour.rows: 1} for row in wanted]
    generator = np.random.default_rng(0)
    try:
        original = session(model)
    except Exception:  # An operator that is not there for this element type.
        raise UnsatisfiedAssumption from None
    behaviour = analysis.behaviour
    if not behaviour.takes(bucket) or not all(map(behaviour.runs_at, wanted)):
        # onnxruntime pools an axis that is shorter than the window, of which ONNX says that nothing comes.
        if not any(node.op_type.endswith("Pool") for node in model.graph.node):
            _assert_original_fails(analysis, original, [bucket, *wanted])
        raise UnsatisfiedAssumption
    given, answers = [], []
    for sizes in wanted:
        given.append(
            {
                spec.name: (data or {}).get(spec.name, lambda s, g, spec=spec: content(spec, s, g))(
                    spec.shape(sizes), generator
                )
                for spec in analysis.inputs.inputs
            }
        )
        try:
            answers.append(original.run(None, given[-1]))
        except Exception:  # The original has no answer at this size.
            raise UnsatisfiedAssumption from None
    feeds = _feeds(analysis, bucket, wanted, given)
    try:
        found = session(analysis.cleaned).run(None, feeds)
    except Exception:
        if not behaviour.runs_at(bucket):  # The bucket may be larger than any request.
            raise
        _reject_where_original_fails(original, {spec.name: feeds[spec.name] for spec in analysis.inputs.inputs})
        raise
    _assert_rows(analysis, bucket, wanted, found, answers, tolerance)
    _assert_exact_as_it_is(analysis, original, bucket, wanted, feeds, answers, tolerance)
    assert_claims(model, bucket, per_row(wanted), feeds, **options)
    return analysis


def _assert_rows(
    analysis: Analysis, bucket: Sizes, rows: Sequence[Sizes], found: Any, answers: Any, tolerance: float
) -> None:
    for row, (sizes, answer) in enumerate(zip(rows, answers, strict=True)):
        for (name, layouts), whole, true in zip(analysis.behaviour.layouts.items(), found, answer, strict=True):
            if whole is None:
                continue
            assert layouts is not None
            cut = _cut(analysis, whole, layouts, bucket, sizes, row)
            _assert_same(f"{name} of {sizes} in {bucket}", cut, true, tolerance)


def _assert_exact_as_it_is(
    analysis: Analysis,
    original: Any,
    bucket: Sizes,
    rows: Sequence[Sizes],
    feeds: Mapping[str, Any],
    answers: Any,
    tolerance: float,
) -> None:
    """What is said to be exact with nothing cleaned is so in the model as it is, which those get who accept padding."""
    inexact = {verdict.output for verdict in analysis.behaviour.verdicts if verdict.kind != "exact"}
    names = list(analysis.behaviour.layouts)
    if inexact >= set(names):
        return
    try:
        found = original.run(None, {spec.name: feeds[spec.name] for spec in analysis.inputs.inputs})
    except Exception:  # It has no answer there at all.
        return
    kept = [None if name in inexact else whole for name, whole in zip(names, found, strict=True)]
    _assert_rows(analysis, bucket, rows, kept, answers, tolerance)


def _assert_original_fails(analysis: Analysis, original: Any, sizes: Sequence[Sizes]) -> None:
    """What the analysis requires is true: at other sizes the original has no answer, or an empty one."""
    for each in sizes:
        if analysis.behaviour.runs_at(each):
            continue
        generator = np.random.default_rng(0)
        given = {spec.name: content(spec, spec.shape(each), generator) for spec in analysis.inputs.inputs}
        try:
            found = original.run(None, given)
        except Exception:
            continue
        assert not all(answer.size for answer in found), f"the original runs at {each}"


def _feeds(analysis: Analysis, bucket: Sizes, rows: Sequence[Sizes], given: Sequence[Any]) -> dict[str, Any]:
    feeds: dict[str, Any] = {}
    for spec in analysis.inputs.inputs:
        whole = np.zeros(spec.shape(bucket), spec.dtype)
        for row, request in enumerate(given):
            part = request[spec.name]
            index = [slice(0, size) for size in part.shape]
            if analysis.behaviour.rows is not None:
                index[spec.dims.index(analysis.behaviour.rows)] = slice(row, row + 1)
            whole[tuple(index)] = part
        feeds[spec.name] = whole
    for extra in analysis.behaviour.size_inputs:
        feeds[extra.name] = fill_size_input(extra, bucket, per_row(rows), analysis.behaviour.rows)
    return feeds


def per_row(rows: Sequence[Sizes]) -> dict[str, NDArray[np.int64]]:
    return {name: np.array([row[name] for row in rows], np.int64) for name in rows[0]}


def _reject_where_original_fails(original: Any, feeds: Mapping[str, Any]) -> None:
    """A size at which the original has no answer is no bucket."""
    try:
        original.run(None, feeds)
    except Exception:
        raise UnsatisfiedAssumption from None


def _cut(analysis: Analysis, whole: Any, layouts: Any, bucket: Sizes, sizes: Sizes, row: int) -> Any:
    for axis, layout in enumerate(layouts):
        if is_mixed(layout):
            whole = np.take(whole, PositionsOfData(layout, bucket, sizes).within(whole.shape[axis]), axis=axis)
            continue
        if depends_on_data(layout):
            continue
        if analysis.behaviour.rows is not None and analysis.behaviour.rows in str(layout):
            each = int(layout_length(layout, sizes))
            positions = np.arange(row * each, (row + 1) * each)
        else:
            positions = valid_positions(layout, bucket, sizes)
        whole = np.take(whole, positions, axis=axis)
    return whole


def _assert_same(what: str, found: Any, true: Any, tolerance: float) -> None:
    assert found.dtype == true.dtype, what
    assert found.shape == true.shape, (what, found.shape, true.shape)
    if true.dtype.kind in "fc":
        finite = np.abs(true[np.isfinite(true)].astype(np.float64))
        scale = max(float(finite.max()) if finite.size else 0.0, 1.0)
        np.testing.assert_allclose(found, true, rtol=tolerance, atol=tolerance * scale, err_msg=what)
    else:
        np.testing.assert_array_equal(found, true, err_msg=what)
