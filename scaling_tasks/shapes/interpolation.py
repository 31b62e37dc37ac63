"""Where a resized position comes from: coordinates and weights of the ONNX operator Resize, computed on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Interpolation", "interpolation_matrix", "nearest_positions", "source_coordinates"]

_MODES = ("nearest", "linear", "cubic")
_COORDINATES = (
    *("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners", "asymmetric"),
    "tf_half_pixel_for_nn",
)
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple")


@dataclass(frozen=True)
class Interpolation:
    """How one axis is resized.

    Attributes:
        mode: ``nearest``, ``linear`` or ``cubic``.
        coordinates: The attribute ``coordinate_transformation_mode``.
        rounding: The attribute ``nearest_mode``; ``simple`` is what there was before it: down where the axis grows,
            up where it shrinks.
        scale: New over old length; 0 where that is what the lengths give.
        cubic: The attribute ``cubic_coeff_a``.
        exclude: The attribute ``exclude_outside``.
    """

    mode: str
    coordinates: str
    rounding: str = "round_prefer_floor"
    scale: float = 0.0
    cubic: float = -0.75
    exclude: bool = False

    def __post_init__(self) -> None:
        if self.mode not in _MODES or self.coordinates not in _COORDINATES or self.rounding not in _ROUNDINGS:
            raise ValueError(f"{self} is no way of resizing")

    def to_payload(self) -> list[Any]:
        """Return plain values for a JSON document."""
        return [self.mode, self.coordinates, self.rounding, self.scale, self.cubic, self.exclude]

    @classmethod
    def from_payload(cls, payload: Any) -> Interpolation:
        """Return what ``to_payload`` gave.

        Raises:
            ValueError: The payload holds something else.
        """
        mode, coordinates, rounding, scale, cubic, exclude = payload
        return cls(str(mode), str(coordinates), str(rounding), float(scale), float(cubic), bool(exclude))


def source_coordinates(how: Interpolation, positions: NDArray[Any], old: int, new: int) -> NDArray[np.float32]:
    """Return where in the old axis the new positions lie, in single precision as runtimes compute it."""
    import numpy as np

    place: NDArray[np.float32] = positions.astype(np.float32)
    half, scale = np.float32(0.5), np.float32(how.scale or new / max(old, 1))
    if how.coordinates == "align_corners":
        found = place * np.float32(old - 1) / np.float32(max(new - 1, 1))
    elif how.coordinates == "asymmetric":
        found = place / scale
    elif how.coordinates == "tf_half_pixel_for_nn":
        found = (place + half) / scale
    elif how.coordinates == "pytorch_half_pixel" and new <= 1:
        found = np.zeros_like(place)
    elif how.coordinates == "half_pixel_symmetric":
        # The centre stays in place although the new length is a rounded one (definition of the operator, version 19).
        adjustment = np.float32(new) / (scale * np.float32(old))
        moved = np.float32(old) / 2 * (1 - adjustment)
        # Only this is computed in double precision (found by comparing with onnxruntime at all lengths).
        found = (float(moved) + (place.astype(np.float64) + 0.5) / float(scale) - 0.5).astype(np.float32)
    else:
        found = (place + half) / scale - half
    return np.asarray(found, np.float32)


def nearest_positions(how: Interpolation, coordinates: NDArray[np.float32], old: int) -> NDArray[np.int64]:
    """Return which old positions are nearest, within the axis."""
    import numpy as np

    down, up = np.floor(coordinates), np.ceil(coordinates)
    # onnxruntime takes for half-way what is within 1e-6 of it (found by comparing all pairs of lengths).
    middle = np.abs(coordinates - (down + np.float32(0.5))) <= 1e-6
    rule = how.rounding if how.rounding != "simple" else ("ceil" if 0 < how.scale < 1 else "floor")
    if rule == "round_prefer_floor":
        found = np.where(middle, down, np.round(coordinates))
    elif rule == "round_prefer_ceil":
        found = np.where(middle, up, np.round(coordinates))
    else:
        found = down if rule == "floor" else up
    return np.clip(found, 0, max(old - 1, 0)).astype(np.int64)


def interpolation_matrix(how: Interpolation, old: int, new: int) -> NDArray[np.float64]:
    """Return what each new position takes of each old one, [new, old]."""
    import numpy as np

    matrix = np.zeros((new, old))
    lines = np.arange(new)
    places = source_coordinates(how, lines, old, new)
    if how.mode == "nearest":
        matrix[lines, nearest_positions(how, places, old)] = 1
    elif how.mode == "linear":
        places = np.clip(places, 0, old - 1)
        low = np.floor(places).astype(np.int64)
        rest = (places - low).astype(np.float64)
        np.add.at(matrix, (lines, low), 1 - rest)
        np.add.at(matrix, (lines, np.minimum(low + 1, old - 1)), rest)
    else:
        low = np.floor(places).astype(np.int64)
        taps = low[:, None] + np.arange(-1, 3)
        weights = _cubic(np.abs(places[:, None].astype(np.float64) - taps), how.cubic)
        if how.exclude:
            weights = np.where((taps >= 0) & (taps < old), weights, 0.0)
            weights = weights / weights.sum(axis=1, keepdims=True)
        np.add.at(matrix, (lines[:, None], np.clip(taps, 0, old - 1)), weights)
    return matrix


def _cubic(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:

    import numpy as np

    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
