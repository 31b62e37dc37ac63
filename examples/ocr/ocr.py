"""Read the text of images with two bundles: find the lines, cut them out, read them all in one call.

    python examples/ocr/ocr.py datasets/receipts/images/*.jpg

Needs OpenCV, numpy and the bundles' engine. The steps are PP-OCR's.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.model import BucketedModel

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

LINE_HEIGHT, LONGEST_SIDE = 48, 960
DIRECTION_WIDTH, DIRECTION_THRESHOLD = 192, 0.9
MASK_THRESHOLD, BOX_THRESHOLD, GROW = 0.3, 0.5, 1.6


@dataclass(frozen=True)
class Line:
    """One line of text: its corners in the image, clockwise from the top left, and what it says."""

    corners: Floats
    text: str


def read_image(
    image: Pixels,
    detection: BucketedModel,
    recognition: BucketedModel,
    letters: Sequence[str],
    direction: BucketedModel | None = None,
) -> list[Line]:
    """Return the lines of ``image`` (BGR) from top to bottom; where ``direction`` is given, upside down ones too."""
    boxes = find_lines(image, detection)
    widest = max(bucket["W"] for bucket in recognition.buckets)
    cuts = [cut_line(image, box) for box in boxes]
    if direction is not None:
        cuts = upright(cuts, direction)
    crops = [prepare_line(cut, widest) for cut in cuts]
    # The runtime decides which lines run together, pads each to its bucket, and cuts the answers back.
    answers = recognition.run_many([{"x": crop[None]} for crop in crops])
    texts = [decode(next(iter(answer.values()))[0], letters) for answer in answers]
    return [Line(box, text) for box, text in zip(boxes, texts, strict=True) if text]


def find_lines(image: Pixels, detection: BucketedModel) -> list[Floats]:
    """Return the corners of every text line, float32 [4, 2] each."""
    height, width = detection_size(image, detection)
    pixels = cv2.resize(image, (width, height)).astype(np.float32) / 255
    (answer,) = detection.run({"x": ((pixels - 0.5) / 0.5).transpose(2, 0, 1)[None]}).values()
    boxes = boxes_of(np.asarray(answer[0, 0], dtype=np.float32))
    scale = np.array([image.shape[1] / width, image.shape[0] / height], dtype=np.float32)
    return sorted((box * scale for box in boxes), key=lambda box: (round(float(box[:, 1].mean()) / 10), box[0, 0]))


def detection_size(image: Pixels, detection: BucketedModel) -> tuple[int, int]:
    """Return height and width in multiples of 32, the longer side at most 960, that some bucket contains."""
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    while True:
        height, width = (max(32, round(side * scale / 32) * 32) for side in image.shape[:2])
        try:
            detection.select({"H": height, "W": width})
        except BundleError:
            if height == width == 32:
                raise
            scale *= 0.95
        else:
            return height, width


def boxes_of(scores: Floats) -> list[Floats]:
    """Return the rectangles around the regions of high score, grown to what the model was trained to shrink."""
    mask = cv2.dilate((scores > MASK_THRESHOLD).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour in contours:
        center, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < 3 or mean_inside(scores, contour) < BOX_THRESHOLD:
            continue
        grow = width * height * GROW / (width + height)
        boxes.append(clockwise(cv2.boxPoints((center, (width + grow, height + grow), angle))))
    return boxes


def mean_inside(scores: Floats, contour: Any) -> float:
    """Return the mean score inside a contour."""
    x, y, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [contour - [x, y]], 1)
    return float(cv2.mean(scores[y : y + height, x : x + width], inside)[0])


def clockwise(corners: Any) -> Floats:
    """Return four corners from the top left on."""
    left, right = np.split(corners[np.argsort(corners[:, 0])], 2)
    (top_left, bottom_left), (top_right, bottom_right) = left[np.argsort(left[:, 1])], right[np.argsort(right[:, 1])]
    return np.array([top_left, top_right, bottom_right, bottom_left], dtype=np.float32)


def cut_line(image: Pixels, corners: Floats) -> Pixels:
    """Return the quadrilateral as an upright rectangle; one at least 1.5 times as high as wide is turned."""
    width = max(1, int(max(np.linalg.norm(corners[0] - corners[1]), np.linalg.norm(corners[2] - corners[3]))))
    height = max(1, int(max(np.linalg.norm(corners[0] - corners[3]), np.linalg.norm(corners[1] - corners[2]))))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    transform = cv2.getPerspectiveTransform(np.asarray(corners, dtype=np.float32), target)
    crop = cv2.warpPerspective(
        image, transform, (width, height), borderMode=cv2.BORDER_REPLICATE, flags=cv2.INTER_CUBIC
    )
    return np.asarray(np.rot90(crop) if height / width >= 1.5 else crop, dtype=np.uint8)


def upright(cuts: Sequence[Pixels], direction: BucketedModel) -> list[Pixels]:
    """Return the lines, those turned that the model takes for upside down."""
    inputs = np.zeros((len(cuts), 3, LINE_HEIGHT, DIRECTION_WIDTH), np.float32)
    for row, cut in zip(inputs, cuts, strict=True):
        line = prepare_line(cut, DIRECTION_WIDTH)
        row[:, :, : line.shape[2]] = line
    if not cuts:
        return []
    (answer,) = direction.run({"x": inputs}).values()
    turned = answer[:, 1] > DIRECTION_THRESHOLD
    return [np.asarray(np.rot90(cut, 2)) if turn else cut for cut, turn in zip(cuts, turned, strict=True)]


def prepare_line(crop: Pixels, widest: int) -> Floats:
    """Return the recognition model's input [3, 48, W], W in proportion; a line that is too long is squeezed."""
    width = min(widest, math.ceil(LINE_HEIGHT * (crop.shape[1] / crop.shape[0])))
    resized = cv2.resize(np.ascontiguousarray(crop), (width, LINE_HEIGHT)).astype(np.float32)
    return np.ascontiguousarray(((resized / 255 - 0.5) / 0.5).transpose(2, 0, 1), dtype=np.float32)


def decode(scores: NDArray[Any], letters: Sequence[str]) -> str:
    """Return the text of [T, classes]: the best class at each step, repeats merged, blanks (class 0) dropped."""
    best = scores.argmax(axis=1)
    starts = np.append(True, best[1:] != best[:-1])
    return "".join(letters[index] for index in best[starts])


def read_letters(path: Path) -> list[str]:
    """Return the text of each class: the blank, then one letter per line of a text file or of a model's metadata."""
    if path.suffix != ".onnx":
        return ["", *path.read_text(encoding="utf-8").splitlines(), " "]
    import onnx

    metadata = onnx.load(str(path)).metadata_props
    return ["", *next(each.value for each in metadata if each.key == "character").splitlines(), " "]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the text of each image."""
    parser = argparse.ArgumentParser(description="Read the text of images with two bundles.")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--detection", type=Path, default=Path("build/ppocr_det"))
    parser.add_argument("--recognition", type=Path, default=Path("build/ppocr_rec"))
    parser.add_argument("--letters", type=Path, default=Path("models/ppocr_rec.onnx"), help="text file or model")
    options = parser.parse_args(arguments)
    letters = read_letters(options.letters)
    with load_bundle(options.detection) as detection, load_bundle(options.recognition) as recognition:
        for path in options.images:
            image = cv2.imread(str(path))
            if image is None:
                parser.error(f"{path} is no image that OpenCV can read")
            lines = read_image(np.asarray(image, dtype=np.uint8), detection, recognition, letters)
            print(f"{path}: {len(lines)} lines")
            for line in lines:
                print(f"  {line.text}")
        served = recognition.stats()
        print(f"{served.requests} lines in {sum(served.bucket_runs.values())} runs, padding {served.padding_ratio:.3f}")


if __name__ == "__main__":
    main()
