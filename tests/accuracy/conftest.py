"""The original recognition model, run at exact widths: what every bundle is compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.accuracy.ocr import characters, decode

Reader = Callable[[NDArray[np.float32]], str]


@pytest.fixture(scope="session")
def alphabet(ocr_models: Path) -> list[str]:
    return characters(_session(ocr_models).get_modelmeta().custom_metadata_map)


@pytest.fixture(scope="session")
def read_exactly(ocr_models: Path, alphabet: list[str]) -> Reader:
    """Return what the original model reads on one line, pixels [3, 48, W], without any padding."""
    session = _session(ocr_models)

    def read(pixels: NDArray[np.float32]) -> str:
        (probabilities,) = session.run(None, {"x": pixels[np.newaxis]})
        return decode(probabilities[0], alphabet)

    return read


def _session(ocr_models: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    return onnxruntime.InferenceSession(ocr_models / "ch_PP-OCRv4_rec_infer.onnx", options)
