"""Arithmetic on sizes, sizes told as data, requirements, branches, and graphs of unusual form."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.analysis.domain import Domain
from scaling_tasks.analysis.lengths import as_length, larger, smaller
from tests.analysis.drafts import Draft, assert_exact, session
from tests.analysis.drawing import Draw, requests, thorough


def length_of(draft: Draft, x: str, axis: int) -> str:
    return str(draft.add("Gather", [draft.add("Shape", [x]), draft.constant(axis)]))


def computed(data: Draw, draft: Draft, size: str) -> str:
    """Compute a whole number from a size in one to four steps."""
    number = size
    for _ in range(data.draw(st.integers(1, 4), label="steps")):
        kind = data.draw(
            st.sampled_from(
                ["add", "sub", "mul", "div", "mod", "min", "max", "neg div", "float", "scaled", "where", "clip"]
            ),
            label="step",
        )
        by = draft.constant(data.draw(st.integers(1, 4), label="by"))
        if kind in ("add", "sub", "mul", "div", "mod", "min", "max"):
            name = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "mod": "Mod", "min": "Min", "max": "Max"}
            number = draft.add(name[kind], [number, by])
        elif kind == "neg div":
            number = draft.add("Neg", [draft.add("Div", [draft.add("Neg", [number]), by])])
        elif kind == "float":
            half = draft.add("Div", [draft.add("Cast", [number], to=1), draft.constant(2.0, np.float32)])
            rounding = data.draw(st.sampled_from(["Floor", "Ceil"]), label="rounding")
            number = draft.add("Cast", [draft.add(rounding, [half])], to=7)
        elif kind == "scaled":
            factor = data.draw(st.sampled_from([0.5, 1.5, 0.1, 1.3, 1.7, 0.7]), label="factor")
            number = draft.add("Mul", [draft.add("Cast", [number], to=1), draft.constant(factor, np.float32)])
            number = draft.add("Cast", [draft.add("Floor", [number])], to=7)
        elif kind == "clip":
            ends = [draft.constant(end, np.int64) for end in data.draw(st.sampled_from([(2, 5), (1, 3)]), label="ends")]
            left = data.draw(st.sampled_from([ends, ends[:1], ["", ends[1]]]), label="which")
            number = draft.add("Clip", [number, *left])
        else:
            number = draft.add("Where", [draft.add("Greater", [number, by]), number, by])
    return str(number)


@given(st.data())
@thorough
def test_arithmetic_on_sizes(data: Draw) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    number = computed(data, draft, length_of(draft, x, 2))
    count = draft.add("Max", [number, draft.constant(1)])
    shape = draft.add("Concat", [draft.constant([1]), draft.add("Unsqueeze", [count, draft.constant([0])])], axis=0)
    ones = draft.add("Expand", [draft.constant(1.0, np.float32), shape])
    total = draft.add("ReduceSum", [ones, draft.constant([1])])
    y = draft.add("Add", [draft.add("ReduceMax", [x], axes=[2]), total])
    told = draft.add("Div", [y, draft.add("Add", [draft.add("Cast", [count], to=1), draft.constant(0.5, np.float32)])])
    bucket, rows = requests(data, 1, 40, W=1)
    assert_exact(draft.model(told, ones), bucket, rows, refusable=True, bucket_limits={"W": 300})


@given(st.data())
@thorough
def test_normal_forms_are_the_numbers_they_stand_for(data: Draw) -> None:
    sizes = {"H": data.draw(st.integers(1, 99), label="H"), "W": data.draw(st.integers(1, 99), label="W")}
    length, number = as_length("W"), sizes["W"]
    for _ in range(data.draw(st.integers(1, 6))):
        kind = data.draw(st.sampled_from(["+", "-", "*", "//", "%", "min", "max", "H"]))
        by = data.draw(st.integers(1, 7))
        if kind == "+":
            length, number = length + by, number + by
        elif kind == "-":
            length, number = length - by, number - by
        elif kind == "*":
            length, number = length * by, number * by
        elif kind == "//":
            length, number = length // by, number // by
        elif kind == "%":
            length, number = length % by, number % by
        elif kind == "min":
            length, number = smaller(length, as_length(3 * by)), min(number, 3 * by)
        elif kind == "max":
            length, number = larger(length, as_length("H")), max(number, sizes["H"])
        else:
            length, number = length * as_length("H") + by, number * sizes["H"] + by
    assert length.evaluate(sizes) == number
    assert as_length(length.expression()).evaluate(sizes) == number


def test_domain_claims() -> None:
    domain = Domain({"W": 500, "H": 500})
    assert domain.equal((as_length("W") * 2) // 2, as_length("W"))
    assert not domain.grows(as_length("W") % 3)
    assert domain.grows((as_length("W") + 31) // 32 * 32)
    assert domain.require(as_length("W") % 32, as_length(0))
    assert domain.constant(as_length("W") % 16) == 0
    assert not domain.require(as_length("W") % 2, as_length(1))


def test_lengths_that_fall_where_sizes_that_must_agree_grow_together() -> None:
    domain = Domain(dict.fromkeys("ABC", 500))
    a, b, c = map(as_length, "ABC")
    assert domain.require(b, c)
    assert domain.grows(a * b)
    assert domain.require((a // b) * c, a)
    assert not domain.grows(a // b)


def test_a_shape_of_another_tensor_is_meant_for_the_same_sizes() -> None:
    """As keys are given the batch of queries, and as many heads and channels as are left."""
    draft = Draft(17)
    x, z = (draft.shifted(draft.input(name, dims)) for name, dims in (("x", ["N", "T", 4]), ("z", ["M", "S", "C"])))
    rows, length = (draft.add("Shape", [name], start=at, end=at + 1) for name, at in ((x, 0), (z, 1)))
    shape = draft.add("Concat", [rows, length, draft.constant([2, -1])], axis=0)
    y = draft.add("ReduceSum", [draft.add("Reshape", [z, shape]), draft.constant([3])])
    model = draft.model(draft.add("Identity", [x]), y)
    assert ("M", "N") in analyse_model(model).behaviour.requirements
    assert_exact(model, dict.fromkeys("NMTS", 9) | {"C": 8}, [{"N": 3, "M": 3, "T": 4, "S": 5, "C": 6}])


def test_limits_of_a_model_are_found_beyond_usual_sizes() -> None:
    """A slice up to position 5,000 is no whole axis, although it is at all sizes below."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    y = draft.add("Slice", [x, draft.constant([0]), draft.constant([5000]), draft.constant([2])])
    model = draft.model(draft.add("ReduceSum", [y, draft.constant([2])]))
    assert_exact(model, {"N": 2, "W": 9000}, [{"N": 1, "W": 7000}, {"N": 1, "W": 3000}])


def test_requirements_are_those_of_the_original() -> None:
    """What the analysis requires, the original needs: at other sizes it does not run."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", [1, 2, "H", "W"]))
    deep = draft.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    up = draft.add("Resize", [deep, "", draft.constant([1.0, 1.0, 2.0, 2.0], np.float32)], mode="nearest")
    model = draft.model(draft.add("Add", [x, up]))
    behaviour = analyse_model(model).behaviour
    runner = session(model)
    for height in range(2, 9):
        for width in range(2, 9):
            content = np.ones((1, 2, height, width), np.float32)
            try:
                runner.run(None, {"x": content})
                runs = True
            except Exception:
                runs = False
            assert behaviour.runs_at({"H": height, "W": width}) == runs


@pytest.mark.parametrize("fixed", [8000, 16000])
def test_branch_of_a_fixed_input(fixed: int) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "W"]))
    rate = draft.input("rate", [], np.int64)
    asked = draft.add("Equal", [rate, draft.constant(16000)])
    branches = []
    for name, kind in (("then", "ReduceSum"), ("else", "ReduceMax")):
        parts = [x, "axes"] if kind == "ReduceSum" else [x]
        node = helper.make_node(kind, parts, [name], **({} if kind == "ReduceSum" else {"axes": [1]}))
        value = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        constant = onnx.numpy_helper.from_array(np.array([1]), "axes")
        branches.append(helper.make_graph([node], name, [], [value], [constant] if kind == "ReduceSum" else []))
    y = draft.add("If", [asked], then_branch=branches[0], else_branch=branches[1])
    model = draft.model(y)
    analysis = analyse_model(model, fixed_inputs={"rate": fixed})
    assert not analysis.behaviour.refusals
    assert analysis.behaviour.rows == "N"


def test_branch_that_the_size_decides_is_followed() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "W"]))
    asked = draft.add("Greater", [length_of(draft, x, 1), draft.constant(16)])
    branches = [
        helper.make_graph(
            [helper.make_node(kind, [x], [kind])],
            kind,
            [],
            [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)],
        )
        for kind in ("Relu", "Tanh")
    ]
    y = draft.add("If", [asked], then_branch=branches[0], else_branch=branches[1])
    for width in (16, 17):
        rows = [{"N": 1, "W": width}] * 2
        assert_exact(draft.model(draft.add("ReduceSum", [y, draft.constant([1])])), {"N": 2, "W": 20}, rows)


def test_outputs_that_are_inputs_constants_and_sizes() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", "W"])
    constant = draft.constant([1.0, 2.0], np.float32)
    same = draft.add("Identity", [x])
    size = draft.add("Shape", [x])
    fixed = draft.add("Identity", [constant])
    assert_exact(draft.model(same, size, fixed), {"N": 3, "W": 6}, [{"N": 2, "W": 4}])


def test_output_that_others_use_is_the_one_before_cleaning() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    y = draft.add("Conv", [x, draft.weights(2, 2, 3)], pads=[1, 1])
    assert_exact(draft.model(x, y), {"N": 2, "W": 8}, [{"N": 1, "W": 4}, {"N": 1, "W": 7}])


def test_initialisers_listed_as_inputs_and_scalars() -> None:
    draft = Draft(17)
    x, scale = draft.input("x", ["N", "W"]), draft.input("scale", [])
    y = draft.add("Softmax", [draft.add("Mul", [draft.shifted(x), scale])], axis=1)
    model = draft.model(y)
    for constant in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(constant.name, constant.data_type, list(constant.dims)))
    analysis = assert_exact(model, {"N": 2, "W": 8}, [{"N": 2, "W": 5}])
    assert analysis.behaviour.rows is None


def test_one_variable_twice_in_an_input() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "W", "W"]))
    y = draft.add("MatMul", [x, draft.add("Softmax", [x], axis=1)])
    assert_exact(draft.model(y), {"N": 2, "W": 8}, [{"N": 1, "W": 5}, {"N": 1, "W": 3}])


def test_inputs_of_two_sizes_that_must_agree() -> None:
    draft = Draft(17)
    x, z = draft.input("x", ["N", "A"]), draft.input("z", ["N", "B"])
    y = draft.add("Softmax", [draft.add("Add", [draft.shifted(x), z])], axis=1)
    analysis = assert_exact(draft.model(y), {"N": 2, "A": 8, "B": 8}, [{"N": 1, "A": 5, "B": 5}])
    assert analysis.behaviour.requirements


def decoder(draft: Draft) -> Any:
    """One attention layer with a key-value cache; keys of the past come first."""
    x = draft.shifted(draft.input("x", ["N", "new", 4]))
    past = draft.input("past", ["N", "past", 4])
    keys = draft.add("Concat", [past, draft.add("MatMul", [x, draft.weights(4, 4)])], axis=1)
    scores = draft.add("MatMul", [x, draft.add("Transpose", [keys], perm=[0, 2, 1])])
    first, count = length_of(draft, past, 1), length_of(draft, keys, 1)
    places = draft.add("Range", [draft.constant(0), count, draft.constant(1)])
    own = draft.add("Range", [first, count, draft.constant(1)])
    seen = draft.add("LessOrEqual", [places, draft.add("Unsqueeze", [own, draft.constant([1])])])
    scores = draft.add("Where", [seen, scores, draft.constant(-np.inf, np.float32)])
    return draft.add("MatMul", [draft.add("Softmax", [scores], axis=-1), keys]), keys


@pytest.mark.parametrize("past", [0, 1, 5])
def test_decoder_with_a_cache(past: int) -> None:
    draft = Draft(17)
    model = draft.model(*decoder(draft))
    rows = [{"N": 1, "new": 3, "past": past}] * 2
    assert_exact(model, {"N": 2, "new": 4, "past": 9}, rows, least_sizes={"past": 0})


def test_blocks_cut_out_of_axes_beside_a_length_left_open_are_whole_ones() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 3, "H", "W"]))
    shape = draft.add("Shape", [x])
    halves = [
        draft.add(
            "Div", [draft.add("Slice", [shape, draft.constant([at]), draft.constant([at + 1])]), draft.constant([2])]
        )
        for at in (2, 3)
    ]
    one = [draft.constant([number]) for number in (-1, 3, 2)]
    blocks = draft.add("Concat", [one[0], one[1], halves[0], one[2], halves[1], one[2]], axis=0)
    turned = draft.add("Transpose", [draft.add("Reshape", [x, blocks])], perm=[0, 1, 3, 5, 2, 4])
    y = draft.add("Reshape", [turned, draft.add("Concat", [one[0], draft.constant([12]), *halves], axis=0)])
    analysis = assert_exact(
        draft.model(y), {"N": 2, "H": 8, "W": 6}, [{"N": 1, "H": 4, "W": 6}, {"N": 1, "H": 8, "W": 2}]
    )
    assert analysis.behaviour.rows == "N"


def test_padding_that_a_convolution_of_stride_two_lacks_as_tensorflow_pads() -> None:
    draft = Draft(17)
    x = draft.input("x", ["N", 2, "W"])
    size = draft.add("Cast", [length_of(draft, x, 2)], to=1)
    one, two, zero = (draft.constant(number, np.float32) for number in (1.0, 2.0, 0.0))
    steps = draft.add("Sub", [draft.add("Ceil", [draft.add("Div", [size, two])]), one])
    needed = draft.add(
        "Sub", [draft.add("Add", [draft.add("Mul", [steps, two]), draft.constant(3.0, np.float32)]), size]
    )
    total = draft.add("Cast", [draft.add("Clip", [needed, zero])], to=7)
    before = draft.add("Div", [total, draft.constant(2)])
    ends = [draft.add("Unsqueeze", [each, draft.constant([0])]) for each in (before, draft.add("Sub", [total, before]))]
    none = draft.constant([0, 0])
    x = draft.add("Pad", [draft.shifted(x), draft.add("Concat", [none, ends[0], none, ends[1]], axis=0)])
    y = draft.add("Conv", [x, draft.weights(3, 2, 3)], strides=[2])
    for width in (7, 8):
        assert_exact(draft.model(y), {"N": 2, "W": 12}, [{"N": 1, "W": width}])


def test_a_square_of_a_size() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W", "W"]))
    square = draft.add("Pow", [length_of(draft, x, 3), draft.constant(2)])
    shape = draft.add("Concat", [draft.constant([0, 2]), draft.add("Reshape", [square, draft.constant([-1])])], axis=0)
    y = draft.add("Softmax", [draft.add("Reshape", [x, shape])], axis=2)
    assert_exact(draft.model(y), {"N": 2, "W": 6}, [{"N": 1, "W": 4}])


def test_repetitions_chosen_by_one_hot_numbers() -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 3]))
    values = draft.add("Concat", [draft.constant([1]), draft.add("Shape", [x], start=1, end=2)], axis=0)
    chosen = draft.add("OneHot", [draft.constant([-1]), draft.constant(3), values], axis=-1)
    y = draft.add(
        "Tile", [draft.add("ReduceMean", [x], axes=[2]), draft.add("Reshape", [chosen, draft.constant([-1])])]
    )
    assert_exact(draft.model(y), {"N": 2, "T": 9}, [{"N": 1, "T": 4}, {"N": 1, "T": 7}])


def test_what_data_requires_of_itself_is_no_requirement_of_sizes() -> None:
    draft = Draft(17)
    x = draft.input("x", ["T", 3])
    high = draft.add("Greater", [draft.add("ReduceMax", [x], axes=[1], keepdims=0), draft.constant(-9.0, np.float32)])
    parts = [draft.add("Compress", [each, high], axis=0) for each in (x, draft.shifted(x))]
    analysis = analyse_model(draft.model(draft.add("Add", parts)))
    assert not analysis.behaviour.refusals
    assert analysis.behaviour.runs_at({"T": 4})


@pytest.mark.parametrize("kind", ["Concat", "Mul", "Max"])
def test_sizes_that_double_again_and_again_end_in_a_refusal(kind: str):
    """Forty nodes of a forged model, each of which uses the one before twice, would take 2^40 words to tell."""
    make = onnx.helper.make_node
    nodes = [make("Shape", ["x"], ["sizes"]), make("Gather", ["sizes", "first"], ["now0"])]
    for turn in range(40):
        now, after = f"now{turn}", f"now{turn + 1}"
        if kind == "Concat":
            nodes.append(make("Concat", [now if turn else "x"] * 2, [after], axis=0))
        else:
            nodes += [make("Add", [now, "now0"], [f"more{turn}"]), make(kind, [f"more{turn}", now], [after])]
    last = nodes[-1].output[0]
    if kind == "Concat":
        nodes.append(make("Identity", [last], ["y"]))
    else:
        nodes += [make("Reshape", [last, "one"], ["shape"]), make("ConstantOfShape", ["shape"], ["y"])]
    weights = {"first": np.array(0), "one": np.array([1])}
    graph = onnx.helper.make_graph(
        nodes,
        "doubling",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["L"])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (verdict,) = analyse_model(model).behaviour.verdicts
    assert verdict.kind == "refused"
    assert "words" in verdict.reason or "pieces" in verdict.reason


def test_a_size_that_is_written_into_a_shape() -> None:
    """Torch's older exporter writes the shape of what ``index_copy`` expands so."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    shape = draft.add("Shape", [x])
    half = draft.add("Div", [draft.add("Slice", [shape, *map(draft.constant, ([2], [3]))]), draft.constant([2])])
    more = draft.add("Add", [half, draft.constant([1])])
    written = draft.add("ScatterElements", [shape, draft.constant([2]), more], axis=0)
    y = draft.add("Expand", [draft.add("ReduceMax", [x], axes=[2]), written])
    assert_exact(draft.model(y), {"N": 2, "W": 9}, [{"N": 1, "W": 4}, {"N": 1, "W": 7}])


@pytest.mark.parametrize("block", [2, 3])
def test_what_is_added_to_fill_blocks_is_cut_off_where_there_is_any(block: int) -> None:
    """TensorFlow's exporter counts what is cut from the end, or goes to the end where that is nothing."""
    draft = Draft()
    x = draft.shifted(draft.input("x", ["N", 2, "W"]))
    size, whole = draft.add("Slice", [draft.add("Shape", [x]), draft.constant([2]), draft.constant([3])]), [block]
    rest = draft.add("Mod", [draft.add("Neg", [size]), draft.constant(whole)])
    padded = draft.add("Pad", [x, draft.add("Concat", [draft.constant([0] * 5), rest], axis=0)])
    blocks = draft.add("Reshape", [padded, draft.constant([0, 2, -1, block])])
    blocks = draft.add("Reshape", [draft.add("Sigmoid", [blocks]), draft.constant([0, 2, -1])])
    none = draft.add("Equal", [rest, draft.constant([0])])
    far = draft.add("Mul", [draft.constant([2**31 - 1]), draft.add("Cast", [none], to=7)])
    back = draft.add("Mul", [rest, draft.add("Neg", [draft.add("Cast", [draft.add("Not", [none])], to=7)])])
    y = draft.add("Slice", [blocks, draft.constant([0]), draft.add("Add", [far, back]), draft.constant([2])])
    y = draft.add("Conv", [draft.add("Add", [y, x]), draft.weights(3, 2, 3)], pads=[1, 1])
    scaled = draft.add("Mul", [x, draft.add("Cast", [draft.add("Cast", [none], to=7)], to=1)])
    for width in range(5, 9):
        assert_exact(draft.model(y), {"N": 2, "W": 10}, [{"N": 1, "W": width}, {"N": 1, "W": width}])
        assert_exact(draft.model(scaled), {"N": 2, "W": 10}, [{"N": 1, "W": width}])
