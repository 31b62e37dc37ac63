"""Checks that what the analysis believes of each tensor is true of the numbers in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, helper

from scaling_tasks.analysis.analyse import _walked
from scaling_tasks.analysis.assembly import assemble
from scaling_tasks.analysis.preparation import prepare
from scaling_tasks.analysis.tensors import Tensor
from scaling_tasks.shapes.layouts import layout_length, validity
from scaling_tasks.shapes.size_inputs import fill_size_input, row_of_position


def assert_claims(
    model: ModelProto,
    bucket: Mapping[str, int],
    sizes: Mapping[str, Any],
    feeds: Mapping[str, Any],
    *,
    input_shape: Any = None,
    fixed_inputs: Any = None,
    bucket_limits: Any = None,
    least_sizes: Any = None,
    multiples: Any = None,
) -> None:
    """Assert that fills, bounds, finiteness and lengths hold in every tensor of the cleaned graph."""
    prepared = prepare(model, input_shape or {}, fixed_inputs or {})
    walk, rows = _walked(prepared.model, prepared.inputs, bucket_limits or {}, least_sizes or {}, multiples or {})
    emitted = {name for node in walk.emitter.nodes for name in node.output}
    known = [*walk.tensors.values(), *walk.cleaner._done.values()]
    tensors = {t.name: t for t in known if t.name in emitted and t.axes is not None and t.value is None}
    if not tensors:
        return
    cleaned, extras = assemble(prepared, walk, list(tensors))
    feeds = {**feeds, **{extra.name: fill_size_input(extra, bucket, sizes, rows) for extra in extras}}
    del cleaned.graph.output[:]
    cleaned.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in tensors)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(cleaned.SerializeToString(), options)
    wanted = {value.name for value in session.get_inputs()}
    found = session.run(None, {name: value for name, value in feeds.items() if name in wanted})
    for (name, tensor), content in zip(tensors.items(), found, strict=True):
        if content.dtype.kind in "fiub":
            _assert_claims(name, tensor, content, bucket, sizes, rows)


def _assert_claims(
    name: str, tensor: Tensor, content: Any, bucket: Mapping[str, int], sizes: Mapping[str, Any], rows: str | None
) -> None:
    layouts = [axis.layout() for axis in tensor.known_axes]
    if "?" in str(layouts):
        return
    shape = tuple(int(layout_length(layout, bucket)) for layout in layouts)
    assert content.shape == shape, (name, content.shape, [str(axis) for axis in tensor.known_axes])
    if content.size == 0:
        return
    numbers = content.astype(np.float64)
    ordinary = numbers[~np.isnan(numbers)]
    carrier = next((at for at, axis in enumerate(tensor.known_axes) if rows and axis.has_factor(rows)), None)
    padding = {at: _padding(layouts, at, carrier, bucket, sizes, rows) for at in range(tensor.rank)}
    beyond = np.zeros(numbers.shape, bool)
    for each in padding.values():
        beyond = beyond | each
    if tensor.finite and np.isfinite(numbers[~beyond]).all():
        assert np.isfinite(numbers).all(), f"{name} is not finite"
    slack = 1e-4 * max(1.0, float(np.abs(ordinary[np.isfinite(ordinary)]).max(initial=0.0)))
    if ordinary.size:
        assert ordinary.min() >= tensor.low - slack, (name, ordinary.min(), tensor.low)
        assert ordinary.max() <= tensor.high + slack, (name, ordinary.max(), tensor.high)
    for axis, fill in tensor.fills.items():
        beyond = numbers[np.broadcast_to(padding[axis], numbers.shape)]
        # A row that is no number anywhere is none in its padding either, and not taken for a finite one.
        same = np.isclose(beyond, fill, rtol=1e-4, atol=1e-6) | (np.isnan(beyond) & ~tensor.finite)
        assert same.all(), f"{name} holds {beyond[~same][:4]} beyond axis {axis}, believed {fill}"


def _padding(
    layouts: Sequence[Any], axis: int, carrier: int | None, bucket: Any, sizes: Mapping[str, Any], rows: str | None
) -> Any:
    line = ~validity(layouts[axis], bucket, sizes, rows)
    shape = [1] * len(layouts)
    shape[axis] = line.shape[1]
    if line.shape[0] > 1 and carrier is not None and carrier != axis:
        line = line[row_of_position(layouts[carrier], bucket, str(rows))]
        shape[carrier] = line.shape[0]
        order = line if carrier < axis else line.T
        return order.reshape(shape)
    return line[:1].reshape(shape)
