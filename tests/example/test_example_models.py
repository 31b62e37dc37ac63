"""The example's models: out of the wheel, whole, and dynamic where the example's targets say so."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from scaling_tasks.config.load import load_target
from scaling_tasks.shapes.signature import name_dimensions

SIZES = ({"N": 1, "H": 64, "W": 96}, {"N": 2, "H": 96, "W": 160})


@pytest.fixture(scope="module")
def models(preparation: ModuleType, ocr_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("models")
    preparation.prepare(directory)
    return directory


def test_a_second_preparation_writes_only_what_differs(
    preparation: ModuleType, ocr_models: Path, tmp_path: Path
) -> None:
    assert sorted(preparation.prepare(tmp_path)) == ["ppocr_cls.onnx", "ppocr_det.onnx", "ppocr_rec.onnx"]
    assert preparation.prepare(tmp_path) == []
    (tmp_path / "ppocr_cls.onnx").write_bytes(b"truncated")
    assert preparation.prepare(tmp_path) == ["ppocr_cls.onnx"]
    assert (tmp_path / "ppocr_cls.onnx").stat().st_size > 500_000


def test_a_missing_wheel_is_one_clear_error(
    preparation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> Any:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    with pytest.raises(preparation.PrepareError, match=r"rapidocr-onnxruntime.* is not installed.*pip install"):
        preparation.prepare(tmp_path)


def test_other_models_in_the_wheel_are_refused_and_nothing_is_written(
    preparation: ModuleType, ocr_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = preparation.MODELS["ppocr_cls.onnx"]
    monkeypatch.setitem(preparation.MODELS, "ppocr_cls.onnx", (file, "0" * 64))
    with pytest.raises(preparation.PrepareError, match=r"holds another ch_ppocr_mobile.* Install version 1\.4\.4"):
        preparation.prepare(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ppocr_det", "ppocr_rec", "ppocr_rec_onnx", "ppocr_rec_lite", "ppocr_cls_lite"])
def test_models_run_at_several_sizes_of_their_target(repository: Path, models: Path, name: str) -> None:
    import onnxruntime

    spec = load_target(repository / "configs" / f"{name}.yaml")
    assert spec.model is not None
    assert spec.input_shape is not None
    signature = name_dimensions(spec.input_shape)
    assert signature.variables
    session = onnxruntime.InferenceSession(models / Path(spec.model).name)
    shapes = set()
    for sizes in SIZES:
        inputs = {key: np.zeros(shape, np.float32) for key, shape in signature.shapes(sizes).items()}
        (output,) = session.run(None, inputs)
        assert np.isfinite(output).all()
        shapes.add(output.shape)
    assert len(shapes) == len(SIZES)


def test_every_configuration_names_files_that_the_example_makes(
    repository: Path, preparation: ModuleType, generator: ModuleType
) -> None:
    made = {f"datasets/receipts/{name}" for name in (generator.IMAGES, generator.ANNOTATION)}
    paths = sorted((repository / "configs").glob("*.yaml"))
    assert len(paths) >= 5
    for path in paths:
        spec = load_target(path)
        assert spec.dataset is not None
        assert spec.dataset.path in made, path.name
        assert Path(spec.model or "").name in preparation.MODELS, path.name
