"""Compiling a model of one shape for real, and what onnxruntime answers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

OPTIONS: dict[str, dict[str, Any]] = {
    "openvino": {"backend": "openvino"},
    "lite": {"backend": "lite", "device": "cpu"},
    "nncase": {"backend": "nncase", "options": {"target": "cpu"}},
}
Feeds = Mapping[str, np.ndarray]


def answer(proto: onnx.ModelProto, feeds: Feeds) -> dict[str, np.ndarray]:
    """Return what onnxruntime answers, by the outputs' names."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    return dict(zip((each.name for each in session.get_outputs()), session.run(None, dict(feeds)), strict=True))


def assert_compiled(backend: str, proto: onnx.ModelProto, feeds: Feeds, directory: Path, **tolerance: float) -> None:
    """Assert that the model, compiled for the shapes of ``feeds``, answers as onnxruntime does.

    Args:
        backend: Its name; the test is skipped where it is missing.
        proto: The model.
        feeds: Its inputs.
        directory: For what is made.
        tolerance: ``rtol`` and ``atol`` of numpy's comparison; without either, numbers are the same.
    """
    compare = np.testing.assert_allclose if tolerance else np.testing.assert_array_equal
    with compiled(backend, proto, feeds, directory) as engine:
        found = engine.run(feeds)
    for key, value in answer(proto, feeds).items():
        compare(found[key], value, err_msg=key, **tolerance)


@contextlib.contextmanager
def compiled(backend: str, proto: onnx.ModelProto, feeds: Feeds, directory: Path) -> Iterator[Engine]:
    """Load the model, compiled for the shapes of ``feeds``; the test is skipped where the backend is missing."""
    options = OPTIONS[backend]
    try:
        get_backend(backend).identity(options)
    except (CompileError, EngineError) as error:
        pytest.skip(str(error))
    path = directory / "m.onnx"
    onnx.save(proto, str(path))
    specs = tuple(TensorSpec(key, value.shape, str(value.dtype)) for key, value in feeds.items())
    job = CompileJob(path, Signature(specs), Unit("all", "m_static", (), ((),)), options)
    files = run_job(job, directory / "made", log=directory / "m.log", timeout=100).artefact.files
    with contextlib.closing(load_engine(get_backend(backend).engine, files[0], options)) as engine:
        yield engine
