"""Cost models: FLOPs against an independent counter, latencies completed without ever falling."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.errors import PlanError
from scaling_tasks.onnx_model.flops import FlopsCost
from scaling_tasks.onnx_model.operators import count_operations
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.onnx_model.tensor_shapes import ShapeOracle
from scaling_tasks.planning.api import plan_buckets, plan_statistics
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.planning.measured import MeasuredCost
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import name_dimensions

# Multiply-adds with one more per output element for a bias, as counted by onnx-tool 1.0.1 (Conv, MatMul). Its
# transposed convolutions count every kernel tap at every output; there (stride = kernel) one tap in four meets an
# input.
INDEPENDENT = {
    "ch_PP-OCRv4_det_infer.onnx": ({"N": 1, "H": 320, "W": 448}, {"Conv": 787363304, "ConvTranspose": 24084480}),
    "ch_PP-OCRv4_rec_infer.onnx": ({"N": 2, "H": 48, "W": 320}, {"Conv": 1332109320, "MatMul": 83568000}),
    "ch_ppocr_mobile_v2.0_cls_infer.onnx": ({"N": 1, "H": 48, "W": 192}, {"Conv": 16314976, "MatMul": 400}),
}


@pytest.mark.parametrize("name", INDEPENDENT)
def test_multiply_adds_equal_an_independent_count(ocr_models: Path, name: str):
    values, expected = INDEPENDENT[name]
    oracle = ShapeOracle(ocr_models / name, read_signature(ocr_models / name).inputs)
    shapes = oracle.shapes(values)
    counted = dict.fromkeys(expected, 0.0)
    for node in oracle.nodes:
        if node.op_type in expected:
            inputs, outputs = [shapes[name] for name in node.input], [shapes[name] for name in node.output]
            counted[node.op_type] += count_operations(node.op_type, inputs[:2], outputs, {}) / 2
            if len(inputs) > 2 and node.op_type == "Conv":
                counted[node.op_type] += np.prod(outputs[0])
    assert counted == expected


def test_operations_of_many_shapes_equal_those_of_each_alone(ocr_models: Path):
    path = ocr_models / "ch_PP-OCRv4_rec_infer.onnx"
    signature = read_signature(path, {"x": [-1, 3, 48, -1]}).inputs
    shapes = np.asarray(list(itertools.product([1, 3, 8], [64, 200, 321])))
    together = FlopsCost.from_model(path, signature)(shapes)
    alone = [float(FlopsCost.from_model(path, signature)(row[None, :])[0]) for row in shapes]
    assert together.tolist() == pytest.approx(alone, rel=1e-12)
    # Twice the batch is twice the work.
    assert FlopsCost(path, signature)(np.array([[1, 64], [2, 64]])).tolist() == pytest.approx([alone[0], 2 * alone[0]])


def _attention_model(path: Path) -> Path:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "t"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["soft"], axis=-1),
        helper.make_node("MatMul", ["soft", "x"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "attention",
        [value("x", TensorProto.FLOAT, [1, "L", 16])],
        [value("y", TensorProto.FLOAT, [1, "L", 16])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_attention_grows_with_the_square_and_the_plan_follows(tmp_path: Path):
    path = _attention_model(tmp_path / "attention.onnx")
    cost = FlopsCost.from_model(path, read_signature(path).inputs)
    lengths = np.array([[1], [10], [100]])
    assert cost(lengths).tolist() == [4 * 16 * n * n + 5 * n * n for n in (1, 10, 100)]
    histogram = ShapeHistogram.from_samples(np.arange(1, 200), variables=("L",))
    flops, elements = (plan_buckets(histogram, max_buckets=4, cost=model) for model in (cost, "elements"))
    assert flops.buckets.tolist() != elements.buckets.tolist()
    assert flops.cost["kind"] == "flops"
    assert flops.padding_ratio == pytest.approx(flops.lower_bound)


def test_a_target_may_count_flops_or_read_latencies(tmp_path: Path):
    path = _attention_model(tmp_path / "attention.onnx")
    signature = read_signature(path).inputs
    statistics = DatasetStatistics(ShapeHistogram.from_samples(np.arange(1, 90), variables=("L",)))
    plan = plan_statistics(statistics, signature, AutoScalingSpec(cost="flops", interval=1, folds=0), model=path)
    assert plan.cost["kind"] == "flops"
    with pytest.raises(PlanError, match="model"):
        plan_statistics(statistics, signature, AutoScalingSpec(cost="flops"))
    with pytest.raises(PlanError, match="table"):
        plan_statistics(statistics, signature, AutoScalingSpec(cost="measured"))
    table = tmp_path / "latencies.json"
    table.write_text(LatencyTable(("L",), "openvino", 1, {(10,): 0.01, (50,): 0.02}).to_json())
    spec = AutoScalingSpec(cost="measured", latency_table=str(table), folds=0)
    measured = plan_statistics(statistics, signature, spec)
    again = BucketPlan.from_json(measured.to_json())
    assert again.evaluate(statistics.histogram).padding_ratio == measured.padding_ratio
    with pytest.raises(PlanError, match="over"):
        plan_statistics(statistics, name_dimensions({"x": [1, "M"]}), spec)


def test_operations_that_cannot_be_counted_are_told_in_a_sentence(tmp_path: Path):
    """The whole error was printed as Python has it, with what to do inside."""
    node = helper.make_node("NonZero", ["x"], ["y"])
    ends = [
        helper.make_tensor_value_info(name, kind, dims)
        for name, kind, dims in (("x", TensorProto.FLOAT, ["length"]), ("y", TensorProto.INT64, [1, "found"]))
    ]
    more = helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT)
    last = helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, "found"])
    graph = helper.make_graph([node, more], "found", ends[:1], [last], value_info=ends[1:])
    path = tmp_path / "found.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    hist = ShapeHistogram.from_samples([[3], [9]], variables=("length",))
    said = r"found\.onnx: shapes cannot be inferred at .* depends on data\)\. Use `cost: elements` or `measured`\.$"
    with pytest.raises(PlanError, match=said):
        plan_buckets(hist, max_buckets=1, interval=1, cost=FlopsCost.from_model(path, read_signature(path).inputs))


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf"), 5e-324, 1e300])
def test_a_latency_that_none_can_be_is_refused(seconds):
    with pytest.raises(PlanError, match="latencies from 1e-12 to"):
        MeasuredCost(("N", "W"), [[1, 8], [1, 16]], [0.1, seconds])


tables = st.lists(st.tuples(st.integers(1, 16), st.integers(1, 300), st.floats(1e-4, 10)), min_size=1, max_size=12)


@settings(max_examples=100, deadline=None)
@given(tables, st.integers(0, 2**32 - 1))
def test_completed_latencies_never_fall_and_never_exceed_what_was_measured(rows, seed):
    cost = MeasuredCost(("N", "W"), [row[:2] for row in rows], [row[2] for row in rows])
    shapes = np.random.default_rng(seed).integers(1, 400, (60, 2))
    larger = shapes + np.random.default_rng(seed + 1).integers(0, 100, (60, 2))
    assert (cost(shapes) <= cost(larger) * (1 + 1e-12)).all()
    assert (cost(shapes) >= 0).all()
    for batch, width, seconds in rows:
        dominating = min(s for n, w, s in rows if n >= batch and w >= width)
        assert cost(np.array([[batch, width]]))[0] == pytest.approx(dominating)
        assert dominating <= seconds


def test_a_linear_machine_is_recovered_from_few_measurements():
    def truth(shapes):
        return 0.002 + 1e-6 * shapes[:, 0] * shapes[:, 1] + 1e-4 * shapes[:, 0]

    measured = np.array([[1, 64], [1, 640], [8, 64], [8, 640], [16, 320]])
    cost = MeasuredCost(("N", "W"), measured, truth(measured))
    others = np.array([[2, 128], [4, 333], [16, 1000], [32, 640]])
    assert cost(others) == pytest.approx(truth(others), rel=1e-6)


@pytest.mark.parametrize(
    ("shapes", "seconds"), [([], []), ([[1, 2]], [0.0]), ([[1, 2]], [np.nan]), ([[1, 2]], [1, 2]), ([[0, 2]], [1])]
)
def test_bad_latency_tables_are_refused(shapes, seconds):
    with pytest.raises(PlanError, match="latenc"):
        MeasuredCost(("N", "W"), shapes, seconds)


@pytest.mark.parametrize(
    ("operator", "inputs", "outputs", "attributes", "expected"),
    [
        ("Conv", [(2, 8, 10, 10), (16, 4, 3, 3)], [(2, 16, 10, 10)], {"group": 2}, 2 * 2 * 16 * 100 * 36),
        ("Gemm", [(7, 5), (5, 3), (3,)], [(7, 3)], {}, 7 * 3 * (2 * 5 + 1)),
        ("Gemm", [(5, 7), (5, 3)], [(7, 3)], {"transA": 1}, 7 * 3 * 2 * 5),
        ("MatMul", [(4, 6, 5), (5, 3)], [(4, 6, 3)], {}, 2 * 4 * 6 * 3 * 5),
        # Two heads of depth 3: scores 6 x 9, softmax at five per score, then values of depth 4.
        ("Attention", [(1, 2, 6, 3), (1, 2, 9, 3), (1, 2, 9, 4)], [(1, 2, 6, 4)], {}, 2 * 54 * (2 * 3 + 5 + 2 * 4)),
        (
            "Attention",
            [(1, 6, 6), (1, 9, 6), (1, 9, 8)],
            [(1, 6, 8)],
            {"q_num_heads": 2, "kv_num_heads": 2},
            2 * 54 * (2 * 3 + 5 + 2 * 4),
        ),
        ("LSTM", [(10, 2, 4), (1, 12, 4), (1, 12, 3)], [(10, 1, 2, 3)], {}, 20 * (8 * 3 * (4 + 3) + 30)),
        ("Reshape", [(10, 2)], [(20,)], {}, 0),
        ("Relu", [(10, 2)], [(10, 2)], {}, 20),
    ],
)
def test_operations_of_single_operators(operator, inputs, outputs, attributes, expected):
    assert count_operations(operator, inputs, outputs, attributes) == expected
