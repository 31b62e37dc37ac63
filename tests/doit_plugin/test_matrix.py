"""A matrix through the real ``doit``: a target per cell, what they share made once."""

from __future__ import annotations

import json
import re

import numpy as np

import scaling_tasks as st
from tests.doit_plugin.repository import Repository

MATRIX = """
model: models/net.onnx
dataset: datasets/images
auto_scaling:
  max_scaling_num: 2
  interval: 8
  batch_choices: [1]
matrix:
  compile:
    - {backend: openvino, options: {precision: FP16}}
    - {backend: onnxruntime}
"""
NAMES = ["net-onnxruntime", "net-openvino-FP16"]


def test_every_cell_is_a_target(repository: Repository) -> None:
    path = repository.root / "configs/net.yaml"
    path.write_text(MATRIX)
    listed = repository.doit("list", "--all", "-q")
    assert sorted(line.partition(":")[2] for line in listed.output.split() if line.startswith("buckets:")) == NAMES
    run = repository.doit("-n", "2")
    assert run.ok, run.output
    assert len(run.compiled) == 4
    for name in NAMES:
        with st.load_bundle(repository.root / "build" / name) as model:
            answer = model.run({"x": np.ones((1, 3, 20, 30), np.float32)})
            assert answer["y"].shape == (1, 4, 20, 30)
    plans = [(repository.root / "build" / name / "buckets.json").read_bytes() for name in NAMES]
    assert len(set(plans)) == 1
    assert len([name for name in run.executed if name.startswith("scan:")]) == 1
    # What cells share is made once: one of them does it, and the others take it from the store.
    for stage in ("statistics", "analysis"):
        made = re.findall(rf"^\.  {stage}:(\S+)  (.*)$", run.output, re.MULTILINE)
        assert sorted(name for name, _ in made) == NAMES, run.output
        assert sum("from the store" in told for _, told in made) == 1, run.output
    assert repository.doit("-n", "2").executed == []

    path.write_text(MATRIX.replace("FP16", "FP32"))
    run = repository.doit("-n", "2")
    assert run.ok, run.output
    assert {name.partition(":")[0] for name in run.compiled} == {"net-openvino-FP32"}
    assert repository.doit("prune").ok
    assert not (repository.root / "build/net-openvino-FP16").exists()


def test_mistakes_of_cells_are_told_once_with_their_line(repository: Repository) -> None:
    text = MATRIX.replace("options: {precision: FP16}", "options: {precison: FP16}") + "verify: {samples: nowhere}\n"
    (repository.root / "configs/net.yaml").write_text(text)
    run = repository.doit("check")
    assert run.status == 1
    assert run.output.count("nowhere") == 1
    assert "net.yaml:10: compile.options: 'precison' is no option of openvino" in run.output, run.output
    found = json.loads(repository.doit("check", "--json").output)["mistakes"]
    assert sorted(each["target"] for each in found if "nowhere" in each["what"]) == [
        "net-onnxruntime",
        "net-openvino-FP16",
    ]
