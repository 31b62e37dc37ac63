"""Bundles whose engines are processes: nncase's simulator and MindSpore Lite under a Python of its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import BundleError, CompileError
from scaling_tasks.execution.process_trees import descendants
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.bundle import load_bundle
from tests.runtime.test_real_bundles import build

SHAPE, BUCKETS = [-1, 3, 48, -1], [(1, 64), (2, 64), (1, 96)]
# Per backend its own options.
BACKENDS: dict[str, dict[str, object]] = {"nncase": {"target": "cpu"}, "lite": {}}

Builder = Callable[..., Path]


@pytest.fixture(scope="module")
def classifier(ocr_models: Path) -> Path:
    return ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def require(backend: str, **own: object) -> None:
    try:
        get_backend(backend).identity({"backend": backend, "device": "cpu", "options": own})
    except CompileError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module", params=BACKENDS)
def bundle(request: pytest.FixtureRequest, classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backend, own = request.param, BACKENDS[request.param]
    require(backend, **own)
    return build(classifier, backend, SHAPE, BUCKETS, tmp_path_factory.mktemp(backend) / "bundle", **own)


@pytest.fixture(scope="module")
def original(classifier: Path) -> Callable[..., Any]:
    """What onnxruntime answers to pixels, padded as the runtime pads them."""
    model = OriginalModel(classifier)

    def answer(pixels: Any, width: int = 0) -> Any:
        filled = np.pad(pixels, [(0, 0)] * 3 + [(0, max(0, width - pixels.shape[3]))])
        return next(iter(model.run({"x": filled}).values()))

    return answer


def pixels_of(count: int, width: int) -> Any:
    return np.random.default_rng((count, width)).random((count, 3, 48, width), dtype=np.float32) * 2 - 1


def only(results: dict[str, Any]) -> Any:
    (array,) = results.values()
    return array


# Five rows and two wide ones are cut over the buckets.
SIZES = [(1, 64), (2, 64), (1, 96), (1, 40), (5, 33), (2, 80)]


def width_of(size: int) -> int:
    return 64 if size <= 64 else 96


def test_every_way_to_ask_gives_the_answer_at_the_padded_size(bundle: Path, original: Callable[..., Any]) -> None:
    requests = [{"x": pixels_of(*size)} for size in SIZES]
    wanted = [original(request["x"], width_of(width)) for request, (_, width) in zip(requests, SIZES, strict=True)]
    with load_bundle(bundle, in_flight=2) as model:
        model.warm_up()
        alone = [only(model.run(request)) for request in requests]
        background = [only(future.result()) for future in [model.submit(request) for request in requests]]
        together = [only(result) for result in model.run_many(requests)]
        for results in (alone, background, together):
            for found, answer in zip(results, wanted, strict=True):
                assert found.shape == answer.shape
                np.testing.assert_allclose(found, answer, atol=1e-4)
        np.testing.assert_allclose(alone[0], original(requests[0]["x"]), atol=1e-4)


def test_threads_do_not_mix_their_answers(bundle: Path) -> None:
    requests = [{"x": pixels_of(count, width)} for count, width in SIZES]
    failures: list[BaseException] = []
    with load_bundle(bundle, copies=2) as model:
        serial = [only(model.run(request)) for request in requests]

        def work(turn: int) -> None:
            try:
                for step in range(2 * len(requests)):
                    index = (step + turn) % len(requests)
                    np.testing.assert_array_equal(only(model.run(requests[index])), serial[index])
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(turn,)) for turn in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_killed_engine_fails_one_request_and_comes_back(bundle: Path, original: Callable[..., Any]) -> None:
    before = set(descendants(os.getpid()))
    request = {"x": pixels_of(1, 64)}
    with load_bundle(bundle) as model:
        model.run(request)
        started = set(descendants(os.getpid())) - before
        assert started
        for process in started:
            os.kill(process, signal.SIGKILL)
        with pytest.raises(BundleError, match="made the engine's process end"):
            model.run(request)
        np.testing.assert_allclose(only(model.run(request)), original(request["x"]), atol=1e-4)
    assert set(descendants(os.getpid())) <= before


def test_evicted_engines_end_their_processes(bundle: Path) -> None:
    before = set(descendants(os.getpid()))
    with load_bundle(bundle, resident=1) as model:
        for count, width in ((1, 64), (1, 96), (1, 64)):
            model.run({"x": pixels_of(count, width)})
            assert len(set(descendants(os.getpid())) - before) == 1
    assert set(descendants(os.getpid())) <= before


def test_a_quantised_bundle_answers_nearly_as_the_original(
    classifier: Path, original: Callable[..., Any], tmp_path: Path
) -> None:
    require("nncase", target="k230")
    own = {"target": "k230", "samples_count": 2, "calibration": "random"}
    directory = build(classifier, "nncase", [1, 3, 48, -1], [(48,)], tmp_path / "bundle", **own)
    with load_bundle(directory, warm_up=True) as model:
        manifest = model.manifest
        engine = load_engine("nncase", directory / manifest.artefacts[0].files[0].name, manifest.options)
        for width in (48, 20, 48):
            pixels = pixels_of(1, width)
            padded = np.pad(pixels, [(0, 0)] * 3 + [(0, 48 - width)])
            found = only(model.run({"x": pixels}))
            np.testing.assert_array_equal(found, only(engine.run({"x": padded})))
            # Eight bits, calibrated on noise.
            np.testing.assert_allclose(found, original(padded), atol=0.25)
        engine.close()
        together = model.run_many([{"x": pixels_of(1, width)} for width in (48, 20)])
        np.testing.assert_array_equal(only(together[0]), found)
