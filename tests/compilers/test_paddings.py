"""Padding by places: the same under onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from scaling_tasks.compilers.paddings import gather_padding

PADS = {"more": [0, 0, 1, 2, 0, 0, 2, 1], "less": [0, 0, -1, 2, 0, 1, 2, -2], "behind": [0, 0, 0, 0, 1, 0, 3, 0]}
X = np.random.default_rng(4).normal(0, 1, (2, 3, 5, 6)).astype(np.float32)


def padded(pads: list[int], more: str, opset: int = 19) -> onnx.ModelProto:
    """Return a model that pads ``x``."""
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["": {opset}]> g (float[2,3,5,6] x) => (float[a,b,c,d] y) '
        f"<int64[{len(pads)}] pads = {{{', '.join(map(str, pads))}}}, int64[2] axes = {{-1, 2}}> {{ y = Pad {more} }}"
    )


def answer(proto: onnx.ModelProto) -> np.ndarray:
    return onnxruntime.InferenceSession(proto.SerializeToString()).run(["y"], {"x": X})[0]


@pytest.mark.parametrize("mode", ["edge", "reflect", "wrap"])
@pytest.mark.parametrize("pads", PADS)
def test_padding_is_alike(pads: str, mode: str, tmp_path: Path):
    proto = padded(PADS[pads], f'<mode = "{mode}"> (x, pads)')
    expected = answer(proto)
    assert gather_padding(proto, tmp_path, [mode])
    np.testing.assert_array_equal(answer(proto), expected)


def test_axes_that_are_told(tmp_path: Path):
    proto = padded([1, 2, 3, 0], '<mode = "edge"> (x, pads, , axes)')
    expected = answer(proto)
    assert gather_padding(proto, tmp_path, ["edge"])
    np.testing.assert_array_equal(answer(proto), expected)


@pytest.mark.parametrize(("pads", "more"), [(PADS["less"], "(x, pads, seven)"), ([-1, 2, 3, -2], "(x, pads, , axes)")])
def test_what_is_padded_with_numbers_is_cut_first(pads: list[int], more: str, tmp_path: Path):
    proto = padded(pads, more)
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(7), "seven"))
    expected = answer(proto)
    assert gather_padding(proto, tmp_path, ["constant"])
    assert not gather_padding(proto, tmp_path, ["constant"])
    np.testing.assert_array_equal(answer(proto), expected)


def test_what_is_known_is_left(tmp_path: Path):
    assert not gather_padding(padded(PADS["more"], '<mode = "reflect"> (x, pads)'), tmp_path, ["wrap", "cut"])
    assert gather_padding(padded(PADS["less"], '<mode = "reflect"> (x, pads)'), tmp_path, ["wrap", "cut"])
    assert not gather_padding(padded(PADS["less"], "(x, pads)"), tmp_path, ["wrap", "cut"])
