"""The exact error of real artefacts, and the comparison it rests on."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.compilers.contract import CompileJob, Tolerance
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import EngineError, VerificationFailed
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.runtime.cropping import widened
from scaling_tasks.runtime.manifest import ArtefactFile, Manifest, make_manifest
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.verification.comparison import INCOMPARABLE, Difference, compare, compare_outputs
from scaling_tasks.verification.fallback import verify_fallback
from scaling_tasks.verification.numerics import verify_artefact
from scaling_tasks.verification.verification_result import BucketCheck, VerificationResult

TIGHT = Tolerance(1e-5, 1e-4)


def linear_model(path: Path, scale: float = 1.0) -> Path:
    weight = (np.arange(12, dtype=np.float32).reshape(4, 3) - 5) * scale
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def compile_one(
    path: Path, backend: str, bucket: tuple[int, ...], workdir: Path, input_shape: dict[str, list[int]] | None = None
) -> Manifest:
    """Return the manifest of the model cleaned and compiled for a bucket; its files are in ``workdir``."""
    signature, analysis = read_signature(path, input_shape), analyse_model(path, input_shape=input_shape)
    engine = get_backend(backend)
    (unit,) = engine.units(path.stem, signature.inputs, [bucket], {})
    workdir.mkdir()
    cleaned = workdir / "cleaned.onnx"
    onnx.save(analysis.cleaned, str(cleaned))
    inputs = Signature((*signature.inputs.inputs, *analysis.behaviour.tensors()))
    files = engine.compile(CompileJob(cleaned, inputs, unit, {}), workdir).files
    named = [ArtefactFile(file.name, digest_file(file)) for file in files]
    return make_manifest(path.stem, backend, {}, signature, analysis.behaviour, [(unit, named)], {})


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_faithful_artefact_passes(tmp_path: Path, backend: str) -> None:
    path = linear_model(tmp_path / "m.onnx")
    manifest = compile_one(path, backend, (5,), tmp_path / "work")
    result = verify_artefact(OriginalModel(path), manifest, tmp_path / "work", TIGHT, rounds=2)
    assert result.passed
    assert result.failure() is None
    assert result.absolute < 1e-5
    assert result.buckets[0].worst.agreement == 1.0
    payload = json.loads(result.to_json())
    assert payload["format"] == "scaling-tasks/verification/2"
    assert payload["buckets"][0]["sizes"] == {"n": 5}
    assert {check.sizes["n"] for check in result.buckets} >= {5, 1}
    again = verify_artefact(OriginalModel(path), manifest, tmp_path / "work", TIGHT, rounds=2)
    assert again.to_json() == result.to_json()


def test_an_artefact_of_other_weights_fails_and_says_where(tmp_path: Path) -> None:
    other = linear_model(tmp_path / "other.onnx", scale=1.01)
    manifest = compile_one(other, "openvino", (5,), tmp_path / "work")
    path = linear_model(tmp_path / "m.onnx")
    result = verify_artefact(OriginalModel(path), manifest, tmp_path / "work", TIGHT, smaller=0)
    assert not result.passed
    failure = result.failure()
    assert isinstance(failure, VerificationFailed)
    assert "output 'y' differs from the original model at {'n': 5}" in str(failure)
    assert manifest.artefacts[0].stem in str(failure)


def test_an_artefact_that_is_none_is_a_compile_error(tmp_path: Path) -> None:
    path = linear_model(tmp_path / "m.onnx")
    manifest = compile_one(path, "openvino", (5,), tmp_path / "work")
    (tmp_path / "work" / manifest.artefacts[0].files[0].name).write_text("<net>")
    with pytest.raises(EngineError):
        verify_artefact(OriginalModel(path), manifest, tmp_path / "work", TIGHT)


def test_a_recogniser_bucket_on_openvino(ocr_models: Path, tmp_path: Path) -> None:
    path = ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    manifest = compile_one(path, "openvino", (2, 192), tmp_path / "work", {"x": [-1, 3, 48, -1]})
    result = verify_artefact(OriginalModel(path), manifest, tmp_path / "work", get_backend("openvino").tolerance)
    assert result.passed
    assert len({check.sizes["W"] for check in result.buckets}) > 2
    assert 0 < result.absolute < 1e-4


def arrays(*values: float) -> Any:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("found", "reference", "passed"),
    [
        (arrays(1, 2), arrays(1, 2), True),
        (arrays(1, 2.0001), arrays(1, 2), True),
        (arrays(1, 2.01), arrays(1, 2), False),
        (arrays(np.nan, 2), arrays(np.nan, 2), True),
        (arrays(np.nan, 2), arrays(1, 2), False),
        (np.array([5001, 2]), np.array([5000, 2]), False),
        (np.array([2**62 + 1]), np.array([2**62]), False),
        (arrays(np.inf, 2), arrays(np.inf, 2), True),
        (arrays(np.inf, 2), arrays(-np.inf, 2), False),
        (arrays(1, 2, 3), arrays(1, 2), False),
        (arrays(1, 2)[None], arrays(1, 2), False),
        (arrays(), arrays(1), False),
        (arrays(3e38), arrays(-3e38), False),
        (arrays(0, 1e-9), arrays(0, 0), True),
        (np.array([1, 2], np.int32), np.array([1, 2], np.int64), False),
        (np.array([1, 2], np.float64), arrays(1, 2), False),
        (np.array([True]), np.array([1], np.uint8), False),
        (None, arrays(1), False),
    ],
)
def test_what_counts_as_equal(found: Any, reference: Any, passed: bool) -> None:
    difference = compare("y", found, reference, Tolerance(1e-5, 1e-4))
    assert difference.passed is passed
    assert json.loads(json.dumps(difference.to_payload(), allow_nan=False))["passed"] is passed


def test_what_cannot_be_compared_says_why() -> None:
    assert "shape is [3], not [2]" in compare("y", arrays(1, 2, 3), arrays(1, 2), TIGHT).problem
    other = compare("y", np.array([1], np.int32), np.array([1], np.int64), TIGHT)
    assert other.problem == "the element type is int32, not int64"
    (missing,) = compare_outputs({}, {"y": arrays(1)}, TIGHT)
    assert (missing.problem, missing.absolute) == ("the output is missing", INCOMPARABLE)


def test_what_was_compared_nowhere_does_not_pass() -> None:
    result = VerificationResult("m.xml", "b", TIGHT, ())
    assert not result.passed
    assert "no bucket" in str(result.failure())


@pytest.mark.parametrize("accepted", [math.nan, math.inf])
@pytest.mark.parametrize("found", [arrays(np.nan), arrays(np.inf), arrays(1, 2), arrays(1)[None]])
def test_no_tolerance_accepts_what_cannot_be_compared(found: Any, accepted: float) -> None:
    difference = compare("y", found, arrays(1), Tolerance(accepted, accepted))
    assert not difference.passed
    assert difference.problem


def test_a_small_difference_from_zeros_is_told_as_a_small_number() -> None:
    assert compare("y", arrays(0, 1e-9), arrays(0, 0), TIGHT).relative < 1e-8


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=20), st.floats(0, 10, width=32))
def test_the_excess_is_what_allclose_decides(values: list[float], shift: float) -> None:
    reference = np.array(values, dtype=np.float64)
    found = reference + shift
    difference = compare("y", found, reference, Tolerance(0.5, 1e-3))
    assert difference.passed == bool((np.abs(found - reference) <= 0.5 + 1e-3 * np.abs(reference)).all())
    assert difference.absolute == np.abs(found - reference).max()


def test_whole_numbers_are_widened_and_nothing_else():
    given = {"a": np.array([1], np.int32), "b": np.array([1], np.float16), "c": np.array([1], np.int64)}
    found = widened(given, {"a": "int64", "b": "float32", "c": "int32"})
    assert {name: array.dtype.name for name, array in found.items()} == {"a": "int64", "b": "float16", "c": "int64"}


_AMOUNTS = st.sampled_from([0.0, 1.7961e-07, 1.7962e-07, 2.5e-07])


@given(st.lists(st.tuples(_AMOUNTS, _AMOUNTS, _AMOUNTS), min_size=1, max_size=4))
def test_what_was_found_of_several_outputs_survives_its_document(amounts: list[tuple[float, float, float]]) -> None:
    """Which output was furthest off hung on digits that the document leaves out: it could not be read again."""
    outputs = tuple(
        Difference(f"y{at}", absolute, relative, None, excess - 1e-4)
        for at, (absolute, relative, excess) in enumerate(amounts)
    )
    result = VerificationResult("net", "fake", Tolerance(1e-4, 1e-3), (BucketCheck({"W": 8}, {"W": 8}, outputs),))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "verification.json"
        path.write_text(result.to_json())
        assert VerificationResult.read(path).to_json() == result.to_json()


@pytest.mark.parametrize(
    ("left", "right", "advice"),
    [
        (np.zeros((1, 8)), np.zeros((1, 3)), "No tolerance accepts that"),
        (np.zeros(3, np.float32), np.zeros(3), "No tolerance accepts that"),
        (np.full(3, np.nan), np.zeros(3), "No tolerance accepts that"),
        (np.ones(3), np.zeros(3), "raise verify.absolute or verify.relative"),
        (np.ones(3, np.int64), np.zeros(3, np.int64), "It holds whole numbers"),
    ],
)
def test_a_tolerance_is_offered_only_where_it_helps(left: Any, right: Any, advice: str) -> None:
    """To raise a tolerance was the advice for another shape, too."""
    found = (compare("y", left, right, TIGHT),)
    result = VerificationResult("net", "openvino", TIGHT, (BucketCheck({"n": 4}, {"n": 4}, found),))
    said = str(result.failure(["y"] if right.dtype.kind == "i" else []))
    assert advice in said
    assert ("accepted are" in said) != ("No tolerance" in said)


def test_a_fallback_of_a_model_that_ends_is_compared_where_it_runs(tmp_path: Path) -> None:
    def saved(name: str, scale: float) -> Path:
        model = onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17]>
            g (float[n,1] x) => (float[n,1] y) <int64 none = {0}, int64 step = {1}> {
                length = Shape <start = 0, end = 1> (x)
                count = Squeeze(length)
                row = Range(none, count, step)
                place = Gather(places, row)
                y = Add(x, place)
            }"""
        )
        places = np.arange(6, dtype=np.float32)[:, None] * scale
        model.graph.initializer.append(numpy_helper.from_array(places, "places"))
        onnx.save(model, str(tmp_path / name))
        return tmp_path / name

    path, other = saved("m.onnx", 1.0), saved("other.onnx", 1.5)
    manifest = compile_one(path, "onnxruntime", (6,), tmp_path / "work")
    verify_fallback(OriginalModel(path), "onnxruntime", path, manifest, TIGHT)
    with pytest.raises(VerificationFailed, match=r"differs from the original model at \{'n': 6\}"):
        verify_fallback(OriginalModel(path), "onnxruntime", other, manifest, TIGHT)
