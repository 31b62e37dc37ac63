"""Gears: MindOCR's artefacts, within the platform's rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.compilers.gears import FEWEST_GEARS, MOST_GEARS, gear_units
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature, TensorSpec, name_dimensions


def signature(*dims: int) -> Signature:
    return name_dimensions({"x": list(dims)})


@pytest.mark.parametrize(
    ("shape", "buckets", "stems"),
    [
        ((1, 3, 48, 320), [], ["m_static"]),
        ((-1, 3, 48, 320), [(1,), (4,)], ["m_dynamic_bs"]),
        ((1, 3, 48, -1), [(160,), (320,)], ["m_dynamic_hw"]),
        ((1, 3, -1, -1), [(64, 160), (64, 320)], ["m_dynamic_hw"]),
        ((-1, 3, 48, -1), [(1, 160), (1, 320), (8, 160), (8, 320)], ["m_dynamic_bs1_hw", "m_dynamic_bs8_hw"]),
        ((-1, 3, -1, -1), [(16, 64, 64), (2, 64, 64), (2, 32, 32)], ["m_dynamic_bs2_hw", "m_dynamic_bs16_hw"]),
    ],
)
def test_the_stems_are_mindocrs(shape, buckets, stems):
    assert [unit.stem for unit in gear_units("m", signature(*shape), buckets)] == stems


def test_joint_gears_are_one_artefact():
    (unit,) = gear_units("m", signature(-1, 3, 48, -1), [(1, 160), (8, 320)], joint=True)
    assert unit.stem == "m_dynamic_dims"
    assert unit.buckets == ((1, 160), (8, 320))


def test_other_variables_are_joint():
    tokens = Signature((TensorSpec("tokens", ("batch", "seq")),))
    (unit,) = gear_units("m", tokens, [(1, 16), (1, 32), (1, 16)])
    assert (unit.stem, unit.buckets) == ("m_dynamic_dims", ((1, 16), (1, 32)))


@pytest.mark.parametrize(("width", "companion"), [(320, 256), (96, 64), (48, 32), (32, 64), (1, 2), (7, 6)])
def test_a_single_gear_gets_a_companion_of_its_alignment(width: int, companion: int):
    (unit,) = gear_units("m", signature(1, 3, 48, -1), [(width,)])
    assert set(unit.buckets) == {(width,), (companion,)}


def test_the_companion_of_a_batch_artefact_differs_in_size_not_in_batch():
    (unit,) = gear_units("m", signature(-1, 3, -1, -1), [(8, 64, 320)])
    assert unit.buckets == ((8, 64, 256), (8, 64, 320))


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=60),
    st.booleans(),
)
def test_units_obey_the_platform_and_hold_everything(buckets, joint):
    units = gear_units("m", signature(-1, 3, -1, -1), buckets, joint=joint)
    held = [bucket for unit in units for bucket in unit.buckets]
    assert set(buckets) <= set(held)
    assert len(held) == len(set(held)) <= len(set(buckets)) + len(units)
    for unit in units:
        assert FEWEST_GEARS <= len(unit.buckets) <= MOST_GEARS
        assert all(value > 0 for bucket in unit.buckets for value in bucket)
        assert joint or len({bucket[0] for bucket in unit.buckets}) == 1


def test_too_many_gears_are_refused_by_name():
    widths = [(32 * number,) for number in range(1, 102)]
    with pytest.raises(
        CompileError, match=r"m_dynamic_hw: 101 gears.*at most 100\. Lower `auto_scaling.max_scaling_num`"
    ):
        gear_units("m", signature(1, 3, 48, -1), widths)
