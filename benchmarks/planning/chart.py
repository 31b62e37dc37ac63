"""Curves of padding against the number of buckets as a self-contained SVG, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from scaling_tasks.files import write_if_changed

__all__ = ["draw_curves"]

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 440, 60, 40, 190, 50
_COLOURS = (
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
    "#888888",
    "#aaaaaa",
)

Curves = Mapping[str, Sequence[tuple[float, float]]]


def draw_curves(path: Path, title: str, curves: Curves) -> None:
    """Write the picture of (buckets, padding in per cent) curves; the first one is drawn thick."""
    points = [point for curve in curves.values() for point in curve if point[1] > 0]
    if not points:
        return
    lows = [min(point[axis] for point in points) for axis in (0, 1)]
    highs = [max(point[axis] for point in points) for axis in (0, 1)]
    scale = _Scale(lows, highs)
    parts = [_text(_LEFT, 24, title, size=15), *_axes(scale, lows, highs)]
    for index, (name, curve) in enumerate(curves.items()):
        parts += _curve(scale, name, sorted(curve), index)
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
    text = f'{head}\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    write_if_changed(path, text.encode(), below=path.parent)


class _Scale:
    def __init__(self, lows: Sequence[float], highs: Sequence[float]) -> None:
        self._lows = [math.log(low) for low in lows]
        self._spans = [max(1e-9, math.log(high) - low) for high, low in zip(highs, self._lows, strict=True)]

    def x(self, value: float) -> float:
        return _LEFT + (math.log(value) - self._lows[0]) / self._spans[0] * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (math.log(value) - self._lows[1]) / self._spans[1] * (_HEIGHT - _TOP - _BOTTOM)


def _axes(scale: _Scale, lows: Sequence[float], highs: Sequence[float]) -> list[str]:
    parts = [_text(_LEFT, _HEIGHT - 8, "buckets"), _text(4, _TOP - 4, "padding, %")]
    for exponent in range(11):
        if lows[0] <= 2**exponent <= highs[0]:
            parts.append(_text(scale.x(2**exponent) - 4, _HEIGHT - _BOTTOM + 18, str(2**exponent)))
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if lows[1] <= tick <= highs[1]:
            y = scale.y(tick)
            parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>')
            parts.append(_text(8, y + 4, f"{tick:g}"))
    return parts


def _curve(scale: _Scale, name: str, curve: Sequence[tuple[float, float]], index: int) -> list[str]:
    colour, y = _COLOURS[index % len(_COLOURS)], _TOP + 20 * index
    width = 3.5 if index == 0 else 1.5
    steps = " ".join(f"{scale.x(x):.1f},{scale.y(padding):.1f}" for x, padding in curve if padding > 0)
    legend = f'<path d="M{_WIDTH - _RIGHT + 15} {y}h22" stroke="{colour}" stroke-width="{width}"/>'
    line = f'<polyline points="{steps}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
    return [line, legend, _text(_WIDTH - _RIGHT + 44, y + 4, name)]


def _text(x: float, y: float, text: str, size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}">{escape(text)}</text>'
