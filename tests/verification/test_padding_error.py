"""Padding error of models that feel padding and of one that does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.errors import BundleError, VerificationFailed
from scaling_tasks.onnx_model.original import OriginalModel, random_inputs
from scaling_tasks.runtime.policies import Padding
from scaling_tasks.shapes.behaviour import plain_layouts
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.verification.padding import compare_policies, is_padded, measure_padding, smooth_inputs

TIGHT = Tolerance(1e-4, 1e-3)

POINTWISE = "g (float[1,3,H,W] x) => (float[1,3,H,W] y) { y = Sigmoid(x) }"
POOLED = """g (float[1,3,H,W] x) => (float[1,3,1,1] y, float[1,3,H,W] z) {
    y = GlobalAveragePool(x)
    z = Relu(x)
}"""
# The second convolution sees what the first made of the padding.
CONVOLVED = """g (float[1,1,8,W] x) => (float[1,1,8,W] y)
    <float[1,1,3,3] k = {1., 1., 1., 1., 1., 1., 1., 1., 1.}, float[1] b = {1.}> {
    a = Conv <pads = [1,1,1,1]> (x, k, b)
    y = Conv <pads = [1,1,1,1]> (a, k, b)
}"""


def test_pointwise_models_do_not_feel_padding(saved: Any, bundled: Any) -> None:
    path = saved(POINTWISE)
    directory, manifest = bundled(path, [(16, 16), (32, 32)])
    result = measure_padding(directory, manifest, OriginalModel(path), TIGHT)
    assert result.absolute < 1e-6
    assert result.changed == {}
    assert result.failure() is None
    probed = {(tuple(probe.sizes.values()), tuple(probe.bucket.values())) for probe in result.probes}
    # The bucket minus one, and the smaller bucket plus one, along each variable.
    assert {((31, 32), (32, 32)), ((32, 17), (32, 32)), ((16, 15), (16, 16))} <= probed
    assert {probe.inputs for probe in result.probes} == {"random", "smooth"}


def test_pooling_feels_it_and_the_output_is_named(saved: Any, bundled: Any) -> None:
    path = saved(POOLED)
    directory, manifest = bundled(path, [(16, 16), (32, 32)])
    result = measure_padding(directory, manifest, OriginalModel(path), TIGHT)
    assert list(result.changed) == ["y"]
    assert {"H": 17, "W": 32} in result.changed["y"]
    failure = result.failure()
    assert isinstance(failure, VerificationFailed)
    assert "padding changes output 'y'" in str(failure)
    payload = json.loads(result.to_json())
    assert payload["format"] == "scaling-tasks/padding/2"
    assert measure_padding(directory, manifest, OriginalModel(path), TIGHT).to_json() == result.to_json()


def test_convolutions_feel_it_at_the_edge(saved: Any, bundled: Any) -> None:
    path = saved(CONVOLVED)
    directory, manifest = bundled(path, [(16,), (32,)])
    result = measure_padding(directory, manifest, OriginalModel(path), TIGHT)
    assert {"W": 31} in result.changed["y"]


def test_the_policy_nearest_to_the_original_is_recommended(saved: Any, bundled: Any) -> None:
    # The output is the largest value: only padding with something small leaves it alone.
    path = saved("g (float[1,3,8,W] x) => (float[1,3,1,1] y) { y = GlobalMaxPool(x) }")
    directory, manifest = bundled(path, [(16,), (32,)])
    tried = {"high": Padding("constant", value=5.0), "low": Padding("constant", value=-5.0)}
    results = compare_policies(directory, manifest, OriginalModel(path), TIGHT, tried)
    best = next(iter(results))
    assert best == "low"
    assert results["low"].absolute < 1e-6 < results["high"].absolute


def test_crops_of_another_length_are_never_accepted(saved: Any, bundled: Any) -> None:
    path = saved(POINTWISE)
    directory, manifest = bundled(path, [(16, 16), (32, 32)])
    layouts = plain_layouts({"y": (1, 3, "H", ("//", "W", 2))})
    short = replace(manifest, behaviour=replace(manifest.behaviour, layouts=layouts))
    with pytest.raises(VerificationFailed, match=r"output 'y' at .* cannot be compared .*: the shape is \[1, 3, "):
        measure_padding(directory, short, OriginalModel(path), Tolerance(1e9, 1e9))


def test_padding_that_gives_no_numbers_is_never_accepted(saved: Any, bundled: Any) -> None:
    path = saved("g (float[1,3,8,W] x) => (float[1,3,1,1] y) { y = GlobalAveragePool(x) }")
    directory, manifest = bundled(path, [(16,), (32,)])
    nan = replace(manifest, padding={"x": Padding("constant", value=float("nan"))})
    with pytest.raises(VerificationFailed, match="one of the two is not finite where the other is"):
        measure_padding(directory, nan, OriginalModel(path), Tolerance(1e9, 1e9))


def test_policies_are_compared_on_samples_alone(saved: Any, bundled: Any, tmp_path: Any) -> None:
    path = saved("g (float[1,3,8,W] x) => (float[1,3,1,1] y) { y = GlobalMaxPool(x) }")
    directory, manifest = bundled(path, [(16,), (32,)])
    samples = []
    for width in (13, 16, 20, 33):
        samples.append(tmp_path / f"{width}.npz")
        np.savez(samples[-1], x=np.full((1, 3, 8, width), 3.0, np.float32))
    tried = {"four": Padding("constant", value=4.0), "two": Padding("constant", value=2.0)}
    results = compare_policies(directory, manifest, OriginalModel(path), TIGHT, tried, samples)
    best = next(iter(results))
    # Random inputs lie below 1 and would feel both; of the samples 16 is not padded and 33 is above all buckets.
    assert best == "two"
    assert [probe.sizes["W"] for probe in results["two"].probes] == [13, 20]
    assert results["two"].mean == 0
    assert results["four"].mean == pytest.approx(1)
    np.savez(samples[0], x=np.zeros((1, 3, 9, 13), np.float32))
    with pytest.raises(BundleError, match="input 'x'"):
        measure_padding(directory, manifest, OriginalModel(path), TIGHT, samples=samples)


def test_a_policy_that_gives_no_numbers_comes_last(saved: Any, bundled: Any) -> None:
    path = saved("g (float[1,3,8,W] x) => (float[1,3,1,1] y) { y = GlobalAveragePool(x) }")
    directory, manifest = bundled(path, [(16,), (32,)])
    tried = {"nan": Padding("constant", value=float("nan")), "far off": Padding("constant", value=1e6)}
    results = compare_policies(directory, manifest, OriginalModel(path), TIGHT, tried)
    best = next(iter(results))
    assert best == "far off"


def test_smooth_inputs_have_like_neighbours_and_keep_integers() -> None:
    signature = Signature((TensorSpec("x", (1, 3, 32, "W")), TensorSpec("i", ("W",), "int64")))
    smooth, rough = smooth_inputs(signature, {"W": 64}, 1), random_inputs(signature, {"W": 64}, 1)
    assert np.abs(np.diff(smooth["x"], axis=-1)).mean() < 0.5 * np.abs(np.diff(rough["x"], axis=-1)).mean()
    np.testing.assert_array_equal(smooth["i"], rough["i"])
    assert np.abs(smooth["x"]).max() <= 1


@pytest.mark.parametrize("text", [POINTWISE, CONVOLVED])
def test_one_bucket_is_probed_at_half_its_size(saved: Any, bundled: Any, text: str) -> None:
    path = saved(text)
    bucket = (64, 64) if text is POINTWISE else (64,)
    directory, manifest = bundled(path, [bucket])
    result = measure_padding(directory, manifest, OriginalModel(path), TIGHT)
    assert 32 in {size for probe in result.probes for size in probe.sizes.values()}


def test_padding_is_measured_where_the_model_runs_at_few_sizes_only(saved: Any, bundled: Any) -> None:
    text = """g (float[1,L] x) => (float[1] y) <int64[3] blocks = {1, -1, 64}, int64[2] flat = {1, -1}> {
        r = Reshape(x, blocks)
        e = Exp(r)
        f = Reshape(e, flat)
        y = ReduceMean <axes = [1], keepdims = 0> (f)
    }"""
    path = saved(text)
    directory, manifest = bundled(path, [(64,), (256,)])
    result = measure_padding(directory, manifest, OriginalModel(path), TIGHT)
    assert {"L": 128} in result.changed["y"]
    assert is_padded(directory, manifest)


def test_buckets_at_all_sizes_at_which_the_model_runs_pad_nothing(saved: Any, bundled: Any) -> None:
    blocks = "<int64[3] blocks = {1, -1, 64}> { r = Reshape(x, blocks) y = ReduceMean <axes = [1], keepdims = 0> (r) }"
    directory, manifest = bundled(saved(f"g (float[1,L] x) => (float[1,64] y) {blocks}"), [(64,), (128,)])
    assert not is_padded(directory, manifest)
