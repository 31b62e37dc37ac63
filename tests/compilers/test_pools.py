"""Pools and what they pad, in other operators: the same under onnxruntime, and compiled for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from scaling_tasks.compilers.lite_operators import pool_pictures
from scaling_tasks.compilers.pools import (
    mean_by_sums,
    pool_by_power,
    pool_by_slices,
    pool_over_edges,
    round_up_means,
)
from scaling_tasks.compilers.windows import SAME, say_pads

RANDOM = np.random.default_rng(11)
PICTURE, ROWS = (2, 3, 8, 11), (2, 3, 9)
SIZES = {"even": "[2, 2], strides = [1, 1]", "odd": "[3, 3], strides = [2, 2]", "uneven": "[2, 3], strides = [2, 1]"}
KINDS = {
    "Conv": "Conv <kernel_shape = {size}, {more}> (x, w)",
    "ConvTranspose": "ConvTranspose <kernel_shape = {size}, {more}> (x, w)",
    "MaxPool": "MaxPool <kernel_shape = {size}, {more}> (x)",
    "AveragePool": "AveragePool <kernel_shape = {size}, {more}> (x)",
}
POOLS: dict[str, tuple[Callable[[onnx.ModelProto], bool], tuple[int, ...], str]] = {
    "greatest over edges": (pool_over_edges, PICTURE, "MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 2]> (x)"),
    "greatest rounded up": (
        pool_over_edges,
        PICTURE,
        "MaxPool <kernel_shape = [3, 2], strides = [2, 3], pads = [1, 0, 0, 1], ceil_mode = 1> (x)",
    ),
    "greatest of rows": (pool_over_edges, ROWS, "MaxPool <kernel_shape = [3], strides = [2], pads = [1, 1]> (x)"),
    "greatest dilated": (
        pool_by_slices,
        PICTURE,
        "MaxPool <kernel_shape = [2, 3], dilations = [3, 2], pads = [1, 2, 0, 2], strides = [2, 1]> (x)",
    ),
    "dilated, rounded up": (
        pool_by_slices,
        PICTURE,
        "MaxPool <kernel_shape = [3, 3], dilations = [2, 2], strides = [2, 2], ceil_mode = 1> (x)",
    ),
    "mean dilated": (
        mean_by_sums,
        PICTURE,
        "AveragePool <kernel_shape = [2, 3], dilations = [3, 2], pads = [1, 2, 0, 2]> (x)",
    ),
    "mean dilated, counted": (
        mean_by_sums,
        ROWS,
        "AveragePool <kernel_shape = [3], dilations = [2], pads = [1, 2], count_include_pad = 1> (x)",
    ),
    "mean counted": (
        mean_by_sums,
        PICTURE,
        "AveragePool <kernel_shape = [3, 2], pads = [1, 1, 2, 0], count_include_pad = 1> (x)",
    ),
    "mean rounded up": (
        round_up_means,
        PICTURE,
        "AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 0, 0, 1], ceil_mode = 1> (x)",
    ),
    "root of squares": (pool_by_power, PICTURE, "LpPool <kernel_shape = [3, 2], pads = [1, 1, 0, 1]> (x)"),
    "of cubes": (pool_by_power, ROWS, "LpPool <kernel_shape = [3], strides = [2], p = 3> (x)"),
    "of sizes": (pool_by_power, PICTURE, "LpPool <kernel_shape = [3, 3], dilations = [2, 3], p = 1> (x)"),
    "of the whole": (pool_by_power, PICTURE, "GlobalLpPool (x)"),
    "rows as pictures": (pool_pictures, ROWS, "AveragePool <kernel_shape = [3], strides = [2], pads = [1, 1]> (x)"),
    "no window begins behind them": (
        pool_pictures,
        ROWS,
        "MaxPool <kernel_shape = [1], strides = [3], ceil_mode = 1> (x)",
    ),
    "of whole rows": (pool_by_power, ROWS, "GlobalLpPool <p = 3> (x)"),
}


def model(text: str, shape: tuple[int, ...] = PICTURE, opset: int = 19) -> onnx.ModelProto:
    """Return a model that gives ``y``, from ``x`` and a kernel ``w`` as large as what ``text`` says."""
    before, after = ",".join(map(str, shape)), ",".join("abcd"[: len(shape)])
    result = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[{before}] x) => (float[{after}] y) {{ y = {text} }}'
    )
    (node,) = result.graph.node
    if len(node.input) > 1:
        (size,) = (each.ints for each in node.attribute if each.name == "kernel_shape")
        weights = RANDOM.normal(0, 1, (3, 3, *size)).astype(np.float32)
        result.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    return result


def answer(proto: onnx.ModelProto) -> np.ndarray:
    onnx.checker.check_model(proto)
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim]
    # What is padded with zeros shows among numbers of which most are negative.
    x = np.random.default_rng(1).normal(-2, 1, shape).astype(np.float32)
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(["y"], {"x": x})[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("form", SAME)
@pytest.mark.parametrize("kind", KINDS)
def test_padding_that_a_name_says_is_said_in_numbers(kind: str, form: str, size: str):
    proto = model(KINDS[kind].format(size=SIZES[size], more=f'auto_pad = "{form}"'))
    expected = answer(proto)
    assert not say_pads(proto, {(kind, other) for other in SAME if other != form})
    assert say_pads(proto, {(kind, form)})
    assert {each.name for each in proto.graph.node[0].attribute} >= {"kernel_shape", "pads", "strides"}
    np.testing.assert_array_equal(answer(proto), expected)


def test_an_output_shape_is_said_as_padding():
    proto = model("ConvTranspose <kernel_shape = [3, 4], strides = [2, 2], output_shape = [16, 23]> (x, w)")
    expected = answer(proto)
    assert say_pads(proto, {("ConvTranspose", "output_shape")})
    np.testing.assert_array_equal(answer(proto), expected)


@pytest.mark.parametrize("name", POOLS)
def test_pools_are_alike(name: str):
    rewrite, shape, text = POOLS[name]
    proto = model(text, shape)
    expected = answer(proto)
    assert rewrite(proto)
    np.testing.assert_allclose(answer(proto), expected, rtol=1e-5)
    assert not rewrite(proto)


def test_a_mean_that_counts_padding_and_is_rounded_up_keeps_both():
    proto = model(
        "AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1, "
        "count_include_pad = 1> (x)"
    )
    expected = answer(proto)
    assert mean_by_sums(proto, only_rounded_up=True)
    assert not round_up_means(proto)
    np.testing.assert_allclose(answer(proto), expected, rtol=1e-5)


def test_what_is_never_negative_is_padded_with_zeros_as_it_is():
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 19]> g (float[1,2,6,6] x) => (float[1,2,6,6] y) '
        "{ r = Relu (x) t = Concat <axis = 1> (r, r) y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (r) }"
    )
    assert not pool_over_edges(proto)
    rounded = next(node for node in proto.graph.node if node.op_type == "MaxPool")
    rounded.attribute.extend([onnx.helper.make_attribute(*each) for each in (("ceil_mode", 1), ("strides", [2, 2]))])
    assert pool_over_edges(proto)


def test_pools_of_an_old_opset_are_alike(tmp_path: Path):
    proto = model("MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x)", opset=10)
    expected = answer(proto)
    assert pool_over_edges(proto)
    np.testing.assert_array_equal(answer(proto), expected)
