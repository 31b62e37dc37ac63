"""Models in more than one file, or without weights, through the whole build."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.compilers.conformance_models import ConformanceCase, side_file_case, weightless_case
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.bundle import load_bundle
from tests.doit_plugin.repository import Repository

CONFIG = """
model: models/{model}
dataset: datasets/lengths.csv
auto_scaling: {{strategy: explicit, interval: 1, buckets: [{{{variable}: 8}}, {{{variable}: 24}}]}}
compile: {{backend: {backend}}}
runtime: {{oversize: fallback}}
"""


@pytest.mark.parametrize(
    ("make", "backend"),
    [(side_file_case, "onnxruntime"), (side_file_case, "openvino"), (weightless_case, "openvino")],
)
def test_a_model_is_built_from_whatever_files_it_has(make, backend: str, tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    shutil.rmtree(repository.root / "models")
    (repository.root / "models").mkdir()
    case: ConformanceCase = make(repository.root / "models")
    (variable,) = case.signature.variables
    (repository.root / "datasets/lengths.csv").write_text(f"{variable}\n5\n20\n")
    config = CONFIG.format(model=case.model.name, variable=variable, backend=backend)
    (repository.root / "configs/net.yaml").write_text(config)
    run = repository.doit("-n", "2")
    assert run.ok, run.output
    (tensor,) = case.signature.inputs
    with load_bundle(repository.root / "build/net") as model:
        for length in (8, 13, 40):
            x = np.random.default_rng(length).random(tensor.shape({variable: length}), dtype=np.float32)
            (wanted,) = OriginalModel(case.model).run({tensor.name: x}).values()
            np.testing.assert_allclose(model.run({tensor.name: x})["y"], wanted, atol=1e-5)
