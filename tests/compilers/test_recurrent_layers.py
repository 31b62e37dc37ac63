"""Recurrent layers written out for importers without them: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.compilers.recurrent_layers import refuse_left_out, write_out_recurrences
from scaling_tasks.errors import CompileError

STEPS, ROWS, WIDTH, HIDDEN = 5, 3, 4, 6
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(kind: str, told: str = "", states: str = "", opset: int = 14, **attributes: Any) -> onnx.ModelProto:
    """Return a model of one layer.

    Args:
        kind: The operator.
        told: Where its rows' lengths come from: an ``input``, a ``constant``, or nowhere.
        states: Likewise its first states.
        opset: Of the standard operators.
        attributes: Of the node.
    """
    random = np.random.default_rng(0)
    ways = 2 if attributes.get("direction") == "bidirectional" else 1
    count = 2 if kind == "LSTM" else 1
    tensors = {
        "w": random.normal(0, 0.5, (ways, GATES[kind] * HIDDEN, WIDTH)),
        "r": random.normal(0, 0.5, (ways, GATES[kind] * HIDDEN, HIDDEN)),
        "b": random.normal(0, 0.5, (ways, 2 * GATES[kind] * HIDDEN)),
    }
    given: dict[str, tuple[int, list[int]]] = {"x": (TensorProto.FLOAT, [STEPS, ROWS, WIDTH])}
    names = ["h0", "c0"][:count] if states else []
    if states == "constant":
        tensors |= {name: random.normal(0, 1, (ways, ROWS, HIDDEN)) for name in names}
    elif states:
        given |= {name: (TensorProto.FLOAT, [ways, ROWS, HIDDEN]) for name in names}
    weights = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()]
    if told == "constant":
        weights.append(numpy_helper.from_array(np.array([5, 2, 1], np.int32), "ends"))
    elif told:
        given["ends"] = (TensorProto.INT32, [ROWS])
    outputs = ["y", "h", "c"][: 1 + count]
    inputs = ["x", "w", "r", "b", "ends" if told else "", *names]
    node = helper.make_node(kind, inputs, outputs, hidden_size=HIDDEN, **attributes)
    graph = helper.make_graph(
        [node],
        "m",
        [helper.make_tensor_value_info(name, element, dims) for name, (element, dims) in given.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return inputs for a model of one layer."""
    random = np.random.default_rng(1)
    found = {}
    for value in model.graph.input:
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        found[value.name] = random.normal(0, 1, dims).astype(np.float32)
    if "ends" in found:
        found["ends"] = np.array([2, 5, 1], np.int32)
    return found


def answers(model: onnx.ModelProto) -> list[np.ndarray]:
    return list(onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds(model)))


@pytest.mark.parametrize("told", ["", "input", "constant"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "late GRU"])
def test_written_out_it_is_the_same(kind: str, direction: str, told: str, tmp_path: Path):
    late = {"linear_before_reset": 1} if kind == "late GRU" else {}
    model = layer(
        kind.split()[-1], told, "input" if told else "", opset=12 if late else 14, direction=direction, **late
    )
    expected = answers(model)
    assert write_out_recurrences(model, tmp_path, importer="it")
    left = [node for node in model.graph.node if node.op_type in GATES]
    assert len(left) == (0 if kind != "LSTM" or told else 2 if direction == "bidirectional" else 1)
    for found, wanted in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_lstm_says_all_that_importers_do_not_assume(tmp_path: Path):
    model = layer("LSTM", direction="reverse")
    del model.graph.node[0].input[3:]
    expected = answers(model)
    write_out_recurrences(model, tmp_path, importer="it")
    (node,) = [node for node in model.graph.node if node.op_type == "LSTM"]
    assert [bool(name) for name in node.input] == [True] * 4 + [False] + [True] * 2
    assert [attribute.name for attribute in node.attribute] == ["hidden_size"]
    for found, wanted in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_lengths_that_leave_nothing_out_are_none(tmp_path: Path):
    model = layer("LSTM", "constant")
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.full(ROWS, STEPS, np.int32), "ends"))
    write_out_recurrences(model, tmp_path, importer="it")
    assert "LSTM" in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"clip": 3.0}, "clip"),
        ({"activations": ["HardSigmoid", "Tanh"]}, "the activation Hardsigmoid"),
        ({"layout": 1}, "layout"),
    ],
)
def test_what_has_no_form_is_refused_by_name(attributes: dict[str, Any], said: str, tmp_path: Path):
    with pytest.raises(CompileError, match=f"it leaves out {said} of the GRU 'y'"):
        write_out_recurrences(layer("GRU", **attributes), tmp_path, importer="it")


@pytest.mark.parametrize("said", ["peepholes", "input_forget"])
def test_what_openvino_leaves_out_is_refused_by_name(said: str, tmp_path: Path):
    model = layer("LSTM", "input", "input", **({} if said == "peepholes" else {said: 1}))
    refuse_left_out(layer("LSTM", clip=3.0))
    if said == "peepholes":
        model.graph.node[0].input.append("p")
    with pytest.raises(CompileError, match=f"OpenVINO leaves out {said} of the LSTM 'y'"):
        refuse_left_out(model)
    with pytest.raises(CompileError, match=f"it leaves out {said} of the LSTM 'y'"):
        write_out_recurrences(model, tmp_path, importer="it")


def test_a_layer_of_many_steps_is_refused_by_name(tmp_path: Path):
    write_out_recurrences(layer("LSTM"), tmp_path, importer="it", most_steps=9)
    write_out_recurrences(layer("GRU"), tmp_path, importer="it", most_steps=9)
    with pytest.raises(CompileError, match="it has no form of the GRU 'y', and written out it makes 10 steps"):
        write_out_recurrences(layer("GRU", direction="bidirectional"), tmp_path, importer="it", most_steps=9)
    with pytest.raises(CompileError, match="it has no form of the LSTM 'y'"):
        write_out_recurrences(layer("LSTM"), tmp_path, importer="it", has_lstm=False, most_steps=4)
