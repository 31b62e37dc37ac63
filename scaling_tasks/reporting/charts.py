"""Small SVG charts without any dependency: samples and buckets, histograms, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["box_chart", "curve_chart", "interval_chart"]

_WIDTH, _HEIGHT = 640, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 12, 44
_PALETTE = ("#0b6e4f", "#c2571a", "#3b5bdb", "#9c36b5", "#868e96", "#e8a200", "#1098ad", "#d6336c")


@dataclass(frozen=True)
class _Axes:
    """Maps data to pixels; each axis runs from its least to its largest value, linearly or in logarithms."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_log: bool = False

    def x(self, value: float) -> float:
        return _LEFT + _share(value, self.x_range, log=self.x_log) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - _share(value, self.y_range, log=False) * (_HEIGHT - _TOP - _BOTTOM)


def box_chart(
    samples: Sequence[tuple[float, float, float]],
    boxes: Sequence[tuple[float, float]],
    labels: tuple[str, str],
) -> str:
    """Draw samples as dots of area in proportion to weight, and buckets as boxes from the origin.

    Args:
        samples: ``(x, y, weight)`` each.
        boxes: Upper right corner ``(x, y)`` of each bucket.
        labels: What x and y are.
    """
    top_x = max([x for x, _, _ in samples] + [x for x, _ in boxes])
    top_y = max([y for _, y, _ in samples] + [y for _, y in boxes])
    axes = _Axes((0, top_x * 1.04), (0, top_y * 1.06))
    largest = max((weight for _, _, weight in samples), default=1.0)
    parts = [
        f'<rect class="bucket" x="{axes.x(0):.1f}" y="{axes.y(y):.1f}" width="{axes.x(x) - axes.x(0):.1f}" '
        f'height="{axes.y(0) - axes.y(y):.1f}"><title>bucket {x:g} × {y:g}</title></rect>'
        for x, y in sorted(boxes, key=lambda box: -box[0] * box[1])
    ]
    parts += [
        f'<circle class="sample" cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="{1.4 + 6 * math.sqrt(w / largest):.1f}"/>'
        for x, y, w in samples
    ]
    return _chart(axes, parts, labels)


def interval_chart(samples: Sequence[tuple[float, float]], buckets: Sequence[float], label: str, bars: int = 64) -> str:
    """Draw a histogram of one variable, with a line at each bucket.

    Args:
        samples: ``(value, weight)`` each.
        buckets: The buckets' values.
        label: The variable's name.
        bars: How many bars the range is cut into.
    """
    top = max([value for value, _ in samples] + list(buckets)) * 1.02
    step = top / bars
    mass = [0.0] * bars
    for value, weight in samples:
        mass[min(bars - 1, int(value / step))] += weight
    axes = _Axes((0, top), (0, max([*mass, 1.0]) * 1.06))
    parts = [
        f'<rect class="bar" x="{axes.x(index * step):.1f}" y="{axes.y(weight):.1f}" '
        f'width="{max(1.0, axes.x(step) - axes.x(0) - 1):.1f}" height="{axes.y(0) - axes.y(weight):.1f}"/>'
        for index, weight in enumerate(mass)
        if weight
    ]
    parts += [
        f'<line class="edge" x1="{axes.x(value):.1f}" x2="{axes.x(value):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}">'
        f"<title>bucket {value:g}</title></line>"
        for value in buckets
    ]
    return _chart(axes, parts, (label, "samples"))


def curve_chart(curves: Mapping[str, Sequence[tuple[float, float]]], labels: tuple[str, str]) -> str:
    """Draw curves over a logarithmic x axis, with a legend; values above four times the least maximum are cut off.

    Args:
        curves: Points ``(x, y)`` in ascending x per curve; the first is drawn strongest.
        labels: What x and y are.
    """
    points = [point for curve in curves.values() for point in curve]
    floor = min(y for _, y in points)
    ceiling = min(max(y for _, y in points), floor + 4 * (next(iter(curves.values()))[0][1] - floor + 0.05))
    axes = _Axes((min(x for x, _ in points), max(x for x, _ in points)), (floor, ceiling), x_log=True)
    parts = []
    for index, (name, curve) in enumerate(curves.items()):
        colour = _PALETTE[index % len(_PALETTE)]
        path = " ".join(f"{axes.x(x):.1f},{axes.y(min(y, ceiling)):.1f}" for x, y in curve)
        width = 2.6 if index == 0 else 1.3
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        x, y = _WIDTH - 150, _TOP + 14 + 15 * index
        parts.append(f'<line x1="{x}" x2="{x + 18}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 24}" y="{y}">{escape(name)}</text>')
    return _chart(axes, parts, labels)


def _chart(axes: _Axes, parts: Sequence[str], labels: tuple[str, str]) -> str:
    marks = [
        f'<text class="tick" x="{axes.x(v):.1f}" y="{_HEIGHT - _BOTTOM + 16}" text-anchor="middle">{v:g}</text>'
        for v in _ticks(axes.x_range, log=axes.x_log)
    ]
    for value in _ticks(axes.y_range, log=False):
        y = axes.y(value)
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        marks.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    names = (
        f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">{escape(labels[0])}</text>'
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(labels[1])}</text>'
    )
    body = "".join(marks) + "".join(parts) + names
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{body}</svg>'


def _share(value: float, bounds: tuple[float, float], *, log: bool) -> float:
    low, high = bounds
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5


def _ticks(bounds: tuple[float, float], *, log: bool) -> list[float]:
    low, high = bounds
    if log:
        powers = [float(2**exponent) for exponent in range(20)]
        return [power for power in powers if low <= power <= high] or [low]
    rough = (high - low) / 6 or 1.0
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * scale for factor in (1, 2, 5, 10) if factor * scale >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, int(high / step + 1e-9) + 1)]
