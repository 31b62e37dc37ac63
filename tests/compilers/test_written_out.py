"""What importers do not know, or take for something else, compiled by them and compared with the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.compilers.compiled import assert_compiled

RANDOM = np.random.default_rng(5)


def numbers(*shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * RANDOM.standard_normal(shape)).astype(np.float32)


def recurrent_weights(name: str, gates: int, ways: int = 1) -> dict[str, np.ndarray]:
    return {f"{name}_w": numbers(ways, gates * 5, 4, scale=0.5), f"{name}_r": numbers(ways, gates * 5, 5, scale=0.5)}


ARITHMETIC = """
    tanh = Tanh (x)  cos = Cos (x)  elu = Elu (x)  leaky = LeakyRelu (x)  swish = HardSwish (x)
"""
SHAPES = """
    first, second = Split <axis = 1> (p, parts)
    kept = Relu (second)
    pooled = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], dilations = [1, 1]> (p)
    least = ArgMin <axis = -1, keepdims = 0> (p)
    flat = Reshape (p, rows)
    moved = Relu (flat)
    product = Gemm <transB = 1> (flat, weights, moved)
"""
SUMS = """
    left = CumSum <exclusive = 1, reverse = 1> (s, axis)
    heads = Einsum <equation = "bld,dhk->bhlk"> (s, kernel)
    chain = Einsum <equation = "bld,dhk,bk->lbh"> (s, kernel, rows)
    shared = Einsum <equation = "bld,bdk->blk"> (s, once)
    larger = Resize <mode = "cubic", coordinate_transformation_mode = "pytorch_half_pixel"> (p, , scales)
    back = ReverseSequence <time_axis = 0, batch_axis = 1> (s, lengths)
    turned = Transpose <perm = [1, 0, 2]> (s)
    behind = ReverseSequence <time_axis = 1, batch_axis = 0> (turned, lengths)
"""
LAYERS = """
    y1, h1, c1 = LSTM <hidden_size = 5, direction = "reverse"> (s, lstm_w, lstm_r)
    y2, h2 = GRU <hidden_size = 5, direction = "bidirectional"> (s, gru_w, gru_r, , ends)
    y3, h3 = RNN <hidden_size = 5> (s, rnn_w, rnn_r)
"""
PLACES = """
    truth = Cast <to = 9> (m)
    chosen = GatherND (truth, rows)
    seen = Where (chosen, low, high)
    laid = Reshape (truth, one_row)
    shown = Where (laid, low, high)
    spans = GatherND <batch_dims = 1> (s, places)
    same = Identity (m)
"""
POINTS = """
    c = Conv <kernel_shape = [1, 1]> (p, point)
    bins = Reshape (c, sides)
    turned = Transpose <perm = [0, 2, 1, 3]> (bins)
    share = Softmax <axis = 1> (turned)
    side = Conv <kernel_shape = [1, 1]> (share, numbers)
    top = MaxPool <kernel_shape = [3], strides = [2], pads = [1, 1]> (s)
    greatest = GlobalMaxPool (s)
    normal = InstanceNormalization (s, scales, offsets)
"""
QUANTISED = """
    q, scale, zero = DynamicQuantizeLinear (s)
    sums = MatMulInteger (q, eight, zero, middle)
    real = Cast <to = 1> (sums)
    product = Mul (real, scale)
    q0, scale0, zero0 = DynamicQuantizeLinear (nothing)
    sums0 = MatMulInteger (q0, eight, zero0, middle)
    real0 = Cast <to = 1> (sums0)
    empty = Mul (real0, scale0)
    none = Div (s, s)
    isnt = IsNaN (none)
    filled = Where (isnt, low, none)
"""
WINDOWS = """
    upper = MaxPool <kernel_shape = [2, 3], strides = [1, 2], auto_pad = "SAME_UPPER"> (p)
    lower = Conv <kernel_shape = [2, 2], strides = [2, 1], auto_pad = "SAME_LOWER"> (p, kernel)
    wider = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2], auto_pad = "SAME_LOWER"> (p, kernel)
    larger = ConvTranspose <kernel_shape = [2, 2], strides = [2, 2], output_shape = [11, 13]> (p, kernel)
    greatest = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (p)
    apart = MaxPool <kernel_shape = [2, 2], dilations = [2, 3], pads = [1, 1, 1, 1]> (p)
    rounded = MaxPool <kernel_shape = [3, 2], strides = [2, 2], ceil_mode = 1> (p)
    positive = Relu (p)
    upwards = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (positive)
    mean = AveragePool <kernel_shape = [3, 2], strides = [2, 2], pads = [1, 0, 0, 1], ceil_mode = 1> (p)
    counted = AveragePool <kernel_shape = [3, 3], pads = [1, 1, 1, 1], count_include_pad = 1> (p)
    both = AveragePool <kernel_shape = [3, 2], strides = [2, 2], pads = [1, 1, 1, 1], ceil_mode = 1,
        count_include_pad = 1> (p)
    dilated = AveragePool <kernel_shape = [2, 2], dilations = [2, 3], pads = [1, 0, 0, 1]> (p)
    root = LpPool <kernel_shape = [3, 2], strides = [2, 1], pads = [1, 1, 0, 0]> (p)
    of_rows = LpPool <kernel_shape = [2], p = 1> (s)
    over_rows = MaxPool <kernel_shape = [3], pads = [1, 1]> (below)
    whole = GlobalLpPool <p = 3> (p)
"""
# Every dimension that nncase may take for another, and for none.
APART = """
    split = Reshape (r, heads)
    turned = Transpose <perm = [0, 2, 1, 3]> (split)
    joined = Concat <axis = 2> (past, turned)
    last = Transpose <perm = [0, 2, 1, 3]> (q)
    rows = Reshape (last, three)
    list = Transpose <perm = [0, 2, 3, 1]> (boxes)
    curved = Sigmoid (list)
    anchors = Reshape (curved, of_five)
    wide = Unsqueeze (s, second)
    high = Transpose <perm = [1, 0, 3, 2]> (wide)
"""
SMALL = """
    inverse = Reciprocal (s)
    none = Div (zero, zero)
    isnt = IsNaN (none)
    filled = Where (isnt, low, none)
    hot = OneHot <axis = -2> (m, depth, values)
    plain = Reshape <allowzero = 1> (s, three)
    most = Max (s, low, inverse)
    least = Min (s, low, inverse, plane)
    sum = Sum (plane, s, low)
    same = Max (s)
    mean = Mean (s, plane, low)
    rows = Slice (s, one, two)
"""
PADDED = """
    around = Pad <mode = "wrap"> (p, pads)
    edges = Pad <mode = "edge"> (p, pads)
    cut = Pad <mode = "reflect"> (p, less)
    filled = Pad (p, pads, seven)
    trimmed = Pad (p, less, seven)
    convolved = Conv <kernel_shape = [2, 2]> (filled, kernel)
    greatest = MaxPool <kernel_shape = [2, 2]> (filled)
    zeros = Pad (p, pads)
    mean = AveragePool <kernel_shape = [3, 3]> (zeros)
    single = Reshape (length, no_dimension)
    number = Cast <to = 1> (single)
    share = Div (p, number)
"""
REDUCTIONS = """
    most = ReduceMax <axes = [1]> (below)
    sizes = ReduceL1 <axes = [0, -1], keepdims = 0> (s)
    squares = ReduceSumSquare <axes = [2]> (s)
    length = ReduceL2 <axes = [-1], keepdims = 0> (s)
    least = ReduceMin <axes = [1]> (s)
    product = ReduceProd <axes = [1]> (s)
    magnitude = Abs (s)
    logarithm = ReduceLogSum <axes = [0]> (magnitude)
    of_powers = ReduceLogSumExp <axes = [1], keepdims = 0> (s)
    of_all = ReduceLogSumExp (s)
"""
GREATEST = "soft = Softmax <axis = -2> (s)  hard = Hardmax <axis = 1> (s)  one = Hardmax <axis = 2> (s)"
CONSTANT = "moved = Add (s, stored)  same = Identity (stored)"
OLD = "over_all = Softmax <axis = 1> (s)  logarithm = LogSoftmax (s)"
ATTENTION = "y = Attention <q_num_heads = 2, kv_num_heads = 2> (s, s, s)  z = RMSNormalization (y, norm)"

MODELS: dict[str, tuple[int, str, list[str], dict[str, np.ndarray], dict[str, np.ndarray]]] = {
    "arithmetic": (
        14,
        ARITHMETIC,
        ["tanh", "cos", "elu", "leaky", "swish"],
        {"x": np.linspace(-12, 12, 240, dtype=np.float32).reshape(2, 120)},
        {},
    ),
    "shapes": (
        13,
        SHAPES,
        ["first", "kept", "pooled", "least", "product"],
        {"p": numbers(2, 5, 6, 7)},
        {"parts": np.array([3, 2]), "rows": np.array([60, 7]), "weights": numbers(7, 7)},
    ),
    "sums": (
        13,
        SUMS,
        ["left", "heads", "chain", "shared", "larger", "back", "behind"],
        {"s": numbers(6, 3, 4), "p": numbers(2, 3, 5, 7), "lengths": np.array([6, 1, 4])},
        {
            "axis": np.array(1),
            "kernel": numbers(4, 2, 5),
            "rows": numbers(6, 5),
            "once": np.arange(8, dtype=np.float32).reshape(1, 4, 2) / 4,
            "scales": np.array([1, 1, 2, 1.5], np.float32),
        },
    ),
    "layers": (
        14,
        LAYERS,
        ["y1", "h1", "c1", "y2", "h2", "y3", "h3"],
        {"s": numbers(6, 3, 4), "ends": np.array([6, 1, 4], np.int32)},
        recurrent_weights("lstm", 4) | recurrent_weights("gru", 3, 2) | recurrent_weights("rnn", 1),
    ),
    "places": (
        13,
        PLACES,
        ["seen", "shown", "spans", "same"],
        {"s": numbers(6, 3, 4), "m": np.array([[1, 0, 2], [0, 0, 7]]), "places": np.array([[[1], [2]]] * 6)},
        {
            "rows": np.array([[1, 2], [0, 1]]),
            "low": np.float32(-3),
            "high": np.float32(2),
            "one_row": np.array([6]),
        },
    ),
    "points": (
        13,
        POINTS,
        ["side", "top", "greatest", "normal"],
        {"s": numbers(6, 3, 4), "p": numbers(2, 5, 6, 7)},
        {
            "point": numbers(32, 5, 1, 1),
            "scales": numbers(3),
            "offsets": numbers(3),
            "sides": np.array([2, 4, 8, 42]),
            "numbers": np.arange(8, dtype=np.float32).reshape(1, 8, 1, 1),
        },
    ),
    "quantised": (
        13,
        QUANTISED,
        ["product", "empty", "filled"],
        {
            "s": np.concatenate([numbers(6, 3, 4), np.zeros((1, 3, 4), np.float32)]),
            "nothing": np.zeros((2, 4), np.float32),
        },
        {
            "eight": RANDOM.integers(0, 256, (4, 5)).astype(np.uint8),
            "middle": np.uint8(120),
            "low": np.float32(-3),
        },
    ),
    "windows": (
        19,
        WINDOWS,
        [
            *(
                "upper",
                "lower",
                "wider",
                "larger",
                "greatest",
                "apart",
                "rounded",
                "upwards",
                "mean",
                "counted",
                "both",
            ),
            *("dilated", "root", "of_rows", "over_rows", "whole"),
        ],
        {"p": numbers(2, 3, 6, 7) - 2, "s": numbers(6, 3, 4), "below": numbers(2, 3, 9) - 5},
        {"kernel": numbers(3, 3, 2, 2)},
    ),
    "apart": (
        13,
        APART,
        ["joined", "rows", "anchors", "high"],
        {
            "r": numbers(2, 8, 32),
            "past": numbers(2, 4, 40, 8),
            "q": numbers(4, 4, 48, 8),
            "boxes": numbers(2, 5, 3, 5),
            "s": numbers(6, 3, 4),
        },
        {
            "heads": np.array([2, 8, 4, 8]),
            "three": np.array([4, 48, 32]),
            "of_five": np.array([2, -1, 5]),
            "second": np.array([1]),
        },
    ),
    "small": (
        14,
        SMALL,
        ["inverse", "filled", "hot", "plain", "most", "least", "sum", "same", "mean", "rows"],
        {"s": numbers(6, 3, 4), "m": np.array([[1, 0, 2], [0, 0, 3]]), "zero": np.zeros((2, 2), np.float32)},
        {
            "low": np.float32(-3),
            "depth": np.array([4]),
            "values": np.array([0, 1], np.float32),
            "three": np.array([3, 6, 4]),
            "plane": numbers(3, 1),
            "one": np.array([1]),
            "two": np.array([2]),
        },
    ),
    "padded": (
        19,
        PADDED,
        ["around", "edges", "cut", "trimmed", "convolved", "greatest", "mean", "share"],
        {"p": numbers(2, 3, 6, 7) - 2, "length": np.array([5])},
        {
            "pads": np.array([0, 0, 1, 2, 0, 0, 2, 1]),
            "less": np.array([0, 0, -1, 2, 0, 0, 1, -1]),
            "seven": np.float32(-7),
            "kernel": numbers(3, 3, 2, 2),
            "no_dimension": np.zeros(0, np.int64),
        },
    ),
    "reductions": (
        13,
        REDUCTIONS,
        ["most", "sizes", "squares", "length", "least", "product", "logarithm", "of_powers", "of_all"],
        {"s": numbers(6, 3, 4), "below": numbers(6, 3, 4) - 9},
        {},
    ),
    "whole": (
        13,
        "root = GlobalLpPool (p)  sum = GlobalLpPool <p = 1> (s)",
        ["root", "sum"],
        {"p": numbers(2, 3, 6, 7), "s": numbers(6, 3, 4)},
        {},
    ),
    "greatest": (12, GREATEST, ["soft", "hard", "one"], {"s": numbers(6, 3, 4)}, {}),
    "greatest now": (13, GREATEST, ["soft", "hard", "one"], {"s": numbers(6, 3, 4)}, {}),
    "idle inputs": (
        13,
        "y = Relu (s)",
        ["y"],
        {
            "s": numbers(2, 3),
            "whole": np.array([3, 1]),
            "none": np.full((2, 2), np.nan, np.float32),
            "truth": np.array([True]),
        },
        {},
    ),
    "constant": (13, CONSTANT, ["moved", "same"], {"s": numbers(2, 3)}, {"stored": numbers(3)}),
    "old": (12, OLD, ["over_all", "logarithm"], {"s": numbers(6, 3, 4)}, {}),
    "attention": (23, ATTENTION, ["z"], {"s": numbers(2, 6, 4)}, {"norm": numbers(4)}),
}


WHOLE = {"shapes": ("least",), "places": ("same",)}  # Which outputs are whole numbers.
NNCASE = ("layers", "sums", "windows", "apart", "small", "quantised", "attention", "constant", "greatest", "padded")
OPENVINO = ("reductions", "greatest", "greatest now", "old", "whole")
"""What is written out for these as well, or for them alone."""


def model(name: str) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """Return a model of ``MODELS`` and its inputs."""
    opset, text, outputs, feeds, constants = MODELS[name]
    parsed = onnx.parser.parse_graph(f"g (float[1] unused) => (float[1] none) {{ {text} }}")
    types = {key: helper.np_dtype_to_tensor_dtype(value.dtype) for key, value in feeds.items()}
    whole = {key: TensorProto.INT64 if key in WHOLE.get(name, ()) else TensorProto.FLOAT for key in outputs}
    graph = helper.make_graph(
        list(parsed.node),
        name,
        [helper.make_tensor_value_info(key, types[key], value.shape) for key, value in feeds.items()],
        [helper.make_tensor_value_info(key, element, None) for key, element in whole.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), feeds


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        *(("lite", name) for name in MODELS if name != "constant"),
        *(("nncase", name) for name in NNCASE),
        *(("openvino", name) for name in OPENVINO),
    ],
)
def test_it_answers_as_the_original(backend: str, name: str, tmp_path: Path):
    proto, feeds = model(name)
    # Within its LSTM, MindSpore Lite's tanh is as it is.
    assert_compiled(backend, proto, feeds, tmp_path, atol=1e-4 if name == "layers" else 5e-6)


def test_what_is_turned_and_keeps_its_shape_is_turned(tmp_path: Path):
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 13]>
        g (float[2,4,4,4] x) => (float[2,4,16] y, float[1,8,16] z)
        <int64[3] shape = {0, 0, -1}, int64[3] rows = {1, -1, 16}> {
            a = Relu (x)
            heads = Transpose <perm = [0, 2, 1, 3]> (a)
            y = Reshape (heads, shape)
            b = Sigmoid (x)
            turned = Transpose <perm = [0, 1, 3, 2]> (b)
            z = Reshape (turned, rows)
        }""")
    feeds = {"x": numbers(2, 4, 4, 4)}
    assert_compiled("lite", proto, feeds, tmp_path, atol=1e-6)
