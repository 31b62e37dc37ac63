"""nncase for real: conformance on its CPU target, quantisation for the k230, its own ShapeBucket, and its aborts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from scaling_tasks.compilers.conformance import CompilerConformance, _inputs, _reference
from scaling_tasks.compilers.conformance_models import (
    ConformanceCase,
    cleaned_case,
    image_case,
    shared_variable_case,
    transformer_case,
)
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.nncase import NncaseBackend
from scaling_tasks.compilers.nncase_calibration import calibration_samples, judging_samples
from scaling_tasks.compilers.real_inputs import padded
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
from scaling_tasks.shapes.behaviour import Behaviour, Verdict, plain_layouts
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec, name_dimensions
from scaling_tasks.verification.numerics import verify_artefact

CPU = {"backend": "nncase", "options": {"target": "cpu"}}


@pytest.fixture(scope="module", autouse=True)
def nncase_installed():
    try:
        NncaseBackend().identity({"options": {"target": "k230", "calibration": "random"}})
    except CompileError as error:
        pytest.skip(str(error))


class TestNncase(CompilerConformance):
    backend_name = "nncase"
    options = {"options": {"target": "cpu"}}  # noqa: RUF012
    heavy_modules = ("nncase", "numpy", "clr_loader", "pythonnet")

    def test_ocr_classifier(self, ocr_models: Path, tmp_path: Path):
        model = ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
        self.check_twice(ConformanceCase(model, name_dimensions({"x": [1, 3, 48, -1]}), ((96,),)), tmp_path)

    def test_ocr_recogniser(self, ocr_models: Path, tmp_path: Path):
        """Aborts the compiler as it is, and compiles once its constants are folded."""
        model = ocr_models / "ch_PP-OCRv4_rec_infer.onnx"
        self.check_twice(ConformanceCase(model, name_dimensions({"x": [1, 3, 48, -1]}), ((32,),)), tmp_path)

    def test_ocr_detector(self, ocr_models: Path, tmp_path: Path):
        model = ocr_models / "ch_PP-OCRv4_det_infer.onnx"
        self.check_twice(ConformanceCase(model, name_dimensions({"x": [1, 3, -1, -1]}), ((64, 64),)), tmp_path)

    def check_twice(self, case: ConformanceCase, directory: Path) -> None:
        first = self.check_case(case, directory)[0]
        self.check_same_bytes([first, self.compile(case, self.units(case)[0], directory / "again")])


class TestNncaseNative(CompilerConformance):
    """nncase's own ShapeBucket: one kmodel for all sizes, for a single variable."""

    backend_name = "nncase"
    options = {"options": {"target": "cpu", "shape_bucket_enable": True}}  # noqa: RUF012

    def test_image_model(self, tmp_path: Path):
        """Two variables without quantisation: nncase would silently make no buckets, so that it is refused."""
        with pytest.raises(CompileError, match="no buckets for several variables without quantisation"):
            self.backend.check(image_case(tmp_path).signature, self.compile_options)

    def test_batch_and_sequence(self, tmp_path: Path):
        with pytest.raises(CompileError, match="no buckets for several variables without quantisation"):
            self.backend.check(transformer_case(tmp_path).signature, self.compile_options)


def compile_case(case: ConformanceCase, directory: Path, options, index: int = 0, *, check: bool = True):
    backend = NncaseBackend()
    if check:
        backend.check(case.signature, options)
    unit = backend.units("m", case.signature, case.buckets, options)[index]
    job = CompileJob(case.model, case.signature, unit, options)
    return unit, run_job(job, directory / unit.name, log=directory / f"{unit.name}.log", timeout=200).artefact.files


def cosine(left: np.ndarray, right: np.ndarray) -> float:
    return float((left * right).sum() / np.sqrt((left**2).sum() * (right**2).sum()))


@pytest.mark.parametrize("make", [shared_variable_case, transformer_case])
def test_the_k230_is_quantised_with_samples_of_the_bucket(make, tmp_path: Path):
    case = make(tmp_path)
    (tmp_path / "real").mkdir()
    generator = np.random.default_rng(0)
    for index in range(3):
        shapes = case.signature.shapes(dict(zip(case.signature.variables, case.buckets[0], strict=True)))
        arrays = {name: generator.random(shape, dtype=np.float32) for name, shape in shapes.items()}
        np.savez(tmp_path / f"real/{index}.npz", **arrays)
    options = {"backend": "nncase", "options": {"target": "k230", "real_inputs": str(tmp_path / "real")}}
    unit, files = compile_case(case, tmp_path, options)
    engine = load_engine("nncase", files[0], options)
    inputs = _inputs(case, unit.values()[0])
    found, expected = engine.run(inputs)["y"], _reference(case.model, inputs)["y"]
    engine.close()
    assert found.shape == expected.shape
    assert cosine(found, expected) > 0.99
    assert not np.array_equal(found, expected)


def test_the_abort_of_the_compiler_is_reported_and_the_remedy_works(ocr_models: Path, tmp_path: Path):
    case = ConformanceCase(ocr_models / "ch_PP-OCRv4_rec_infer.onnx", name_dimensions({"x": [1, 3, 48, -1]}), ((32,),))
    options = {"backend": "nncase", "options": {"target": "cpu", "simplify": False}}
    with pytest.raises(CompileError, match=r"m_W32: the compiler was killed by SIGABRT: Process terminated") as caught:
        compile_case(case, tmp_path, options)
    assert "Run it alone: " in str(caught.value)
    assert not list((tmp_path / "W32").glob("*.kmodel"))


def test_a_wrong_size_is_refused_before_it_ends_the_simulator(tmp_path: Path):
    case = shared_variable_case(tmp_path)
    unit, files = compile_case(case, tmp_path, CPU)
    engine = load_engine("nncase", files[0], CPU)
    inputs = _inputs(case, unit.values()[0])
    with pytest.raises(EngineError, match="shapes are"):
        engine.run(_inputs(case, {"length": 3}))
    with pytest.raises(EngineError, match="inputs are"):
        engine.run({"left": inputs["left"]})
    np.testing.assert_allclose(engine.run(inputs)["y"], _reference(case.model, inputs)["y"], atol=1e-4)
    engine.close()


@pytest.mark.parametrize("shape", [[1], []], ids=str)
def test_an_output_of_one_element_is_each_request_s_own(shape: list[int], tmp_path: Path):
    """The simulator gives the first request's answer again, where an output has one axis of length 1.

    Where it has none, its second request ends it.
    """
    total = helper.make_node("ReduceSum", ["x"], ["y"], keepdims=len(shape))
    values = [helper.make_tensor_value_info(name, 1, dims) for name, dims in (("x", ["length"]), ("y", shape))]
    model = helper.make_model(
        helper.make_graph([total], "total", values[:1], values[1:]), opset_imports=[helper.make_opsetid("", 13)]
    )
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    case = ConformanceCase(tmp_path / "m.onnx", name_dimensions({"x": ["length"]}), ((4,),))
    _, files = compile_case(case, tmp_path, CPU)
    engine = load_engine("nncase", files[0], CPU)
    found = [engine.run({"x": np.full(4, number, np.float32)})["y"].item() for number in (1, 2, 3)]
    engine.close()
    assert found == [4.0, 8.0, 12.0]


def test_the_native_kmodel_takes_every_size_up_to_the_largest_bucket(tmp_path: Path):
    case = shared_variable_case(tmp_path)
    options = {"backend": "nncase", "options": {"target": "cpu", "shape_bucket_enable": True}}
    unit, files = compile_case(case, tmp_path, options)
    assert unit.stem == "m_shape_bucket"
    engine = load_engine("nncase", files[0], options)
    for length in (1, 5, 24, 5):
        inputs = _inputs(case, {"length": length})
        np.testing.assert_allclose(engine.run(inputs)["y"], _reference(case.model, inputs)["y"], atol=1e-4)
    engine.close()


ONE = Signature((TensorSpec("x", (1, "L")),))
TWO = Signature((TensorSpec("x", (1, "A")), TensorSpec("y", (1, "B"))))


@pytest.mark.parametrize(
    ("signature", "own", "message"),
    [
        (ONE, {"target": "k210"}, r"options\.target: 'k210' is no value of target.*cpu, k230"),
        (ONE, {"quant_type": "int4"}, r"options\.quant_type: 'int4'"),
        (ONE, {"calibrate_method": "kld"}, r"calibrate_method.*Did you mean 'Kld'"),
        (ONE, {"samples_count": 0}, r"samples_count: is 0"),
        (ONE, {"shape_bucket_segments": 4}, r"Did you mean 'shape_bucket_segments_count'"),
        (ONE, {"shape_bucket_segments_count": 4}, r"no effect without `shape_bucket_enable: true`"),
        (ONE, {"shape_bucket_enable": True, "shape_bucket_segments_count": 1}, r"segments_count: is 1\. At least 2"),
        (
            ONE,
            {"shape_bucket_enable": True, "shape_bucket_range_info": {"l": [1, 9]}},
            r"'l' is no variable of the model\. Known: L",
        ),
        (
            ONE,
            {"shape_bucket_enable": True, "shape_bucket_fix_var_map": {"batch": 1}},
            r"fix_var_map: 'batch' is no variable",
        ),
        (
            ONE,
            {"shape_bucket_enable": True, "shape_bucket_range_info": {"L": [8, 64]}},
            r"range_info\.L: begins at 8.*Write \[1, 64\]",
        ),
        (ONE, {"shape_bucket_enable": True, "shape_bucket_range_info": {"L": [9, 8]}}, r"\[9, 8\] is no range"),
        (
            ONE,
            {
                "shape_bucket_enable": True,
                "shape_bucket_range_info": {"L": [1, 8]},
                "shape_bucket_fix_var_map": {"L": 3},
            },
            r"'L' is in `shape_bucket_fix_var_map` too",
        ),
        (
            TWO,
            {"shape_bucket_enable": True, "quantize": True, "shape_bucket_range_info": {"A": [1, 8]}},
            r"leaves out the variable 'B'",
        ),
        (
            TWO,
            {"shape_bucket_enable": True, "quantize": True, "shape_bucket_range_info": {"A": [1, 8], "B": [1, 4]}},
            r"the ranges differ",
        ),
        (TWO, {"shape_bucket_enable": True, "target": "cpu"}, r"no buckets for several variables"),
    ],
)
def test_what_would_make_the_compiler_abort_is_refused_by_name(signature: Signature, own, message: str):
    with pytest.raises(CompileError, match=message):
        NncaseBackend().check(signature, {"backend": "nncase", "options": own})


def test_buckets_outside_the_native_range_are_refused():
    options = {"options": {"shape_bucket_enable": True, "shape_bucket_range_info": {"L": [1, 8]}}}
    with pytest.raises(CompileError, match=r"buckets with L = \[9\] are outside"):
        NncaseBackend().units("m", ONE, [(9,)], options)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    directory = tmp_path / "samples"
    directory.mkdir()
    for length in (3, 8, 5, 20):
        np.savez(directory / f"s{length:02}.npz", x=np.full((1, length), length, np.float32))
    return directory


def test_samples_that_fit_are_taken_largest_first_and_padded(samples: Path):
    options = {"options": {"calibration": str(samples), "samples_count": 2}}
    found = calibration_samples(options, {"x": (1, 10)}, {"x": "float32"})
    assert [sample["x"].tolist() for sample in found] == [[[8.0] * 8 + [0.0] * 2], [[5.0] * 5 + [0.0] * 5]]


def test_samples_on_which_a_model_is_calibrated_and_judged_are_inputs_of_a_quantised_one(samples: Path, tmp_path: Path):
    def files(**own: object) -> tuple[Path, ...]:
        return NncaseBackend().input_files({"options": {"target": "k230", **own}})

    other = tmp_path / "other"
    other.mkdir()
    np.savez(other / "only.npz", x=np.zeros((1, 3), np.float32))
    calibrating = tuple(sorted(samples.iterdir()))
    assert files(calibration=str(samples)) == files(real_inputs=str(samples)) == calibrating
    assert files(calibration=str(samples), real_inputs=str(other)) == (*calibrating, other / "only.npz")
    assert files(calibration="random", real_inputs=str(other)) == (other / "only.npz",)
    assert files(calibration="random") == files(calibration=str(samples), quantize=False) == ()


QUANTISED_WITHOUT_DATA = r"real_inputs: a quantised model is calibrated and judged on real inputs.*`verify\.samples`"


@pytest.mark.parametrize("own", [{}, {"calibration": "random"}, {"target": "cpu", "quantize": True}])
def test_a_quantised_model_without_real_inputs_is_refused(own: dict[str, object]):
    with pytest.raises(CompileError, match=QUANTISED_WITHOUT_DATA):
        NncaseBackend().check(ONE, {"options": own})


def test_noise_calibrates_only_where_it_is_asked_for_by_name(tmp_path: Path):
    with pytest.raises(CompileError, match=QUANTISED_WITHOUT_DATA):
        compile_case(shared_variable_case(tmp_path), tmp_path, {"backend": "nncase", "options": {}}, check=False)


def test_judging_takes_more_of_the_real_inputs_than_calibration(samples: Path):
    options = {"options": {"real_inputs": str(samples), "samples_count": 1}}
    assert len(calibration_samples(options, {"x": (1, 10)}, {"x": "float32"})) == 1
    found = judging_samples(options, {"x": (1, 10)}, {"x": "float32"})
    assert [int(sample["x"].max()) for sample in found] == [8, 5, 3]
    assert NncaseBackend().real_inputs({"options": {"target": "cpu"}}, {}, {}) is None


class TwoClasses:
    """A model that tells two classes apart by small differences, and inputs that are larger than noise."""

    def __init__(self, directory: Path) -> None:
        import onnx
        from onnx import helper, numpy_helper

        generator = np.random.default_rng(3)
        first, last = generator.normal(0, 1, (32, 32)), generator.normal(0, 0.2, (32, 2))
        weights = {"first": first.astype(np.float32), "last": last.astype(np.float32)}
        nodes = [
            helper.make_node("MatMul", ["x", "first"], ["a"], "a"),
            helper.make_node("Relu", ["a"], ["b"], "b"),
            helper.make_node("MatMul", ["b", "last"], ["c"], "c"),
            helper.make_node("Softmax", ["c"], ["y"], "y", axis=2),
        ]
        graph = helper.make_graph(
            nodes,
            "two",
            [helper.make_tensor_value_info("x", 1, [1, "L", 32])],
            [helper.make_tensor_value_info("y", 1, [1, "L", 2])],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        self.model = directory / "two.onnx"
        opset = [helper.make_opsetid("", 13)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(self.model))
        self.signature = Signature((TensorSpec("x", (1, "L", 32)),))
        self.real = directory / "real"
        self.real.mkdir()
        for index in range(12):
            x = generator.normal(0, 8, (1, 8, 32)).astype(np.float32)
            np.savez(self.real / f"{index:02}.npz", x=x)

    def verified(self, directory: Path, **own: object):
        options = {"backend": "nncase", "options": {"target": "k230", "real_inputs": str(self.real), **own}}
        case = ConformanceCase(self.model, self.signature, ((8,),))
        unit, files = compile_case(case, directory, options)
        signature = ModelSignature(self.signature, (TensorSpec("y", (1, "L", 2)),))
        kept = [ArtefactFile(file.name, digest_file(file)) for file in files]
        behaviour = Behaviour(plain_layouts({"y": (1, "L", 2)}), (Verdict("y", "L", "approximate"),))
        manifest = make_manifest("two", "nncase", options, signature, behaviour, [(unit, kept)], {})
        tolerance = NncaseBackend().tolerance_for(options)
        return verify_artefact(OriginalModel(self.model), manifest, files[0].parent, tolerance)


def test_a_model_quantised_on_noise_is_judged_on_real_inputs(tmp_path: Path):
    case = TwoClasses(tmp_path)
    noise = case.verified(tmp_path / "noise", calibration="random")
    assert noise.absolute > 0.3
    assert not noise.passed
    real = case.verified(tmp_path / "real_build")
    assert real.absolute < noise.absolute


@pytest.mark.parametrize(
    ("shapes", "message"),
    [({"x": (1, 2)}, "no sample fits"), ({"z": (1, 20)}, "has no array 'z' of 2 dimensions")],
)
def test_samples_that_do_not_fit_are_named(samples: Path, shapes, message: str):
    options = {"options": {"calibration": str(samples)}}
    with pytest.raises(CompileError, match=message):
        calibration_samples(options, shapes, dict.fromkeys(shapes, "float32"))


def test_generated_samples_are_the_same_every_time():
    options = {"options": {"samples_count": 2, "calibration": "random", "calibration_range": [5, 6]}}
    first, again = (calibration_samples(options, {"x": (2, 3)}, {"x": "float32"}) for _ in range(2))
    assert all(np.array_equal(left["x"], right["x"]) for left, right in zip(first, again, strict=True))
    assert not np.array_equal(first[0]["x"], first[1]["x"])
    assert all(sample["x"].min() >= 5 and sample["x"].max() <= 6 for sample in first)


@pytest.mark.parametrize("make", [image_case, transformer_case])
def test_a_cleaned_model_stays_accurate_on_the_k230_at_sizes_smaller_than_its_bucket(make, tmp_path: Path):
    case = cleaned_case(make(tmp_path), tmp_path)
    original, behaviour = case.original, case.behaviour
    bucket = dict(zip(original.signature.variables, (1, 20), strict=True))
    (tmp_path / "real").mkdir()
    generator = np.random.default_rng(0)
    sizes = [bucket | {original.signature.variables[1]: length} for length in (20, 15, 9, 12, 17, 6)]
    requests = [
        {name: generator.random(shape, dtype=np.float32) for name, shape in original.signature.shapes(each).items()}
        for each in sizes
    ]
    for index, request in enumerate(requests):
        np.savez(tmp_path / f"real/{index}.npz", **request)
    options = {"backend": "nncase", "options": {"target": "k230", "real_inputs": str(tmp_path / "real")}}
    (unit,) = NncaseBackend().units("m", original.signature, [tuple(bucket.values())], options)
    job = CompileJob(case.compiled.model, case.compiled.signature, unit, options, behaviour=behaviour)
    path = run_job(job, tmp_path / "work", log=tmp_path / "m.log", timeout=200).artefact.files[0]
    engine = load_engine(NncaseBackend.engine, path, options)
    for each, request in zip(sizes, requests, strict=True):
        expected = _reference(original.model, request)["y"]
        told = behaviour.feeds(bucket, {name: np.array([size]) for name, size in each.items()})
        answer = engine.run({**padded(request, original.signature.shapes(bucket)), **told})["y"]
        found = answer[tuple(map(slice, expected.shape))]
        assert cosine(found, expected) > 0.999
        assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    engine.close()


def test_samples_tell_their_own_size(samples: Path):
    own = {"options": {"calibration": str(samples), "samples_count": 2}}
    found = calibration_samples(
        own, {"x": (1, 10)}, {"x": "float32"}, lambda sample: {"st": np.array(sample["x"].shape)}
    )
    assert [sample["st"].tolist() for sample in found] == [[1, 8], [1, 5]]
