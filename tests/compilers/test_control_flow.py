"""Loops and branches written out: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.compilers.control_flow import choose_between_branches, write_out_loops
from scaling_tasks.compilers.ended_loops import write_out_ended_loops
from scaling_tasks.errors import CompileError
from tests.compilers.compiled import answer, compiled

FLAG, NUMBER, ROW = (TensorProto.BOOL, []), (TensorProto.INT64, []), (TensorProto.FLOAT, [3, 4])
ONE = (TensorProto.FLOAT, [])
FEEDS = {"x": np.random.default_rng(3).normal(0, 1, (5, 3, 4)).astype(np.float32)}


def body(text: str, inputs: dict[str, tuple], outputs: dict[str, tuple], **constants: object) -> onnx.GraphProto:
    """Return a graph that stands within a node."""
    parsed = onnx.parser.parse_graph(f"g (float[1] unused) => (float[1] none) {{ {text} }}")
    return helper.make_graph(
        list(parsed.node),
        "body",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )


def model(nodes: list[onnx.NodeProto], outputs: list[str], opset: int = 17, **constants: object) -> onnx.ModelProto:
    """Return a model of ``x``, ``[5, 3, 4]``."""
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 3, 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def looped(most: object = 5, opset: int = 17) -> onnx.ModelProto:
    """Return a loop with a state, what each turn gives, a constant of its own and a tensor from around it."""
    turn = body(
        "row = Gather <axis = 0> (x, at)  less = Mul (state, share)  new = Add (less, row)  seen = Identity (new) "
        "go = Identity (going)",
        {"at": NUMBER, "going": FLAG, "state": ROW},
        {"go": FLAG, "new": ROW, "seen": ROW},
        share=np.float32(0.5),
    )
    nodes = [helper.make_node("Loop", ["most", "", "start"], ["last", "rows"], body=turn)]
    return model(nodes, ["last", "rows"], opset, most=np.int64(most), start=np.ones((3, 4), np.float32))


def counted() -> onnx.ModelProto:
    """Return a loop whose condition is a count, and within it another."""
    inner = body(
        "more = Mul (held, twice)  on = Identity (ongoing)",
        {"n": NUMBER, "ongoing": FLAG, "held": ROW},
        {"on": FLAG, "more": ROW},
        twice=np.float32(1.5),
    )
    turn = body(
        "next = Add (count, one)  go = Less (next, limit)  row = Gather <axis = 0> (x, count)  new = Sub (row, state)",
        {"at": NUMBER, "going": FLAG, "count": NUMBER, "state": ROW},
        {"go": FLAG, "next": NUMBER, "grown": ROW},
        one=np.int64(1),
        limit=np.int64(4),
    )
    turn.node.append(helper.make_node("Loop", ["two", "", "new"], ["grown"], body=inner))
    nodes = [
        helper.make_node("Loop", ["", "true", "zero", "start"], ["count_of_turns", "last"], body=turn),
        helper.make_node("Relu", ["last"], ["y"]),
    ]
    constants = {"two": np.int64(2), "true": np.array(True), "zero": np.int64(0)}
    return model(nodes, ["y"], start=np.ones((3, 4), np.float32), **constants)


def halved() -> onnx.ModelProto:
    """Return a loop that its data ends, and a number ends at the latest."""
    turn = body(
        "new = Mul (state, half)  peak = ReduceMax <keepdims = 0> (new)  go = Greater (peak, limit)",
        {"at": NUMBER, "going": FLAG, "state": ROW},
        {"go": FLAG, "new": ROW},
        half=np.float32(0.5),
        limit=np.float32(0.1),
    )
    nodes = [
        helper.make_node("Gather", ["x", "zero"], ["start"]),
        helper.make_node("Loop", ["most", "", "start"], ["y"], body=turn),
    ]
    return model(nodes, ["y"], zero=np.int64(0), most=np.int64(9))


def told(*, cleaned: bool = True) -> onnx.ModelProto:
    """Return a loop of as many turns as an input says, whose rows are padded to as many as there can be."""
    turn = body(
        "row = Gather <axis = 0> (x, at)  new = Add (state, row)  seen = Neg (new)  go = Identity (going)",
        {"at": NUMBER, "going": FLAG, "state": ROW},
        {"go": FLAG, "new": ROW, "seen": ROW},
    )
    nodes = [
        helper.make_node("Squeeze", ["turns", "front"], ["most"]),
        helper.make_node("Loop", ["most", "", "start"], ["last", "seen_rows"], body=turn),
        helper.make_node("Shape", ["seen_rows"], ["shape"]),
        helper.make_node("Slice", ["shape", "front", "one"], ["made"]),
        helper.make_node("Sub", ["all", "made"], ["missing"]),
        helper.make_node("Concat", ["nothing", "missing", "rest"], ["pads"], axis=0),
        helper.make_node("Pad", ["seen_rows", "pads"], ["rows"]),
        helper.make_node("Cast", ["made"], ["count"], to=TensorProto.FLOAT),
    ]
    constants = {"front": np.array([0]), "one": np.array([1]), "all": np.array([5]), "rest": np.array([0, 0])}
    constants |= {"start": np.ones((3, 4), np.float32), "nothing": np.array([0, 0, 0])}
    result = model(nodes[: 7 if cleaned else 8], ["last", "rows"] if cleaned else ["last", "count"], **constants)
    result.graph.input.append(helper.make_tensor_value_info("turns", TensorProto.INT64, [1]))
    return result


def scanned(**attributes: list[int]) -> onnx.ModelProto:
    """Return a scan over steps with a state, and over the last axis where the attributes say so."""
    steps = attributes.get("scan_input_axes", [0])[0]
    row = (TensorProto.FLOAT, [[3, 4], None, [5, 3]][steps])
    turn = body("new = Add (state, row)  seen = Tanh (new)", {"state": row, "row": row}, {"new": row, "seen": row})
    nodes = [helper.make_node("Scan", ["start", "x"], ["last", "rows"], body=turn, num_scan_inputs=1, **attributes)]
    return model(nodes, ["last", "rows"], start=np.ones(row[1], np.float32))


def single(*, most: object = None, ends: bool = False) -> onnx.ModelProto:
    """Return a loop whose number of turns and condition have a dimension, with states that have none; one is a truth.

    It takes as many turns as an input says, or ends after ``most`` of them, or where data says so.
    """
    one = [1]
    going = "go = Not (large)" if ends else "go = Identity (going)"
    turn = body(
        f"row = Gather <axis = 0> (x, at)  peak = ReduceMax <keepdims = 0> (row)  new = Add (state, peak)  "
        f"large = Greater (peak, limit)  {going}  was = Squeeze (large)  seen = Or (found, was)",
        {"at": (TensorProto.INT64, one), "going": (TensorProto.BOOL, one), "state": ONE, "found": FLAG},
        {"go": (TensorProto.BOOL, one), "new": ONE, "seen": FLAG},
        limit=np.array([1.5], np.float32),
    )
    nodes = [
        helper.make_node("Loop", ["turns", "", "start", "no"], ["y", "found"], body=turn),
        helper.make_node("Cast", ["found"], ["z"], to=TensorProto.FLOAT),
    ]
    constants = {"start": np.float32(0), "no": np.array(False)}
    if most is not None:
        return model(nodes, ["y", "z"], turns=np.array(most), **constants)
    result = model(nodes, ["y", "z"], **constants)
    result.graph.input.append(helper.make_tensor_value_info("turns", TensorProto.INT64, one))
    return result


def branched_once() -> onnx.ModelProto:
    """Return a choice between numbers and truths without dimensions, by a truth that has one."""
    sides = {
        name: body(
            f"most = {kind} <keepdims = 0> (x)  large = Greater (most, limit)",
            {},
            {"most": ONE, "large": FLAG},
            limit=np.float32(1),
        )
        for name, kind in (("then_branch", "ReduceMax"), ("else_branch", "ReduceMin"))
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["whole"], keepdims=0),
        helper.make_node("Greater", ["whole", "limit"], ["where"]),
        helper.make_node("If", ["where"], ["y", "large"], **sides),
        helper.make_node("Cast", ["large"], ["z"], to=TensorProto.FLOAT),
    ]
    return model(nodes, ["y", "z"], limit=np.array([1], np.float32))


def branched() -> onnx.ModelProto:
    """Return a choice by the data between branches that share a name, each with a constant."""
    sides = {
        name: body("same = Mul (x, factor)", {}, {"same": (TensorProto.FLOAT, [5, 3, 4])}, factor=np.float32(factor))
        for name, factor in (("then_branch", 2), ("else_branch", -3))
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["large"]),
        helper.make_node("If", ["large"], ["y"], **sides),
    ]
    return model(nodes, ["y"], limit=np.float32(1))


MODELS = {
    "looped": looped(),
    "looped, old": looped(opset=11),
    "counted": counted(),
    "scanned": scanned(),
    "scanned backwards": scanned(
        scan_input_axes=[2], scan_input_directions=[1], scan_output_axes=[1], scan_output_directions=[1]
    ),
    "branched": branched(),
    "branched by a list": branched_once(),
    "single": single(most=[3]),
    "single, ended by data": single(most=5, ends=True),
    "single, ended by a size": single(),
    "ended by data": halved(),
    "ended by a size": told(),
}


def requests(proto: onnx.ModelProto) -> list[dict[str, np.ndarray]]:
    """Return what models are asked: with and without a number above 0, and for fewer turns than there can be."""
    found: list[dict[str, np.ndarray]] = [{"x": sign * np.abs(FEEDS["x"])} for sign in (1, -1)]
    if len(proto.graph.input) > 1:
        found = [{**FEEDS, "turns": np.array([turns])} for turns in (1, 3, 5)]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_they_are_alike_under_onnxruntime(name: str, tmp_path: Path):
    proto = onnx.ModelProto()
    proto.CopyFrom(MODELS[name])
    while (
        write_out_loops(proto, tmp_path, importer="It")
        or write_out_ended_loops(proto, tmp_path, most_nodes=500)
        or choose_between_branches(proto)
    ):
        assert onnx.shape_inference.infer_shapes(proto, strict_mode=True)
    assert not {"If", "Loop", "Scan"} & {node.op_type for node in proto.graph.node}
    for feeds in requests(proto):
        for key, value in answer(MODELS[name], feeds).items():
            np.testing.assert_allclose(answer(proto, feeds)[key], value, rtol=1e-6, strict=True)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", ["lite", "nncase"])
def test_they_compile(backend: str, name: str, tmp_path: Path):
    with compiled(backend, MODELS[name], requests(MODELS[name])[0], tmp_path) as engine:
        for feeds in requests(MODELS[name]):
            found = engine.run(feeds)
            for key, value in answer(MODELS[name], feeds).items():
                np.testing.assert_allclose(found[key], value, atol=5e-6, err_msg=key, strict=True)


def test_loops_of_which_no_last_turn_is_known_are_left(tmp_path: Path):
    assert not write_out_loops(halved(), tmp_path, importer="It")
    endless = halved()
    endless.graph.node[1].input[0] = ""
    assert not write_out_ended_loops(endless, tmp_path, most_nodes=500)
    assert not write_out_ended_loops(halved(), tmp_path, most_nodes=20)


def test_a_loop_that_only_hands_on_what_it_was_given_is_left(tmp_path: Path):
    """It has no nodes to count."""
    turn = body("", {"n": NUMBER, "go": FLAG, "one": ROW, "other": ROW}, {"go": FLAG, "other": ROW, "one": ROW})
    proto = model([helper.make_node("Loop", ["most", "", "a", "b"], ["y", "z"], body=turn)], ["y", "z"])
    proto.graph.input.append(helper.make_tensor_value_info("most", *NUMBER))
    proto.graph.input.extend(helper.make_tensor_value_info(name, *ROW) for name in "ab")
    assert not write_out_ended_loops(proto, tmp_path, most_nodes=500)


def test_rows_whose_number_shows_elsewhere_are_left(tmp_path: Path):
    assert not write_out_ended_loops(told(cleaned=False), tmp_path, most_nodes=500)


def test_branches_of_other_shapes_are_left():
    sides = {
        name: body(f"{name} = Transpose <perm = {perm}> (x)", {}, {name: (TensorProto.FLOAT, None)})
        for name, perm in (("then_branch", [0, 1, 2]), ("else_branch", [2, 1, 0]))
    }
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Greater", ["most", "limit"], ["large"]),
        helper.make_node("If", ["large"], ["y"], **sides),
    ]
    assert not choose_between_branches(model(nodes, ["y"], limit=np.float32(1)))


def test_too_many_turns_are_refused(tmp_path: Path):
    with pytest.raises(CompileError, match="It has no Loop, and the 5 turns of 'last' written out make 25 nodes"):
        write_out_loops(looped(), tmp_path, importer="It", most_nodes=20)
