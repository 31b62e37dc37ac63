"""Preprocessing geometry against numbers that the pipelines' own code gave (see data/README.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.config.load import parse_target
from scaling_tasks.config.preprocessing import (
    KeepRatio,
    Mindocr,
    NoPreprocessing,
    PpocrRec,
    PreprocessingSpec,
    Tokens,
    preprocessing_spec,
)
from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.errors import ConfigError, DatasetError
from scaling_tasks.samples.boxes import least_rectangle, polygon_sides
from scaling_tasks.samples.geometry import limit_side, network_lengths, network_sides, rounded_to_nothing

DATA = Path(__file__).parent / "data"
DEFAULTS = AutoScalingSpec()


def cases() -> list[Any]:
    found = []
    for name in ("ppocr_det", "ppocr_rec", "keep_ratio"):
        document = json.loads((DATA / f"{name}.json").read_text())
        for case in document["cases"]:
            found.append(pytest.param(document["sizes"], case, id=json.dumps(case["preprocessing"])))
    return found


@pytest.mark.parametrize(("sizes", "case"), cases())
def test_equal_to_the_reference_pipeline(sizes: list[list[int]], case: dict[str, Any]) -> None:
    spec = msgspec.convert(case["preprocessing"], PreprocessingSpec)
    # Where the reference refuses or returns a side of 0, ours is the least size that a network takes.
    known = [(raw, want) for raw, want in zip(sizes, case["expected"], strict=True) if want and min(want) > 0]
    assert len(known) > 850
    raw, want = np.array(known).transpose(1, 0, 2)
    np.testing.assert_array_equal(network_sides(spec, raw, (None, None), DEFAULTS), want)
    assert (network_sides(spec, np.array(sizes), (None, None), DEFAULTS) > 0).all()


def test_least_rectangle_is_that_of_opencv() -> None:
    polygons = json.loads((DATA / "min_area_rect.json").read_text())["polygons"]
    assert len(polygons) == 1000
    found = np.array([least_rectangle(points) for points, _ in polygons])
    want = np.array([sides for _, sides in polygons])
    np.testing.assert_allclose(found, want, atol=0.02)  # OpenCV computes in 32 bits


@given(height=st.integers(1, 400), width=st.integers(1, 400), angle=st.floats(-0.7, 0.7), extra=st.floats(0.1, 0.9))
def test_a_rectangle_with_more_points_keeps_its_sides(height: int, width: int, angle: float, extra: float) -> None:
    corners = [(0, 0), (width * extra, 0), (width, 0), (width, height), (0, height)]
    turned = [(x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)) for x, y in corners]
    assert sorted(polygon_sides(turned)) == sorted((height, width))


@pytest.mark.parametrize("points", [[(1, 1)] * 5, [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4)], [(float("nan"), 0)] * 5])
def test_polygons_without_area(points: list[tuple[float, float]]) -> None:
    assert polygon_sides(points) == (0, 0)


def mindocr_limit_side(height: int, width: int, limit: int, interval: int) -> tuple[int, int]:
    """MindOCR's rule in plain Python, sides not exchanged and never 0."""
    ratio = limit / max(height, width) if max(height, width) > limit else 1
    sides = (int(height * ratio), int(width * ratio))
    high, wide = (max(round(side / interval) * interval, interval) for side in sides)
    return high, wide


@given(
    st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), min_size=1, max_size=20),
    st.integers(1, 2000),
    st.integers(1, 128),
)
def test_limit_side_is_mindocrs(sizes: list[tuple[int, int]], limit: int, interval: int) -> None:
    want = [mindocr_limit_side(*size, limit, interval) for size in sizes]
    assert limit_side(np.array(sizes), limit, interval).tolist() == [list(size) for size in want]


@given(st.lists(st.tuples(st.integers(1, 9000), st.integers(1, 9000)), min_size=1, max_size=20), st.integers(1, 999))
def test_one_fixed_side_scales_the_other(sizes: list[tuple[int, int]], side: int) -> None:
    raw = np.array(sizes)
    width_varies = network_sides(Mindocr(), raw, (side, None), DEFAULTS)
    assert width_varies.tolist() == [[side, max(1, int(w * side / h))] for h, w in sizes]
    height_varies = network_sides(Mindocr(), raw, (None, side), DEFAULTS)
    assert height_varies.tolist() == [[max(1, int(h * side / w)), side] for h, w in sizes]


@pytest.mark.parametrize("strategy", ["optimal", "mean_std", "max_min"])
def test_a_side_rounded_to_nothing_is_one_interval_for_the_network_whatever_the_strategy(strategy: str) -> None:
    scaling = msgspec.convert({"strategy": strategy, "interval": 64}, AutoScalingSpec)
    assert network_sides(Mindocr(), np.array([[20, 100]]), (None, None), scaling).tolist() == [[64, 128]]
    assert rounded_to_nothing(np.array([[20, 100], [32, 33]]), (None, None), scaling).tolist() == [
        [True, False],
        [True, False],
    ]


def test_rec_pads_to_a_least_width() -> None:
    sides = network_sides(PpocrRec(min_width=320), np.array([[48, 100], [48, 400]]), (48, None), DEFAULTS)
    assert sides.tolist() == [[48, 320], [48, 400]]


def test_rec_takes_the_models_height() -> None:
    assert network_sides(PpocrRec(), np.array([[24, 100]]), (32, None), DEFAULTS).tolist() == [[32, 134]]
    with pytest.raises(DatasetError, match="needs a height"):
        network_sides(PpocrRec(), np.array([[24, 100]]), (None, None), DEFAULTS)


@pytest.mark.parametrize("spec", [NoPreprocessing(), KeepRatio(side=64), PpocrRec(height=32)])
def test_a_fixed_side_must_come_out(spec: PreprocessingSpec) -> None:
    with pytest.raises(DatasetError, match="the model fixes it at 48"):
        network_sides(spec, np.array([[24, 100]]), (48, None), DEFAULTS)


def test_token_lengths() -> None:
    lengths = np.array([1, 100, 511, 600])
    assert network_lengths(Tokens(special=2, max_length=512), lengths).tolist() == [3, 102, 512, 512]
    assert network_lengths(NoPreprocessing(), lengths) is lengths


def test_names_stand_for_defaults() -> None:
    assert preprocessing_spec("ppocr_rec") == PpocrRec()
    assert preprocessing_spec(Tokens(special=2)) == Tokens(special=2)


def test_the_longest_side_is_not_below_the_wanted_one() -> None:
    with pytest.raises(DatasetError, match="max_side 32 is below side 64"):
        network_sides(KeepRatio(side=64, edge="shorter", max_side=32), np.array([[24, 100]]), (None, None), DEFAULTS)


@pytest.mark.parametrize(
    ("value", "key", "fix"),
    [
        ("ppocr_re", "dataset.preprocessing", "'ppocr_rec'"),
        ({"kind": "ppocr_re"}, "dataset.preprocessing.kind", "'ppocr_rec'"),
        ({"kind": "ppocr_rec", "max_wh": 10}, "dataset.preprocessing.max_wh", "'max_wh_ratio'"),
        ({"kind": "keep_ratio"}, "dataset.preprocessing", "`side: …`"),
        ({"max_wh_ratio": 10}, "dataset.preprocessing", "ppocr_rec"),
        ({"kind": "ppocr_det", "limit_type": "maxi"}, "dataset.preprocessing.limit_type", "'max'"),
    ],
)
def test_wrong_preprocessing_is_named_with_the_nearest_right_one(value: object, key: str, fix: str) -> None:
    target = {"input_shape": {"x": [1, 3, 48, -1]}, "dataset": {"path": "a", "preprocessing": value}}
    with pytest.raises(ConfigError) as caught:
        parse_target(target)
    assert caught.value.where.endswith(key)
    assert fix in caught.value.fix
