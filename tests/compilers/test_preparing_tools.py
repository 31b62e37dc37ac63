"""What prepares models and data beside a compiler is in the keys: another version of it may make something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scaling_tasks import machine
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import CompileError, EngineError
from scaling_tasks.samples import container

QUANTISED = {"options": {"target": "cpu", "quantize": True}}


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have one package say that it is of another version."""
    true = machine._known_version

    def do(package: str) -> None:
        forget()
        monkeypatch.setattr(machine, "_known_version", lambda name: "99" if name == package else true(name))

    yield do
    monkeypatch.undo()
    forget()


def forget() -> None:
    machine.versions.cache_clear()
    container.measuring.cache_clear()
    container._format.cache_clear()


@pytest.mark.parametrize(
    ("backend", "options", "package"),
    [
        ("nncase", {"options": {"target": "cpu"}}, "onnxruntime"),
        ("nncase", {"options": {"target": "cpu"}}, "onnx"),
        ("nncase", {"options": {"target": "cpu"}}, "flatbuffers"),
        ("nncase", QUANTISED, "numpy"),
        ("nncase", QUANTISED, "pillow"),
        ("lite", {"device": "cpu"}, "onnxruntime"),
        ("lite", {"device": "cpu"}, "onnx"),
        ("lite", {"device": "cpu"}, "flatbuffers"),
    ],
)
def test_it_is_part_of_the_toolchain(upgrade: Any, backend: str, options: dict[str, Any], package: str) -> None:
    given = {"backend": backend, **options}
    try:
        before = get_backend(backend).identity(given)
    except (CompileError, EngineError) as error:
        pytest.skip(str(error))
    upgrade(package)
    after = get_backend(backend).identity(given)
    assert {name for name in after if after[name] != before[name]} == {package}


def test_it_is_not_where_nothing_is_calibrated() -> None:
    try:
        found = get_backend("nncase").identity({"backend": "nncase", "options": {"target": "cpu"}})
    except CompileError as error:
        pytest.skip(str(error))
    assert "pillow" not in found


@pytest.mark.parametrize(
    ("model", "package", "other"), [("a.onnx", "onnxruntime", "flatbuffers"), ("a.tflite", "ai-edge-litert", "onnx")]
)
def test_what_answers_as_the_original_is_named(upgrade: Any, model: str, package: str, other: str) -> None:
    before = machine.versions_for(model)
    assert other not in before
    upgrade(package)
    assert machine.versions_for(model) != before


def test_what_reads_the_headers_of_images_is_in_the_key_of_scan_caches(upgrade: Any) -> None:
    before = container.measuring(), container._format()
    upgrade("imagesize")
    after = container.measuring(), container._format()
    assert all(new != old for new, old in zip(after, before, strict=True))
