"""One artefact for all buckets: as exact as one per bucket, the weights in memory once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper, parser

import scaling_tasks as st
from tests.exactness.conftest import Build

WIDTHS = (64, 160, 288)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_recognition_in_one_artefact(ocr_models: Path, build: Build, backend: str) -> None:
    outcome = build(
        ocr_models / "ch_PP-OCRv4_rec_infer.onnx",
        [{"N": rows, "W": width} for rows in (1, 2) for width in WIDTHS],
        backend=backend,
        input_shape={"x": [-1, 3, 48, -1]},
        compile={"backend": backend, "options": {"dynamic": True}},
    )
    random = np.random.default_rng(0)
    requests = [{"x": random.random((1, 3, 48, width), np.float32)} for width in (40, 64, 131, 250, 288, 51)]
    outcome.check(requests)
    with st.load_bundle(outcome.root / "build/net", warm_up=True) as model:
        assert len(model.manifest.artefacts) == 1
        assert model.readiness.complete
        assert {verdict.kind for verdict in model.verdicts} == {"exact", "cleaned"}


def test_every_bucket_of_one_artefact_is_compared_by_itself(build: Build) -> None:
    places = np.random.default_rng(0).standard_normal((24, 8)).astype(np.float32)
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        g (float[1,past,8] kept, float[1,seq,8] x) => (float[1,8] y) <int64 none = {0}, int64 step = {1}> {
            all = Concat <axis = 1> (kept, x)
            length = Shape <start = 1, end = 2> (all)
            count = Squeeze(length)
            row = Range(none, count, step)
            place = Gather(places, row)
            sum = Add(all, place)
            y = ReduceMean <axes = [1], keepdims = 0> (sum)
        }"""
    )
    model.graph.initializer.append(numpy_helper.from_array(places, "places"))
    # The original runs at no size of the first beyond the second's that both are as large as they can be.
    buckets = [{"past": 24, "seq": 4}, {"past": 20, "seq": 4}, {"past": 8, "seq": 4}]
    outcome = build(model, buckets, compile={"backend": "onnxruntime", "options": {"dynamic": True}})
    assert outcome.status == 0, outcome.output
    (document,) = outcome.root.glob(".scaling/**/verification/*.json")
    compared = [check["bucket"] for check in json.loads(document.read_text())["buckets"]]
    assert all(compared.count(bucket) > 2 for bucket in buckets), compared
