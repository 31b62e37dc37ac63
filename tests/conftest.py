"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_DEFAULT_DATA = Path(__file__).resolve().parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of the optional real data; tests that need it skip where it is absent."""
    directory = Path(os.environ.get("SCALING_TASKS_DATA", _DEFAULT_DATA)).resolve()
    if not directory.is_dir():
        pytest.skip("the optional real data is not on this machine; set SCALING_TASKS_DATA to its directory")
    return directory


@pytest.fixture(scope="session")
def ocr_models() -> Path:
    """Directory of the PP-OCRv4 models inside the rapidocr-onnxruntime wheel."""
    import importlib.util

    spec = importlib.util.find_spec("rapidocr_onnxruntime")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the extra 'example' is not installed: its wheel carries the PP-OCR models")
    return Path(next(iter(spec.submodule_search_locations))) / "models"


@pytest.fixture
def lite_python(monkeypatch: pytest.MonkeyPatch) -> str:
    """The Python that has MindSpore Lite, for commands that run in other directories."""
    from scaling_tasks.compilers.lite_toolchain import find_toolchain
    from scaling_tasks.errors import CompileError

    try:
        python = find_toolchain("cpu").python
    except CompileError as error:
        pytest.skip(str(error))
    if python is None:
        pytest.skip("only converter_lite was found, which cannot run a model")
    monkeypatch.setenv("SCALING_TASKS_MINDSPORE_LITE_PYTHON", str(python))
    return str(python)


def state_of(directory: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {path.as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of somebody else, with names like ours in it, which stays as it is."""
    place = tmp_path.parent / f"{tmp_path.name}-outside"
    for name in ("net/old.json", "deep/er/x", "gone.json", "lock", "a.onnx", "images.log", "x.json"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"content")
    for path in (place, *place.rglob("*")):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    before = state_of(place)
    yield place
    assert state_of(place) == before
    shutil.rmtree(place)
