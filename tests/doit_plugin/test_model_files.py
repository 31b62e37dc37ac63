"""Models in more than one file, or without weights, through the whole build."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaling_tasks.compilers.conformance_models import ConformanceCase, side_file_case, weightless_case
from scaling_tasks.compilers.nncase import NncaseBackend
from scaling_tasks.errors import CompileError
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


def require_nncase() -> None:
    try:
        NncaseBackend().identity({"options": {"target": "k230", "calibration": "random"}})
    except CompileError as missing:
        pytest.skip(str(missing))


def test_a_quantised_target_is_calibrated_and_judged_on_its_data_set(tmp_path: Path) -> None:
    require_nncase()
    repository = Repository(tmp_path)
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (16, 24, 3), np.uint8)
        Image.fromarray(pixels).save(repository.root / f"datasets/images/noisy{index}.png")
    repository.write_target(sizes=[(16, 24)], backend="nncase", more="verify: {absolute: 0.5, relative: 0.2}\n")
    run = repository.doit()
    assert run.ok, run.output
    assert run.compiled == ["net:N1_H16_W24"]
    config = repository.root / "configs/net.yaml"
    config.write_text(config.read_text().replace("absolute: 0.5, relative: 0.2", "absolute: 1.0e-6, relative: 0"))
    run = repository.doit()
    assert "verify:net:N1_H16_W24 failed" in run.output
    assert "raise verify.absolute or verify.relative" in run.output


def test_a_quantised_target_without_real_inputs_is_refused_before_anything_is_compiled(tmp_path: Path) -> None:
    require_nncase()
    repository = Repository(tmp_path)
    (repository.root / "datasets/sizes.csv").write_text("N,H,W\n1,16,24\n")
    repository.write_target(sizes=[(16, 24)], backend="nncase")
    config = repository.root / "configs/net.yaml"
    config.write_text(config.read_text().replace("datasets/images", "datasets/sizes.csv"))
    run = repository.doit()
    assert run.status != 0
    assert "a quantised model is calibrated and judged on real inputs" in run.output
    assert run.compiled == []
