"""Images as real inputs: scaled into the bucket, normalised, laid out as the model's input."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import CompileError, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["IMAGE_SUFFIXES", "image_input"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

_LONGEST_SIDE = 1 << 15  # pixels, of what is cut out
_CHANNELS = {1: "L", 3: "RGB"}


def image_input(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    options: Mapping[str, Any],
    box: Sequence[tuple[float, float]] = (),
) -> dict[str, NDArray[np.generic]]:
    """Return an image as the one input of a model, no larger than the bucket, which the caller pads it to.

    The image keeps its proportions and becomes as large as fits. Pixels become ``(value / 255 - mean) / std`` with
    ``calibration_mean`` and ``calibration_std`` (0.5 each, so that they lie between -1 and 1), in the order red, green,
    blue, or reversed where ``calibration_bgr`` is true.

    Args:
        path: The image.
        shapes: The bucket's shape of the one input: four dimensions, 1 or 3 channels in second or last place.
        options: The backend's own options.
        box: Four corners, from the upper left clockwise, of what is cut out and turned upright; all where empty.

    Raises:
        CompileError: The model's input is no image, or the file is none.
    """
    import numpy as np

    (name, shape), *others = shapes.items()
    if others or len(shape) != 4 or not {shape[1], shape[3]} & set(_CHANNELS):
        raise CompileError(f"an image cannot fill the inputs {dict(shapes)}", where=str(path), fix="Give .npz files.")
    first = shape[1] in _CHANNELS
    height, width, channels = (shape[2], shape[3], shape[1]) if first else (shape[1], shape[2], shape[3])
    pixels = _pixels(path, height, width, channels, box)
    values = (pixels / 255 - options.get("calibration_mean", 0.5)) / options.get("calibration_std", 0.5)
    if options.get("calibration_bgr", False):
        values = values[..., ::-1]
    image = values.astype(np.float32)[None]
    return {name: np.ascontiguousarray(image.transpose(0, 3, 1, 2) if first else image)}


def _pixels(
    path: Path, height: int, width: int, channels: int, box: Sequence[tuple[float, float]]
) -> NDArray[np.float32]:
    """Return the image, as large as fits into height and width, as [rows, columns, channels] of 0 to 255."""
    import numpy as np

    try:
        from PIL import Image, ImageOps
    except ImportError as cause:
        raise CompileError("needs Pillow to be read", where=str(path), fix="Run `pip install pillow`.") from cause
    try:
        with Image.open(path) as file:
            image = _cut(ImageOps.exif_transpose(file).convert(_CHANNELS[channels]), box)
    except Exception as cause:  # Each of Pillow's readers raises what it likes for a damaged file.
        raise CompileError(f"is no readable image ({one_line(cause)})", where=str(path), fix="Remove it.") from cause
    scale = min(height / image.height, width / image.width)
    size = max(1, min(width, round(image.width * scale))), max(1, min(height, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), np.float32).reshape(size[1], size[0], channels)


def _cut(image: Any, box: Sequence[tuple[float, float]]) -> Any:
    """Return what lies in the box."""
    if not box:
        return image
    from PIL import Image

    upper_left, upper_right, lower_right, lower_left = box
    sides = math.dist(upper_left, upper_right), math.dist(upper_left, lower_left)
    if not max(sides) <= _LONGEST_SIDE:  # NaN is no length either.
        raise ValueError(f"a box of {sides[0]:g} by {sides[1]:g} pixels")
    size = max(1, round(sides[0])), max(1, round(sides[1]))
    corners = (*upper_left, *lower_left, *lower_right, *upper_right)
    return image.transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)
