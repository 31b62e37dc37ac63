"""What is told when a bundle is opened: files, engines and threads that are not there or not right."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling_tasks.engines import lite_python
from scaling_tasks.engines.threads import THREADS_VARIABLE, thread_count
from scaling_tasks.errors import BundleError
from scaling_tasks.files import digest_file
from scaling_tasks.runtime import bundle
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.manifest import ArtefactFile, Fallback
from tests.documents import resealed


def test_a_bundle_without_manifest_or_backend_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json: cannot be read"):
        load_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text(resealed({"format": "scaling-tasks/manifest/6"}))
    with pytest.raises(BundleError, match="does not hold what it should"):
        load_bundle(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"copies": 0},
        {"in_flight": 0},
        {"threads": 0},
        {"threads": -3},
        {"resident": -1},
        {"resident_memory": -1},
        {"batch_wait": -0.1},
        {"batch_wait": float("nan")},
        {"resident_memory": "1GB"},
        {"resident": 1.5},
    ],
)
def test_numbers_that_are_too_small_are_refused(opened: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    opened()
    with pytest.raises(BundleError, match=rf"{next(iter(options))} is .* It is [01] at least"):
        load_bundle(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"warm_up": "bg"}, "warm_up is 'bg'. It is True, False or 'background'."),
        ({"resident_memory": 10}, "resident_memory is 10 bytes, less than any engine takes. Give bytes, such as"),
    ],
)
def test_arguments_that_are_meant_otherwise_are_refused(
    opened: Any, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    """'bg' loaded everything at once, 10 kept no engine for the next request."""
    opened()
    with pytest.raises(BundleError) as caught:
        load_bundle(tmp_path, **options)
    assert said in str(caught.value)


def test_bundles_of_one_model_are_told_apart(opened: Any, tmp_path: Path) -> None:
    opened([(1, 32)], engine="onnxruntime")
    with load_bundle(tmp_path) as model:
        assert repr(model).startswith(f"<BucketedModel {tmp_path.name} (m): fake, 1 buckets, ")
        with pytest.raises(BundleError) as caught:
            model.run({"z": 1})
        assert str(caught.value).startswith(f"{tmp_path.name} (m): ")
        assert model.manifest.model == "m"


def test_an_unknown_engine_is_a_bundle_error(opened: Any, tmp_path: Path) -> None:
    opened()
    with pytest.raises(BundleError, match="'fake' is no engine"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime", "nncase"])
def test_an_engine_that_is_not_installed_is_told_when_the_bundle_is_opened(
    name: str, opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(engine=name)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted, *more: None if wanted == name else find(wanted, *more)
    )
    with pytest.raises(BundleError, match=rf"{name} is not installed.*pip install"):
        load_bundle(tmp_path)


def test_a_lite_bundle_without_mindspore_lite_is_told_when_it_is_opened(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(engine="lite")
    monkeypatch.setattr(lite_python, "_find", lambda device, explicit, directory: None)
    with pytest.raises(BundleError, match=r"no Python with mindspore_lite was found.*provision_lite"):
        load_bundle(tmp_path)


def test_an_offline_model_is_not_served_from_here(opened: Any, tmp_path: Path) -> None:
    opened(engine="om")
    with pytest.raises(BundleError, match="runs on an Ascend NPU only"):
        load_bundle(tmp_path)


def test_engines_get_the_threads_that_were_asked_for(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, log = opened([(1, 32)])
    given: list[int | None] = []

    class Kind:
        @staticmethod
        def check(options: Any) -> None: ...

        @staticmethod
        def load(path: Path, options: Any) -> Any:
            given.append(thread_count())
            return log.load(path, options)

    monkeypatch.setattr(bundle, "get_engine", lambda name: Kind)
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    for threads in (None, 3):
        with load_bundle(tmp_path, threads=threads) as model:
            model.run({"x": np.zeros((1, 3, 8), np.float32)})
    assert given == [None, 3]
    assert thread_count() is None


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("width", [16, 64], ids=["bucket", "fallback"])
def test_what_does_not_load_is_told_by_the_name_of_the_bundle(
    engine: str, width: int, opened: Any, tmp_path: Path
) -> None:
    (tmp_path / "dynamic.onnx").write_bytes(b"no model")
    fallback = Fallback(engine, ArtefactFile("dynamic.onnx", digest_file(tmp_path / "dynamic.onnx")))
    opened([(1, 32)], engine=engine, oversize="fallback", fallback=fallback)
    # The directory is held by its descriptor, which is nothing that a reader could look at.
    with load_bundle(tmp_path) as model, pytest.raises(BundleError, match="does not load") as raised:
        model.run({"x": np.zeros((1, 3, width), np.float32)})
    assert "/proc/" not in str(raised.value)
    assert str(raised.value).startswith(f"{tmp_path}/")
