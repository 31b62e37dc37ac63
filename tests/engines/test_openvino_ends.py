"""Zeros only past a request's end: answers are the original's at the exact size, and masks stay where need be."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.engines import openvino_ends
from scaling_tasks.engines.openvino_ends import clean_ends
from scaling_tasks.onnx_model.fixing import fix_dimensions
from tests.analysis.drafts import Draft, per_row, session
from tests.analysis.drawing import Draw, requests, thorough

openvino = pytest.importorskip("openvino")

_CHANNELS = 8


@pytest.fixture(autouse=True)
def any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tensors of any size be worth it."""
    monkeypatch.setattr(openvino_ends, "_LEAST", 1)


def run(model: onnx.ModelProto, bucket: Any, rows: Any) -> tuple[int, list[Any], list[Any]]:
    """Return how many masks were replaced, and per request the answer in the bucket and at the exact size."""
    analysis = analyse_model(model)
    assert not analysis.behaviour.refusals
    generator = np.random.default_rng(0)
    (spec,) = analysis.inputs.inputs
    asked = [generator.standard_normal(spec.shape(row)).astype(np.float32) for row in rows]
    whole = np.zeros(spec.shape(bucket), np.float32)
    for at, request in enumerate(asked):
        whole[at, :, : request.shape[2], : request.shape[3]] = request[0]
    feeds = {spec.name: whole, **analysis.behaviour.feeds(bucket, per_row(rows))}
    static = fix_dimensions(analysis.cleaned, {name: value.shape for name, value in feeds.items()})
    core = openvino.Core()
    read = core.read_model(static.SerializeToString())
    replaced = clean_ends(read)
    compiled = core.compile_model(read, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "SNIPPETS_MODE": "DISABLE"})
    names = {name for port in compiled.inputs for name in port.get_names()}
    found = compiled({name: value for name, value in feeds.items() if name in names})[0]
    exact = [session(model).run(None, {spec.name: request})[0] for request in asked]
    cut = [found[at : at + 1, :, : one.shape[2], : one.shape[3]] for at, one in enumerate(exact)]
    return replaced, cut, exact


def assert_same(cut: list[Any], exact: list[Any]) -> None:
    for found, true in zip(cut, exact, strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-4, atol=1e-4)


def filled(draft: Draft) -> str:
    """Return a tensor whose padding holds something."""
    x = draft.input("x", ["N", 3, "H", "W"])
    return str(draft.add("Conv", [x, draft.weights(_CHANNELS, 3, 1, 1), draft.weights(_CHANNELS)]))


@given(st.data())
@thorough
def test_convolutions_of_all_kinds_answer_as_at_the_exact_size(data: Draw) -> None:
    draft = Draft()
    y = filled(draft)
    for seed in range(2):
        kernel = [data.draw(st.sampled_from([1, 2, 3, 5]), label="kernel") for _ in range(2)]
        grouped = data.draw(st.booleans(), label="depthwise")
        attributes = {
            "strides": [data.draw(st.integers(1, 2), label="stride") for _ in range(2)],
            "dilations": [data.draw(st.integers(1, 2), label="dilation") for _ in range(2)],
            "pads": [data.draw(st.integers(0, each), label="pad") for each in (*kernel, *kernel)],
            "group": _CHANNELS if grouped else 1,
        }
        weights = draft.weights(_CHANNELS, 1 if grouped else _CHANNELS, *kernel, seed=seed)
        y = str(draft.add("Conv", [y, weights, draft.weights(_CHANNELS, seed=seed)], **attributes))
    bucket, rows = requests(data, 20, 30, H=1, W=1)
    _, cut, exact = run(draft.model(y), bucket, rows)
    assert_same(cut, exact)


def test_masks_before_convolutions_are_replaced() -> None:
    draft = Draft()
    y = filled(draft)
    for _ in range(2):
        y = draft.add("Conv", [y, draft.weights(_CHANNELS, _CHANNELS, 3, 3), draft.weights(_CHANNELS)], pads=[1] * 4)
    sizes = [{"N": 1, "H": 9, "W": 12}, {"N": 1, "H": 16, "W": 24}, {"N": 1, "H": 16, "W": 7}]
    replaced, cut, exact = run(draft.model(y), {"N": 3, "H": 16, "W": 24}, sizes)
    assert replaced == 2
    assert_same(cut, exact)


def test_a_mask_that_others_read_stays() -> None:
    """A pointwise convolution leaves zeros alone, and what sums them up counts on all of them."""
    draft = Draft()
    y = draft.add("Relu", [filled(draft)])
    wide = draft.add("Conv", [y, draft.weights(_CHANNELS, _CHANNELS, 3, 3)], pads=[1] * 4)
    narrow = draft.add("Conv", [y, draft.weights(_CHANNELS, _CHANNELS, 1, 1)])
    total = draft.add("ReduceSum", [narrow, draft.constant([2, 3])])
    model = draft.model(draft.add("Add", [wide, total]))
    replaced, cut, exact = run(model, {"N": 1, "H": 16, "W": 24}, [{"N": 1, "H": 9, "W": 12}])
    assert replaced == 0
    assert_same(cut, exact)


def test_a_product_of_the_model_itself_stays() -> None:
    ops = openvino.opset13
    image, factor = (ops.parameter(shape, np.float32) for shape in ([1, 8, 8, 8], [1, 1, 1, 8]))
    factor.set_friendly_name("weight")
    product = ops.multiply(image, factor)
    product.set_friendly_name("st_clean_0")
    y = ops.convolution(product, ops.constant(np.ones((8, 8, 3, 3), np.float32)), [1, 1], [1, 1], [1, 1], [1, 1])
    assert clean_ends(openvino.Model([y], [image, factor])) == 0


def test_a_mask_repeated_for_rows_of_fixed_height_is_replaced() -> None:
    draft = Draft()
    x = draft.input("x", ["N", 3, 6, "W"])
    y = draft.add("Conv", [x, draft.weights(_CHANNELS, 3, 1, 1), draft.weights(_CHANNELS)])
    y = draft.add("Conv", [y, draft.weights(_CHANNELS, _CHANNELS, 3, 3)], pads=[1] * 4)
    sizes = [{"N": 1, "W": size} for size in (5, 24, 12)]
    replaced, cut, exact = run(draft.model(y), {"N": 3, "W": 24}, sizes)
    assert replaced == 1
    assert_same(cut, exact)
