"""The example's drawn lines are readable: the original model gets nearly all of them right at their exact width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.accuracy.ocr import labelled_crops, same_text

DATASETS = Path(__file__).resolve().parents[2] / "datasets"


def test_the_original_model_reads_the_generated_lines(
    read_exactly: Callable[[Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2", reason="OpenCV comes with the extra 'example'")
    pytest.importorskip("PIL", reason="Pillow comes with the extra 'example'")
    monkeypatch.syspath_prepend(str(DATASETS))
    from generate import ANNOTATION, IMAGES, generate

    lines = generate(tmp_path, count=8)
    crops = labelled_crops(tmp_path / IMAGES, tmp_path / ANNOTATION)
    assert len(crops) == lines >= 150
    wrong = [crop.text for crop in crops if not same_text(read_exactly(crop.pixels), crop.text)]
    assert len(wrong) <= 0.05 * len(crops), wrong
