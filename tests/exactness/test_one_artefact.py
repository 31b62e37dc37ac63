"""One artefact for all buckets: as exact as one per bucket, the weights in memory once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

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
