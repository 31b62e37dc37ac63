"""PP-OCR's steps around the recognition model: crop, resize, normalise, pad, decode, compare."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "HEIGHT",
    "LabelledCrop",
    "characters",
    "crop_line",
    "decode",
    "labelled_crops",
    "prepare_crop",
    "read_annotation",
    "same_text",
]

HEIGHT = 48
Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LabelledCrop:
    """One text line: its image's file name, the model's input, float32 [3, 48, W], and what it says."""

    file: str
    pixels: Floats
    text: str


def read_annotation(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the boxes per file of a det annotation (``file<TAB>[{"transcription", "points"}]``)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {file: json.loads(boxes) for file, _, boxes in (line.partition("\t") for line in lines)}


def crop_line(image: Pixels, points: Sequence[Sequence[float]]) -> Pixels:
    """Cut the quadrilateral ``points`` (clockwise from the top left) out of ``image`` [h, w, 3], made a rectangle.

    As PP-OCR's ``get_rotate_crop_image``: sides are the longer of the opposite edges, cut to whole pixels, and a crop
    at least 1.5 times as high as wide is turned by 90 degrees counter-clockwise.
    """
    import cv2

    quad = np.asarray(points, dtype=np.float32)
    width = int(max(np.linalg.norm(quad[0] - quad[1]), np.linalg.norm(quad[2] - quad[3])))
    height = int(max(np.linalg.norm(quad[0] - quad[3]), np.linalg.norm(quad[1] - quad[2])))
    rectangle = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    transform = cv2.getPerspectiveTransform(quad, rectangle)
    options = {"borderMode": cv2.BORDER_REPLICATE, "flags": cv2.INTER_CUBIC}
    crop: Pixels = np.asarray(cv2.warpPerspective(image, transform, (width, height), **options), dtype=np.uint8)
    return np.rot90(crop) if height / width >= 1.5 else crop


def prepare_crop(crop: Pixels) -> Floats:
    """Return the recognition model's input, [3, 48, W]: 48 pixels high, W keeping the ratio, values in [-1, 1], BGR."""
    import cv2

    height, width = crop.shape[:2]
    # In this order of operations, as the last bit decides what `ceil` gives.
    resized = cv2.resize(np.ascontiguousarray(crop), (math.ceil(HEIGHT * (width / height)), HEIGHT))
    return ((resized.astype(np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)


def labelled_crops(images: Path, annotation: Path) -> list[LabelledCrop]:
    """Return the text lines of all images of an annotation, in its order; boxes without text or area are left out."""
    import cv2

    crops = []
    for file, boxes in read_annotation(annotation).items():
        image = cv2.imread(str(images / file))
        if image is None:
            raise FileNotFoundError(images / file)
        for box in boxes:
            quad = np.asarray(box["points"])
            if box["transcription"].strip() and (np.ptp(quad, axis=0) > 0).all():
                pixels = prepare_crop(crop_line(image, quad))
                crops.append(LabelledCrop(file, pixels, box["transcription"]))
    return crops


def characters(metadata: Mapping[str, str]) -> list[str]:
    """Return the text of each class: the CTC blank, the model's own list, and the space."""
    return ["", *metadata["character"].splitlines(), " "]


def decode(probabilities: Floats, alphabet: Sequence[str]) -> str:
    """Return the greedy CTC reading of ``probabilities`` [T, C]: repeats merged, blanks (class 0) dropped."""
    best = probabilities.argmax(axis=1)
    starts = np.append(True, best[1:] != best[:-1])
    return "".join(alphabet[index] for index in best[starts])


def same_text(read: str, truth: str) -> bool:
    """Return whether two texts agree, case and spaces ignored."""
    return "".join(read.split()).casefold() == "".join(truth.split()).casefold()
