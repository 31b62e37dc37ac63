"""The conformance tests on every compiler that runs here, and on the PP-OCR models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling_tasks.compilers.conformance import CompilerConformance
from scaling_tasks.compilers.conformance_models import ConformanceCase, shared_variable_case
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.files import digest_file
from scaling_tasks.shapes.signature import name_dimensions

CASES = {
    "cls": ("ch_ppocr_mobile_v2.0_cls_infer.onnx", [-1, 3, 48, -1], ((1, 192), (2, 96))),
    "det": ("ch_PP-OCRv4_det_infer.onnx", [1, 3, -1, -1], ((64, 96), (160, 128))),
    "rec": ("ch_PP-OCRv4_rec_infer.onnx", [-1, 3, 48, -1], ((1, 160), (2, 320))),
}


class OcrConformance(CompilerConformance):
    """Adds the PP-OCR models."""

    @pytest.mark.parametrize("name", sorted(CASES))
    def test_ocr_model(self, name: str, ocr_models: Path, tmp_path: Path):
        file, shape, buckets = CASES[name]
        signature = name_dimensions({"x": shape})
        case = ConformanceCase(ocr_models / file, signature, buckets)
        first = self.check_case(case, tmp_path)[0]
        again = self.compile(case, self.units(case)[0], tmp_path / "again")
        self.check_same_bytes([first, again])


class TestOpenVino(OcrConformance):
    backend_name = "openvino"
    heavy_modules = ("openvino", "numpy")

    def test_weights_are_the_same_bytes_for_every_bucket(self, ocr_models: Path, tmp_path: Path):
        assert_weights_shared(self, ocr_models, tmp_path, ".bin")


class TestOpenVinoHalf(CompilerConformance):
    backend_name = "openvino"
    options = {"options": {"precision": "fp16"}}  # noqa: RUF012

    def test_half_the_bytes_are_stored(self, ocr_models: Path, tmp_path: Path):
        file, shape, _ = CASES["det"]
        case = ConformanceCase(ocr_models / file, name_dimensions({"x": shape}), ((64, 96),))
        _, weights = self.compile(case, self.units(case)[0], tmp_path / "work").artefact.files
        assert weights.stat().st_size < 0.6 * case.model.stat().st_size


class TestOpenVinoBfloat16(CompilerConformance):
    """Where the processor has no instructions for it, OpenVINO computes in single precision."""

    backend_name = "openvino"
    options = {"options": {"inference_precision": "bf16"}}  # noqa: RUF012

    def test_unknown_precision_is_refused(self):
        signature = name_dimensions({"x": [1, 3, -1]})
        with pytest.raises(CompileError, match="bf16"):
            self.backend.check(signature, {"options": {"inference_precision": "bf15"}})


class TestOpenVinoBlob(CompilerConformance):
    """The plug-in's own form beside the IR."""

    backend_name = "openvino"
    options = {"options": {"blob": True}}  # noqa: RUF012

    def test_truncated_artefact_does_not_load(self, tmp_path: Path):
        """A damaged blob is passed over: the IR beside it says the same."""
        case = shared_variable_case(tmp_path)
        artefact = self.compile(case, self.units(case)[0], tmp_path / "work").artefact
        xml, _, blob = artefact.files
        blob.write_bytes(blob.read_bytes()[:100])
        self.backend.accept(artefact, self.compile_options)
        xml.write_bytes(xml.read_bytes()[:100])
        with pytest.raises(EngineError, match="does not load"):
            self.backend.accept(artefact, self.compile_options)

    def test_a_blob_of_another_processor_is_passed_over_and_said(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ):
        case = shared_variable_case(tmp_path)
        artefact = self.compile(case, self.units(case)[0], tmp_path / "work").artefact
        blob = artefact.files[-1]
        origin, _, content = blob.read_bytes().partition(b"\n")
        made = json.loads(origin)
        blob.write_bytes(json.dumps({**made, "name": "another"}).encode() + b"\n" + content)
        self.backend.accept(artefact, self.compile_options)
        assert "is not loaded: it is of" in caplog.text
        assert len(caplog.records) == 1

    def test_the_processor_is_in_the_key(self):
        assert "processor" in self.backend.identity(self.compile_options)
        assert "processor" not in self.backend.identity({})

    def test_the_blob_holds_no_second_copy_of_the_weights(self, ocr_models: Path, tmp_path: Path):
        file, shape, _ = CASES["det"]
        case = ConformanceCase(ocr_models / file, name_dimensions({"x": shape}), ((64, 96),))
        files = self.compile(case, self.units(case)[0], tmp_path / "work").artefact.files
        sizes = {path.suffix: path.stat().st_size for path in files}
        assert 0 < sizes[".blob"] < sizes[".bin"]


class TestOpenVinoDynamic(CompilerConformance):
    """One IR for the sizes of all buckets."""

    backend_name = "openvino"
    options = {"options": {"dynamic": True}}  # noqa: RUF012

    def test_all_buckets_are_in_one_unit(self, tmp_path: Path):
        case = shared_variable_case(tmp_path)
        (unit,) = self.units(case)
        assert set(unit.buckets) == set(case.buckets)


class TestOnnxRuntime(OcrConformance):
    backend_name = "onnxruntime"
    heavy_modules = ("onnxruntime", "onnx", "numpy")

    def test_weights_are_the_same_bytes_for_every_bucket(self, ocr_models: Path, tmp_path: Path):
        assert_weights_shared(self, ocr_models, tmp_path, ".weights")


class TestOnnxRuntimeExtended(CompilerConformance):
    backend_name = "onnxruntime"
    options = {"options": {"optimization": "extended"}}  # noqa: RUF012


class TestOnnxRuntimeDynamic(CompilerConformance):
    """One model for the sizes of all buckets."""

    backend_name = "onnxruntime"
    options = {"options": {"dynamic": True}}  # noqa: RUF012


@pytest.fixture(scope="module")
def mindspore_lite():
    try:
        return find_toolchain("cpu")
    except CompileError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("mindspore_lite")
class TestLite(OcrConformance):
    backend_name = "lite"
    options = {"device": "cpu"}  # noqa: RUF012


@pytest.mark.usefixtures("mindspore_lite")
class TestLiteDynamic(CompilerConformance):
    """One MindIR for all sizes."""

    backend_name = "lite"
    options = {"device": "cpu", "options": {"dynamic": True}}  # noqa: RUF012


def assert_weights_shared(suite: CompilerConformance, models: Path, directory: Path, suffix: str) -> None:
    file, shape, buckets = CASES["rec"]
    case = ConformanceCase(models / file, name_dimensions({"x": shape}), buckets)
    files = [suite.compile(case, unit, directory / unit.name).artefact.files for unit in suite.units(case)]
    weights = [path for group in files for path in group if path.suffix == suffix]
    assert len(weights) == len(buckets)
    assert len({digest_file(path) for path in weights}) == 1
    rest = sum(path.stat().st_size for group in files for path in group if path.suffix != suffix)
    assert rest < weights[0].stat().st_size / 5
