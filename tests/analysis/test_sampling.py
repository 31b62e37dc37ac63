"""Grids that images are read at."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact
from tests.analysis.drawing import Draw, requests, thorough


@given(st.data())
@thorough
def test_affine_grids(data: Draw) -> None:
    draft = Draft(20)
    deep = data.draw(st.booleans(), label="deep")
    axes = ["D", "H", "W"] if deep else ["H", "W"]
    image = draft.shifted(draft.input("x", ["N", 2, *axes]))
    count = len(axes)
    pooled = draft.add("ReduceMax", [image, draft.constant(list(range(2, count + 2)))], keepdims=0)
    flat = draft.add("MatMul", [pooled, draft.weights(2, count * (count + 1))])
    theta = draft.add("Reshape", [flat, draft.constant([-1, count, count + 1])])
    corners = data.draw(st.integers(0, 1), label="corners")
    places = draft.add("AffineGrid", [theta, draft.add("Shape", [image])], align_corners=corners)
    read = draft.add("GridSample", [image, places], align_corners=corners)
    bucket, rows = requests(data, 1, 6, **dict.fromkeys(axes, 1))
    assert_exact(draft.model(places, read), bucket, rows, refusable=False)


def test_affine_grid_of_a_picture_of_fixed_height() -> None:
    draft = Draft(20)
    theta = draft.input("theta", ["N", 2, 3])
    x = draft.input("x", ["N", 1, 5, "W"])
    places = draft.add("AffineGrid", [theta, draft.add("Shape", [x])])
    analysis = assert_exact(draft.model(places), {"N": 2, "W": 9}, [{"N": 1, "W": 4}, {"N": 1, "W": 9}])
    assert analysis.behaviour.rows == "N"
    assert analysis.behaviour.uniform == ()


def test_affine_grid_in_double_precision() -> None:
    draft = Draft(20)
    theta = draft.input("theta", ["N", 2, 3], np.float64)
    places = draft.add("AffineGrid", [theta, draft.add("Shape", [draft.input("x", ["N", 1, "H", "W"])])])
    assert_exact(draft.model(places), {"N": 1, "H": 7, "W": 9}, [{"N": 1, "H": 3, "W": 4}])


def test_places_that_were_drawn_at_random_stay_so() -> None:
    draft = Draft(20)
    x, places = draft.input("x", ["N", 1, "H", "W"]), draft.input("places", ["N", 3, 3, 2])
    noisy = draft.add("Add", [places, draft.add("RandomNormalLike", [places])])
    found = analyse_model(draft.model(draft.add("GridSample", [x, noisy]))).behaviour
    assert {each.variable for each in found.refusals} == {"N", "H", "W"}


def test_places_that_tell_rows_make_no_independent_rows() -> None:
    draft = Draft(20)
    x, places = draft.input("x", ["N", 1, "H", "W"]), draft.input("places", ["N", 3, 3, 2])
    count = draft.add("Gather", [draft.add("Shape", [x]), draft.constant(0)])
    rows = draft.add("Range", [draft.constant(0), count, draft.constant(1)])
    number = draft.add("Unsqueeze", [draft.add("Cast", [rows], to=1), draft.constant([1, 2, 3])])
    moved = draft.add("Add", [places, draft.add("Mul", [number, draft.constant(0.1, np.float32)])])
    assert analyse_model(draft.model(draft.add("GridSample", [x, moved]))).behaviour.rows is None
