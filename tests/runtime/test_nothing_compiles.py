"""Once a bundle is ready, requests of any sizes make no engine compile anything: by the engines' own accounts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.serving.bundles import build_bundle
from tests.runtime.test_real_bundles import build

BUCKETS = [(count, width) for count in (1, 4) for width in (64, 128, 192)]

SOAK = """
import sys
import numpy as np
import scaling_tasks as st

if sys.argv[2] == "onnxruntime":
    import onnxruntime
    onnxruntime.set_default_logger_severity(1)
print("BEGUN", file=sys.stderr, flush=True)
with st.load_bundle(sys.argv[1], in_flight=2, threads=1, warm_up=True) as model:
    generator = np.random.default_rng(0)
    requests = [
        {"x": generator.random((int(count), 3, 48, int(width)), dtype=np.float32)}
        for count, width in zip(generator.integers(1, 7, 150), generator.integers(1, 193, 150))
    ]
    loads = model.loads
    print("READY", file=sys.stderr, flush=True)
    for request in requests[:50]:
        model.run(request)
    model.run_many(requests[50:100])
    for answer in [model.submit(request) for request in requests[100:]]:
        answer.result()
    print("DONE", file=sys.stderr, flush=True)
    assert model.loads == loads, (model.loads, loads)
"""

# What each says when it makes something for a shape: a kernel; the memory of a session.
TELLS = {"openvino": ",primitive,create", "onnxruntime": "Creating BFCArena"}


@pytest.mark.parametrize("engine", TELLS)
def test_no_engine_compiles_after_ready(engine: str, ocr_models: Path, tmp_path: Path) -> None:
    model = ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    if engine == "openvino":
        directory = build_bundle(model, BUCKETS, tmp_path / "bundle", "f32")
    else:
        directory = build(model, engine, [-1, 3, 48, -1], BUCKETS, tmp_path / "bundle")
    command = [sys.executable, "-c", SOAK, str(directory), engine]
    # Both to one file, in the order in which they are written.
    ran = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        env=os.environ | {"ONEDNN_VERBOSE": "profile_create"},
    )
    assert ran.returncode == 0, ran.stdout[-2000:]
    lines = ran.stdout.splitlines()
    begun, ready, done = (lines.index(mark) for mark in ("BEGUN", "READY", "DONE"))
    made = [at for at, line in enumerate(lines) if TELLS[engine] in line]
    assert sum(begun < at < ready for at in made) >= len(BUCKETS)
    assert not [lines[at] for at in made if ready < at < done]
