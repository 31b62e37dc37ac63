"""Fixtures of the compilers' tests: a job for a backend that misbehaves as told."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaling_tasks.compilers import registry
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.engines.registry import get_engine
from scaling_tasks.shapes.signature import Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit


@pytest.fixture
def outside_package(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the installed form of a package that registers the backend ``faulty``."""
    directory = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).with_name("faulty_backend.py"), directory)
    info = directory / "faulty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[scaling_tasks.compilers]\nfaulty = faulty_backend:FaultyBackend\n"
        "[scaling_tasks.engines]\nfaulty = faulty_backend:FaultyEngine\n"
    )
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")]))
    _forget()
    yield directory
    sys.modules.pop("faulty_backend", None)
    _forget()


def _forget() -> None:
    registry._registered.cache_clear()
    registry.get_backend.cache_clear()
    registry.outside_version.cache_clear()
    get_engine.cache_clear()


@pytest.fixture
def make_job(outside_package: Path, tmp_path: Path) -> Callable[..., CompileJob]:
    """Make a job for the faulty backend."""

    def make(fault: str = "none", **options: str) -> CompileJob:
        model = tmp_path / "m.onnx"
        model.touch()
        signature = Signature((TensorSpec("x", (1, "W")),))
        unit = Unit("W8", "m_W8", ("W",), ((8,),))
        return CompileJob(model, signature, unit, {"backend": "faulty", "options": {"fault": fault, **options}})

    return make


@pytest.fixture
def wait_for() -> Callable[[Callable[[], object]], None]:
    """Wait until something is true; fail after a long while."""

    def wait(condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "it never became true"
            time.sleep(0.02)

    return wait
