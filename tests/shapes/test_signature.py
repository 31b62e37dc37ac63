"""Naming dimensions: images by axis, everything else by the model's names."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_tasks.errors import ConfigError
from scaling_tasks.shapes import signature
from scaling_tasks.shapes.signature import name_dimensions


@pytest.mark.parametrize(
    ("dims", "expected"),
    [
        ([-1, 3, -1, -1], ("N", 3, "H", "W")),
        ([-1, -1, -1, 3], ("N", "H", "W", 3)),
        ([1, 3, 48, -1], (1, 3, 48, "W")),
        ([-1, 3, 48, 192], ("N", 3, 48, 192)),
        (["batch", 3, "h", "w"], ("batch", 3, "h", "w")),
        ([1, 4, "past", 16], (1, 4, "past", 16)),
        ([-1, 16, -1, -1], ("x_0", 16, "x_2", "x_3")),
        (["batch", "seq"], ("batch", "seq")),
        ([None, "seq", 8], ("x_0", "seq", 8)),
        ([-1], ("x_0",)),
    ],
)
def test_dimensions_are_named(dims: list[int | str | None], expected: tuple[int | str, ...]) -> None:
    assert name_dimensions({"x": dims}).inputs[0].dims == expected


def test_one_name_is_one_variable() -> None:
    signature = name_dimensions({"ids": ["batch", "seq"], "mask": ["batch", "seq"], "image": [-1, 3, 32, -1]})
    assert signature.variables == ("batch", "seq", "N", "W")
    assert signature.size_variables == ("batch", "seq", "W")
    assert signature.shapes({"batch": 2, "seq": 7, "N": 1, "W": 64}) == {
        "ids": (2, 7),
        "mask": (2, 7),
        "image": (1, 3, 32, 64),
    }


def test_a_dimension_that_follows_from_others_is_no_variable() -> None:
    signature = name_dimensions({"key": [1, 4, "past", 16], "ids": [1, "seq"], "mask": [1, "past + seq"]})
    assert signature.variables == ("past", "seq")
    assert signature.shapes({"past": 5, "seq": 2})["mask"] == (1, 7)


def test_a_name_that_only_looks_like_a_sum_stays_one() -> None:
    assert name_dimensions({"ids": [1, "batch-size"], "x": ["2*unknown"]}).variables == ("batch-size", "2*unknown")


def test_the_fixed_side_of_an_image() -> None:
    signature = name_dimensions({"x": [1, 3, 48, -1]})
    assert signature.fixed_side("H") == 48
    assert signature.fixed_side("W") is None


@pytest.mark.parametrize("bad", [0, -2, True, 1.5])
def test_impossible_dimensions_are_refused(bad: object) -> None:
    with pytest.raises(ConfigError, match="dimension 1"):
        name_dimensions({"x": [1, bad]})  # type: ignore[list-item]


def test_the_names_of_a_batch_are_told() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert [name for name in signature._BATCH_NAMES if f"`{name}`" not in text] == []
