"""Spectra of frames and over axes of a fixed length."""

from __future__ import annotations

import numpy as np
import pytest

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact


@pytest.mark.parametrize("onesided", [0, 1])
def test_frames_of_samples(onesided: int) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", "T", 1]))
    window = draft.constant(np.hanning(6), np.float32)
    y = draft.add("STFT", [x, draft.constant(4), window], onesided=onesided)
    power = draft.add("ReduceSumSquare", [y], axes=[3], keepdims=0)
    summed = draft.add("ReduceMean", [power], axes=[1])
    rows = [{"N": 1, "T": 9}, {"N": 1, "T": 14}]
    analysis = assert_exact(draft.model(y, summed), {"N": 2, "T": 23}, rows)
    assert analysis.behaviour.rows == "N"


@pytest.mark.parametrize("opset", [17, 20])
def test_spectrum_of_frames_of_a_fixed_length(opset: int) -> None:
    draft = Draft(opset)
    x = draft.add("Unsqueeze", [draft.shifted(draft.input("x", ["N", "T", 8])), draft.constant([3])])
    if opset == 17:
        y = draft.add("DFT", [x], axis=2, onesided=1)
    else:
        y = draft.add("DFT", [x, "", draft.constant(2)], onesided=1)
    rows = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
    assert_exact(draft.model(y), {"N": 2, "T": 9}, rows)


def test_spectrum_over_all_samples_is_refused() -> None:
    draft = Draft(17)
    x = draft.add("Unsqueeze", [draft.input("x", ["N", "T"]), draft.constant([2])])
    (refusal, *_) = analyse_model(draft.model(draft.add("DFT", [x], axis=1))).behaviour.refusals
    assert (refusal.operator, "decides what they hold" in refusal.reason) == ("DFT", True)
