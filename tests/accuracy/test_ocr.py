"""The OCR helpers themselves: geometry as planned, decoding as defined."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

import scaling_tasks as st
from tests.accuracy.ocr import HEIGHT, characters, crop_line, decode, labelled_crops, prepare_crop, same_text

ALPHABET = ["", "a", "b", " "]


@pytest.mark.parametrize(
    ("classes", "text"),
    [([1, 1, 0, 1, 2, 2], "aab"), ([0, 0], ""), ([1, 3, 2, 0, 0, 2], "a bb"), ([2, 2, 2], "b")],
)
def test_decoding_merges_repeats_and_drops_blanks(classes: list[int], text: str) -> None:
    assert decode(np.eye(4, dtype=np.float32)[classes], ALPHABET) == text


def test_the_alphabet_is_the_models_list_between_blank_and_space() -> None:
    assert characters({"character": "x\ny"}) == ["", "x", "y", " "]


def test_texts_agree_apart_from_case_and_spaces() -> None:
    assert same_text("TAMAN Daya", "taman DA YA")
    assert not same_text("TAMAN DAYA", "TAMAN DAYA.")


def test_crops_are_upright_rectangles() -> None:
    pytest.importorskip("cv2", reason="OpenCV comes with the extra 'example'")
    image = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
    np.testing.assert_array_equal(crop_line(image, [[5, 8], [35, 8], [35, 20], [5, 20]]), image[8:20, 5:35])
    tall = crop_line(image, [[5, 8], [15, 8], [15, 38], [5, 38]])
    np.testing.assert_array_equal(tall, np.rot90(image[8:38, 5:15]))
    assert crop_line(image, [[5, 8], [25, 8], [25, 37], [5, 37]]).shape == (29, 20, 3)


def test_prepared_crops_have_the_models_height_and_range() -> None:
    pytest.importorskip("cv2", reason="OpenCV comes with the extra 'example'")
    crop = np.zeros((31, 100, 3), np.uint8)
    crop[:, :, 0] = 255
    pixels = prepare_crop(crop)
    assert pixels.shape == (3, HEIGHT, math.ceil(48 * 100 / 31))
    assert pixels.dtype == np.float32
    assert (pixels[0] == 1).all()
    assert (pixels[1:] == -1).all()


def test_crops_have_the_widths_that_planning_sees(data_dir: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV comes with the extra 'example'")
    annotation = data_dir / "sroie/text_gt.txt"
    crops = labelled_crops(data_dir / "sroie/images", annotation)
    planned = st.scan_dataset(
        annotation, {"x": [1, 3, HEIGHT, -1]}, cache_path=tmp_path / "cache", preprocessing="ppocr_rec"
    )
    widths, counts = np.unique([crop.pixels.shape[2] for crop in crops], return_counts=True)
    np.testing.assert_array_equal(planned.samples[:, 0], widths)
    np.testing.assert_array_equal(planned.weights, counts)
