"""Lengths that data decides, built for formats in which every tensor has one shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

import scaling_tasks as st
from scaling_tasks.compilers.nncase import NncaseBackend
from scaling_tasks.errors import CompileError, RequestError
from tests.exactness.conftest import Build
from tests.exactness.test_seen_cases import CHOSEN, chosen_beside_padded, numbers, parsed

COMPILE: Mapping[str, Mapping[str, Any]] = {
    "lite": {"backend": "lite", "device": "cpu"},
    "nncase": {"backend": "nncase", "options": {"target": "cpu"}},
}


@pytest.fixture(params=COMPILE)
def section(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Return a ``compile`` section of a backend that is installed."""
    if request.param == "lite":
        request.getfixturevalue("lite_python")
        return COMPILE["lite"]
    try:
        NncaseBackend().identity(COMPILE["nncase"])
    except CompileError as error:
        pytest.skip(str(error))
    return COMPILE["nncase"]


def longest(outcome: Any) -> list[Any]:
    manifest = json.loads((outcome.root / "build/net/manifest.json").read_text())
    return [artefact["longest"] for artefact in manifest["artefacts"]]


def detector(images: int, classes: int) -> onnx.ModelProto:
    """Boxes that are kept, and the mean of what they are: it has to know how many those are."""
    model = parsed(f"""g (float[{images},B,4] boxes, float[{images},{classes},B] scores) => (int64[K,3] y, float[3] z)
        <int64 most = {{4}}, float overlap = {{0.4}}, float least = {{0.3}}, int64[1] rows = {{0}}> {{
        y = NonMaxSuppression(boxes, scores, most, overlap, least)
        f = Cast <to = 1> (y)
        z = ReduceSum <keepdims = 0> (f, rows)
    }}""")
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize(("images", "classes"), [(1, 1), (2, 3)])
def test_boxes_that_are_kept(build: Build, section: Mapping[str, Any], images: int, classes: int) -> None:
    outcome = build(detector(images, classes), [{"B": 8}, {"B": 20}], compile=dict(section))
    requests = []
    for seed, count in enumerate((20, 9, 3, 8, 1)):
        generator = np.random.default_rng(seed)
        corners = generator.uniform(0, 3, (images, count, 4)).astype(np.float32)
        scores = generator.uniform(0, 1, (images, classes, count)).astype(np.float32)
        requests.append({"boxes": corners, "scores": scores})
    requests.append({**requests[0], "scores": np.zeros_like(requests[0]["scores"])})
    outcome.check(requests)
    assert longest(outcome) == [{"y": [4 * images * classes, None]}] * 2


def test_positions_that_data_chooses_in_one_axis_with_padded_ones(build: Build, section: Mapping[str, Any]) -> None:
    outcome = build(chosen_beside_padded(), [{"H": 9, "T": 16}], compile=dict(section))
    outcome.check(CHOSEN)
    assert longest(outcome) == [{"y": [48], "z": [144], "places": [None, 144]}]


def speech() -> onnx.ModelProto:
    """As many multiples of the mean as the request adds up to."""
    model = parsed("""g (float[T] x) => (float[F] y) <int64 none = {0}, int64 one = {1}> {
        whole = Relu(x)
        mean = ReduceMean(x)
        total = ReduceSum <keepdims = 0> (whole)
        count = Cast <to = 7> (total)
        frames = Range(none, count, one)
        numbers = Cast <to = 1> (frames)
        y = Mul(numbers, mean)
    }""")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    next(node for node in model.graph.node if node.op_type == "Range").name = "frames/Range"
    return model


def test_a_length_that_nothing_bounds(build: Build, section: Mapping[str, Any]) -> None:
    options = {**section.get("options", {}), "longest": {"frames/Range": 32}}
    outcome = build(speech(), [{"T": 8}], compile={**section, "options": options})
    outcome.check([{"x": np.full(count, 2.0, np.float32)} for count in (8, 3, 1)])
    assert longest(outcome) == [{"y": [32]}]
    beyond = {"x": np.full(8, 5.0, np.float32)}
    with st.load_bundle(outcome.root / "build/net") as model:
        with pytest.raises(
            RequestError, match=r"'frames/Range' makes 40 positions .*, where 32 fit\. .*`compile\.options\.longest`"
        ):
            model.run(beyond)
        assert model.run({"x": np.full(8, 4.0, np.float32)})["y"].shape == (32,)


def test_a_length_that_nothing_bounds_is_asked_for(build: Build, section: Mapping[str, Any]) -> None:
    outcome = build(speech(), [{"T": 8}], compile=dict(section))
    assert outcome.status != 0
    assert "Range 'frames/Range': data decides how long its result is, and nothing bounds it" in outcome.output
    assert "`compile.options.longest: {'frames/Range': 1000}`" in outcome.output


def test_a_loop_that_reads_by_its_turn_is_written_out_first(build: Build, section: Mapping[str, Any]) -> None:
    """What it slices is as long as data says, until its turns are written out one after another."""
    model = parsed("""g (float[T,4] x) => (float[4] y) <int64 turns = {3}, float[4] none = {0, 0, 0, 0}> {
        y = Loop (turns, , none) <body = turn (int64 at, bool going, float[4] before) => (bool goes, float[4] after)
            <int64[1] one = {1}, int64[1] first = {0}, float half = {0.5}> {
            goes = Identity(going)
            start = Reshape(at, one)
            end = Add(start, one)
            row = Slice(x, start, end, first)
            sum = ReduceSum <keepdims = 0> (row, first)
            less = Mul(before, half)
            after = Add(less, sum)
        }>
    }""")
    outcome = build(model, [{"T": 8}], compile=dict(section))
    outcome.check([{"x": numbers(count, 4)} for count in (8, 5, 3)])


def backwards() -> onnx.ModelProto:
    """Rows from the one that a request names back to the first: nobody follows how many those are."""
    model = parsed("""g (float[N,6,4] x, int64[1] last) => (float[N,K,4] y)
        <int64[1] first = {-9999}, int64[1] axis = {1}, int64[1] step = {-1}> {
        y = Slice(x, last, first, axis, step)
    }""")
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


def test_lengths_that_are_not_followed_are_refused_where_there_is_one_size(
    build: Build, section: Mapping[str, Any]
) -> None:
    outcome = build(backwards(), [{"N": 1}], compile=dict(section))
    assert outcome.status != 0
    assert "Slice 'y' decides it by its data, in a way that is not followed" in outcome.output


def test_an_output_of_no_known_shape_is_whole_where_there_is_one_size(build: Build) -> None:
    outcome = build(backwards(), [{"N": 1}])
    outcome.check([{"x": numbers(1, 6, 4), "last": np.array([last])} for last in (5, 0, 2)])
