"""Lines through the lengths that an interpreter gave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.onnx_model.tflite_lengths import rounded_line
from scaling_tasks.shapes.expressions import evaluate


@given(st.integers(1, 5), st.sampled_from([1, 2, 3, 4, 5, 7, 8, 16, 32, 512]), st.integers(-40, 40))
def test_the_line_is_found_and_exact_at_every_size(factor: int, divisor: int, offset: int) -> None:
    points = {size: (factor * size + offset) // divisor for size in range(1, 1025)}
    line = rounded_line("v", points)
    if len(set(points.values())) > 1:
        assert line is not None
        assert {size: evaluate(line, {"v": size}) for size in points} == points


def test_no_line_through_a_parabola() -> None:
    assert rounded_line("v", {size: size * size for size in range(1, 50)}) is None
