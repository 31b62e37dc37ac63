"""Fixtures shared by all tests."""

from __future__ import annotations

import os
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
