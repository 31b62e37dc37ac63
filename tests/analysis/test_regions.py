"""Regions of images and the boxes that they are read by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough


def around(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    """Return regions that lie within an image, across its ends and beyond them."""
    return np.sort(generator.uniform(-6, 16, (*shape[:-1], 2, 2)), axis=-2).reshape(shape).astype(np.float32)


def numbered(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    """Return the same, each behind the number of its image."""
    return np.pad(around((shape[0], 4), generator), [(0, 0), (1, 0)])


def image(draft: Draft, *, scale: float = 1.5) -> str:
    return draft.shifted(draft.input("x", ["N", 2, "H", "W"]), scale)


@given(st.data())
@thorough
def test_aligned_regions(data: Draw) -> None:
    draft = Draft(data.draw(st.sampled_from([11, 17]), label="opset"))
    regions = draft.input("regions", ["R", 4])
    attributes = {
        "output_height": data.draw(st.integers(1, 3), label="rows"),
        "output_width": data.draw(st.integers(1, 3), label="columns"),
        "sampling_ratio": data.draw(st.sampled_from([0, 1, 2, 2, 3]), label="samples"),
        "spatial_scale": data.draw(st.sampled_from([1.0, 0.5]), label="scale"),
        "mode": data.draw(st.sampled_from(["avg", "avg", "avg", "max"]), label="mode"),
    }
    if draft.opset >= 16:
        kinds = ["half_pixel", "output_half_pixel"]
        attributes["coordinate_transformation_mode"] = data.draw(st.sampled_from(kinds), label="places")
    numbers = draft.input("numbers", ["R"], np.int64)
    y = draft.add("RoiAlign", [image(draft), regions, numbers], **attributes)
    bucket, rows = requests(data, 1, 9, count=1, H=1, W=1, R=1)
    hard = attributes["mode"] == "max" or not attributes["sampling_ratio"]
    content = {"regions": around, "numbers": lambda shape, generator: np.zeros(shape, np.int64)}
    assert_exact(draft.model(y), bucket, rows, refusable=hard, data=content)


@pytest.mark.parametrize("samples", [0, 2])
def test_regions_of_an_image_of_fixed_size(samples: int) -> None:
    draft = Draft(17)
    regions, numbers = draft.shifted(draft.input("regions", ["R", 4])), draft.input("numbers", ["R"], np.int64)
    x = draft.shifted(draft.input("x", [2, 2, 7, 9]))
    y = draft.add("RoiAlign", [x, regions, numbers], output_height=2, output_width=3, sampling_ratio=samples)
    content = {"regions": around, "numbers": lambda shape, generator: generator.integers(0, 2, shape)}
    assert_exact(draft.model(y), {"R": 9}, [{"R": 4}], data=content)


@given(st.data())
@thorough
def test_largest_of_regions(data: Draw) -> None:
    draft = Draft(17)
    x = image(draft, scale=data.draw(st.sampled_from([1.5, -1.5]), label="scale"))
    y = draft.add("MaxRoiPool", [x, draft.input("regions", ["R", 5])], pooled_shape=[2, 3], spatial_scale=0.5)
    bucket, rows = requests(data, 1, 9, count=1, H=1, W=1, R=1)
    assert_exact(draft.model(y), {**bucket, "N": 1}, rows, data={"regions": numbered})


@pytest.mark.parametrize("threshold", [None, -np.inf, 0.1])
def test_boxes_are_kept_whatever_they_score(threshold: float | None) -> None:
    draft = Draft(17)
    boxes = draft.add("CumSum", [draft.add("Abs", [draft.input("boxes", [1, "K", 4])]), draft.constant(2)])
    scores = draft.shifted(draft.input("scores", [1, 2, "K"]), 1.0, -0.5)
    limits = [draft.constant([3]), draft.constant([0.5], np.float32)]
    limits += [] if threshold is None else [draft.constant([threshold], np.float32)]
    kept = draft.add("NonMaxSuppression", [boxes, scores, *limits])
    assert_exact(draft.model(kept), {"K": 12}, [{"K": 7}])


def test_the_best_of_what_passes() -> None:
    draft = Draft(17)
    x = draft.input("x", ["K"])
    passed = draft.add("NonZero", [draft.add("Greater", [x, draft.constant(-0.2, np.float32)])])
    found = draft.add("Gather", [x, draft.add("Squeeze", [passed, draft.constant([0])])])
    count = draft.add("Concat", [draft.constant([3]), draft.add("Shape", [found])], axis=0)
    most = draft.add("Reshape", [draft.add("ReduceMin", [count], keepdims=0), draft.constant([1])])
    assert_exact(draft.model(*draft.add("TopK", [found, most], outputs=2)), {"K": 30}, [{"K": 20}])


def test_boxes_of_several_levels_that_passed() -> None:
    draft = Draft(17)
    boxes, scores = [], []
    for level in (0, 1):
        x = draft.add("Abs", [draft.input(f"x{level}", ["K", 5])])
        best = draft.add(
            "Squeeze", [draft.add("Slice", [x, *map(draft.constant, ([4], [5], [1]))]), draft.constant([1])]
        )
        passed = draft.add("NonZero", [draft.add("Greater", [best, draft.constant(0.4, np.float32)])])
        rows = draft.add("Squeeze", [passed, draft.constant([0])])
        sides = draft.add("Slice", [draft.add("CumSum", [x, draft.constant(1)]), *map(draft.constant, ([0], [4], [1]))])
        boxes.append(draft.add("Gather", [sides, rows]))
        scores.append(draft.add("Gather", [best, rows]))
    all_boxes = draft.add("Unsqueeze", [draft.add("Concat", boxes, axis=0), draft.constant([0])])
    all_scores = draft.add("Unsqueeze", [draft.add("Concat", scores, axis=0), draft.constant([0, 1])])
    limits = [draft.constant([9]), draft.constant([0.3], np.float32)]
    kept = draft.add("NonMaxSuppression", [all_boxes, all_scores, *limits])
    assert_exact(draft.model(kept), {"K": 12}, [{"K": 7}])
