"""The OCR example reads a drawn page through two bundles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.runtime.test_real_bundles import build

ROOT = Path(__file__).resolve().parents[2]


def test_a_drawn_page_is_read(ocr_models: Path, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    page = np.full((320, 640, 3), 255, np.uint8)
    for row, text in enumerate(("RECEIPT 4711", "TEA 128.95", "THANKS")):
        cv2.putText(page, text, (40, 70 + 90 * row), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (0, 0, 0), 3)
    cv2.imwrite(str(tmp_path / "page.png"), page)
    detection = build(
        ocr_models / "ch_PP-OCRv4_det_infer.onnx", "openvino", [1, 3, -1, -1], [(320, 640)], tmp_path / "det"
    )
    recognition = build(
        ocr_models / "ch_PP-OCRv4_rec_infer.onnx", "openvino", [-1, 3, 48, -1], [(1, 320), (1, 640)], tmp_path / "rec"
    )
    model = ocr_models / "ch_PP-OCRv4_rec_infer.onnx"
    options = ["--detection", str(detection), "--recognition", str(recognition), "--letters", str(model)]
    command = [sys.executable, str(ROOT / "examples/ocr/ocr.py"), str(tmp_path / "page.png"), *options]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    found = ["".join(line.split()) for line in printed.splitlines()]
    assert found[1:4] == ["RECEIPT4711", "TEA128.95", "THANKS"]
    assert "3 lines in 3 runs" in printed


def test_letters_may_come_from_a_text_file(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    from examples.ocr.ocr import decode, read_letters

    (tmp_path / "letters.txt").write_text("a\nb\n")
    letters = read_letters(tmp_path / "letters.txt")
    assert decode(np.eye(4, dtype=np.float32)[[1, 1, 0, 1, 3, 2, 2]], letters) == "aa b"
