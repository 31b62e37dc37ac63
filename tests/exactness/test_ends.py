"""Models that run up to some size only: buckets end there, and what lies beyond is refused with the nearest size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import scaling_tasks as st
from scaling_tasks.errors import RequestError
from tests.exactness.conftest import Build

OPSET = '<ir_version: 8, opset_import: ["": 17]>\n'
LIST = {"slice": "row = Slice(positions, zero, length, one)", "count": "row = Range(none, count, step)"}


def _encoder(numbers: str) -> onnx.ModelProto:
    """Return an encoder of up to 77 tokens, as CLIP's: positions out of a stored list, or counted."""
    model = parser.parse_model(
        OPSET
        + f"""g (int64[batch,seq] ids) => (float[batch,8] y)
        <int64[1] zero = {{0}}, int64[1] one = {{1}}, int64 none = {{0}}, int64 step = {{1}}> {{
        length = Shape <start = 1, end = 2> (ids)
        count = Squeeze(length)
        {LIST[numbers]}
        token = Gather(tokens, ids)
        place = Gather(places, row)
        e = Add(token, place)
        turned = Transpose <perm = [0, 2, 1]> (e)
        s = MatMul(e, turned)
        p = Softmax <axis = -1> (s)
        o = MatMul(p, e)
        y = ReduceMean <axes = [1], keepdims = 0> (o)
    }}"""
    )
    return _with(model, tokens=_vectors(50), places=_vectors(77), positions=np.arange(77)[None])


def _decoder() -> onnx.ModelProto:
    """Return a layer of attention over what was kept and what is new, of 24 positions in all, without a mask."""
    model = parser.parse_model(
        OPSET
        + """g (int64[1,seq] ids, float[1,past,8] kept) => (float[1,seq,8] y, float[1,all,8] keys)
        <int64 step = {1}, int64 none = {0}, int64[1] first = {0}, int64[1] second = {1}, float low = {-1e30}> {
        p = Shape <start = 1, end = 2> (kept)
        s = Shape <start = 1, end = 2> (ids)
        start = Squeeze(p)
        length = Squeeze(s)
        end = Add(start, length)
        row = Range(start, end, step)
        token = Gather(tokens, ids)
        place = Gather(places, row)
        e = Add(token, place)
        keys = Concat <axis = 1> (kept, e)
        turned = Transpose <perm = [0, 2, 1]> (keys)
        scores = MatMul(e, turned)
        every = Range(none, end, step)
        left = Unsqueeze(row, second)
        right = Unsqueeze(every, first)
        seen = GreaterOrEqual(left, right)
        masked = Where(seen, scores, low)
        weights = Softmax <axis = -1> (masked)
        y = MatMul(weights, keys)
    }"""
    )
    return _with(model, tokens=_vectors(50), places=_vectors(24))


def _masked_by_a_table() -> onnx.ModelProto:
    """Return the same with the rows of a stored causal mask of 24 positions, as GPT-2 is exported."""
    model = parser.parse_model(
        OPSET
        + """g (int64[1,seq] ids, float[1,past,8] kept) => (float[1,seq,8] y, float[1,all,8] keys)
        <int64[1] rows = {0}, int64[1] columns = {1}, float low = {-1e30}> {
        s = Shape <start = 1, end = 2> (ids)
        e = Gather(tokens, ids)
        keys = Concat <axis = 1> (kept, e)
        end = Shape <start = 1, end = 2> (keys)
        start = Sub(end, s)
        part = Slice(mask, start, end, rows)
        seen = Slice(part, rows, end, columns)
        turned = Transpose <perm = [0, 2, 1]> (keys)
        scores = MatMul(e, turned)
        masked = Where(seen, scores, low)
        weights = Softmax <axis = -1> (masked)
        y = MatMul(weights, keys)
    }"""
    )
    return _with(model, tokens=_vectors(50), mask=np.tril(np.ones((24, 24), bool)))


def _vectors(count: int) -> Any:
    return np.random.default_rng(count).standard_normal((count, 8)).astype(np.float32)


def _with(model: onnx.ModelProto, **constants: Any) -> onnx.ModelProto:
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items() if name in used)
    return model


def _table(tmp_path: Path, header: str, rows: list[str]) -> str:
    (tmp_path / "sizes.csv").write_text("\n".join([header, *rows]) + "\n")
    return "sizes.csv"


@pytest.mark.parametrize("numbers", ["slice", "count"])
def test_the_last_bucket_is_as_large_as_the_model_takes(build: Build, tmp_path: Path, numbers: str) -> None:
    dataset = _table(tmp_path, "seq", [str(size) for size in (5, 20, 40, 70, 77, 90)])
    scaling = {"max_scaling_num": 3, "interval": 32}
    outcome = build(_encoder(numbers), [], backend="openvino", auto_scaling=scaling, dataset=dataset)
    outcome.check([{"ids": np.full((2, size), size % 50)} for size in (1, 33, 65, 77)])
    assert "the model runs up to seq 77, the data set has 90." in outcome.output
    with st.load_bundle(tmp_path / "build/net") as model:
        assert model.select({"batch": 1, "seq": 66}) == {"batch": 1, "seq": 77}
        with pytest.raises(RequestError, match=r"77"):
            model.run({"ids": np.zeros((1, 78), np.int64)})


@pytest.mark.parametrize("backend", ["onnxruntime", "lite", "nncase"])
def test_a_bucket_may_be_larger_than_what_is_left_of_a_table(
    build: Build, tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    if backend == "lite":
        request.getfixturevalue("lite_python")
    rows = ["0,6", *(f"{past},1" for past in range(6, 24)), "20,4", "8,16", "22,3"]
    dataset = _table(tmp_path, "past,seq", rows)
    options = {"lite": {"device": "cpu"}, "nncase": {"options": {"target": "cpu"}}}.get(backend, {})
    scaling = {"max_scaling_num": 3, "interval": 4}
    compiled = {"backend": backend, **options}
    outcome = build(_decoder(), [], compile=compiled, auto_scaling=scaling, dataset=dataset)
    assert "does not run at 4.55% of the samples, such as past 22, seq 3: such requests are errors" in outcome.output
    sizes = [(0, 6), (7, 1), (20, 4), (23, 1), (8, 16), (22, 2)]
    outcome.check(
        [
            {"ids": np.arange(seq)[None] * 7 % 50, "kept": np.full((1, past, 8), 0.25 * seq, np.float32)}
            for past, seq in sizes
        ]
    )
    with st.load_bundle(tmp_path / "build/net") as model:
        bucket = model.select({"past": 23, "seq": 1})
        assert bucket["past"] + bucket["seq"] > 24
        with pytest.raises(RequestError, match=r"does not run at .*nearest sizes at which it does: .*'past': 22"):
            model.run({"ids": np.zeros((1, 2), np.int64), "kept": np.zeros((1, 23, 8), np.float32)})


def test_rows_of_a_stored_mask_bound_the_sum_of_sizes(build: Build, tmp_path: Path) -> None:
    rows = ["0,6", *(f"{past},1" for past in range(6, 24)), "20,4", "8,16", "23,4"]
    dataset = _table(tmp_path, "past,seq", rows)
    scaling = {"max_scaling_num": 4, "interval": 1}
    outcome = build(_masked_by_a_table(), [], backend="openvino", auto_scaling=scaling, dataset=dataset)
    assert "the model runs up to seq+past 24" in outcome.output
    outcome.check(
        [
            {"ids": np.arange(seq)[None] * 7 % 50, "kept": np.full((1, past, 8), 0.25 * seq, np.float32)}
            for past, seq in [(0, 6), (7, 1), (20, 4), (23, 1), (8, 16)]
        ]
    )
    with st.load_bundle(tmp_path / "build/net") as model:
        assert all(sum(bucket) <= 24 for each in model.manifest.artefacts for bucket in each.buckets)
        with pytest.raises(RequestError, match=r"does not run at .*nearest sizes at which it does: .*'past': 22"):
            model.run({"ids": np.zeros((1, 2), np.int64), "kept": np.zeros((1, 23, 8), np.float32)})


def test_an_explicit_bucket_beyond_is_refused_with_the_nearest(build: Build) -> None:
    outcome = build(_encoder("slice"), [{"batch": 1, "seq": 96}])
    assert outcome.status == 1
    assert "does not run at the planned bucket {'batch': 1, 'seq': 96}" in outcome.output
    assert "The nearest at which it does is {'batch': 1, 'seq': 77}: list it." in outcome.output


@pytest.mark.parametrize("seq", [20, 57])
def test_a_size_that_an_exporter_took_for_fixed_is_told(build: Build, seq: int) -> None:
    """As of ``nn.MultiheadAttention``, whose length becomes a number of a Reshape."""
    model = parser.parse_model(
        OPSET
        + """g (float[batch,seq,8] x) => (float[batch,33,4,2] y)
        <int64[3] rest = {33, 4, 2}> {
        rows = Shape <start = 0, end = 1> (x)
        shape = Concat <axis = 0> (rows, rest)
        y = Reshape(x, shape)
    }"""
    )
    outcome = build(model, [{"batch": 2, "seq": seq}])
    assert outcome.status == 1
    assert f"does not run at the planned bucket {{'batch': 2, 'seq': {seq}}}" in outcome.output
    assert "It does at seq 33 alone, which its exporter took for fixed" in outcome.output


def test_a_sum_of_sizes_is_limited(build: Build, tmp_path: Path) -> None:
    dataset = _table(tmp_path, "past,seq", ["4,4", "16,4", "12,12", "20,4"])
    scaling = {"max_scaling_num": 3, "interval": 4, "reachable": {"past+seq": 20}}
    outcome = build(_decoder(), [], auto_scaling=scaling, dataset=dataset, compile={"backend": "onnxruntime"})
    assert outcome.status == 0, outcome.output
    assert "50.00% of the samples are above the allowed sizes" in outcome.output
    with st.load_bundle(tmp_path / "build/net") as model:
        assert model.select({"past": 15, "seq": 1}) == {"past": 16, "seq": 4}
