"""The task metric of text recognition: the share of lines read right."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.ocr.ocr import cut_line, decode, prepare_line, read_letters

WIDEST = 1 << 15
LETTERS = Path("models/ppocr_rec.onnx")

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Sequence[Arrays]], Sequence[Arrays]]


def line_accuracy(run: Run, dataset: Path) -> float:
    """Return the share of lines read right, case and spaces ignored.

    Args:
        run: The recognition model.
        dataset: A det annotation with transcriptions; its images lie beside it or in ``images`` beside it.
    """
    lines = labelled_lines(dataset)
    answers = run([{"x": pixels[None]} for pixels, _ in lines])
    letters = read_letters(LETTERS)
    right = [
        same_text(decode(next(iter(answer.values()))[0], letters), text)
        for answer, (_, text) in zip(answers, lines, strict=True)
    ]
    return sum(right) / len(right)


def labelled_lines(annotation: Path, only: str = "") -> list[tuple[NDArray[np.float32], str]]:
    """Return the model's input [3, 48, W] and the text of every labelled box that has an area, of all files or one."""
    folder = annotation.parent / "images"
    lines = []
    for record in annotation.read_text(encoding="utf-8").splitlines():
        file, _, boxes = record.partition("\t")
        if only and file != only:
            continue
        path = folder / file if (folder / file).exists() else annotation.parent / file
        image = cv2.imread(str(path))
        if image is None:
            raise FileNotFoundError(path)
        for box in json.loads(boxes):
            corners = np.asarray(box["points"], dtype=np.float32)
            if box["transcription"].strip() and (np.ptp(corners, axis=0) > 0).all():
                crop = cut_line(np.asarray(image, dtype=np.uint8), corners)
                lines.append((prepare_line(crop, WIDEST), box["transcription"]))
    return lines


def same_text(read: str, truth: str) -> bool:
    """Return whether two texts agree, case and spaces ignored."""
    return "".join(read.split()).casefold() == "".join(truth.split()).casefold()
