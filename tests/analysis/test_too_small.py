"""Sizes that are too small for a model: where onnxruntime refuses a request, the behaviour says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

Cases = dict[str, Callable[[Draft, str], str]]


def _of_shape(draft: Draft, x: str, operator: str, *given: str) -> str:
    shape = draft.add("Sub", [draft.add("Shape", [x]), draft.constant([0, 4])])
    return str(draft.add(operator, [*given, shape]))


def _end(draft: Draft, x: str) -> str:
    return str(draft.add("Slice", [x, draft.constant([3]), draft.constant([2**62]), draft.constant([1])]))


CASES: Cases = {
    "top": lambda draft, x: draft.add("TopK", [x, draft.constant([3])], outputs=2)[0],
    "position": lambda draft, x: draft.add("Gather", [x, draft.constant(5)], axis=1),
    "from_end": lambda draft, x: draft.add("Gather", [x, draft.constant(-5)], axis=1),
    "positions": lambda draft, x: draft.add("Gather", [x, draft.constant([0, 3, 7])], axis=1),
    "elements": lambda draft, x: draft.add("GatherElements", [x, draft.constant([[6]])], axis=1),
    "vectors": lambda draft, x: draft.add("GatherND", [draft.add("Transpose", [x]), draft.constant([[0], [4]])]),
    "written": lambda draft, x: draft.add(
        "ScatterElements", [x, draft.constant([[6]]), draft.constant([[1.0]], np.float32)], axis=1
    ),
    "reflected": lambda draft, x: draft.add("Pad", [x, draft.constant([0, 3, 0, 2])], mode="reflect"),
    "cut": lambda draft, x: draft.add("Pad", [x, draft.constant([0, -3, 0, -2])]),
    "largest": lambda draft, x: draft.add("ArgMax", [_end(draft, x)], axis=1),
    "shaped": lambda draft, x: _of_shape(draft, x, "ConstantOfShape"),
    "expanded": lambda draft, x: _of_shape(draft, x, "Expand", draft.constant([[1.0]], np.float32)),
    "parts": lambda draft, x: draft.add("Split", [x, draft.constant([4, 5])], axis=1, outputs=2)[0],
}


@pytest.mark.parametrize("case", CASES)
def test_a_request_that_is_too_small_has_no_answer(case: str) -> None:
    draft = Draft(17)
    model = draft.model(CASES[case](draft, draft.shifted(draft.input("x", ["n", "T"]))))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    original = onnxruntime.InferenceSession(model.SerializeToString(), options)
    behaviour = analyse_model(model).behaviour
    for size in range(1, 10):
        try:
            original.run(None, {"x": np.ones((1, size), np.float32)})
            runs = True
        except Exception:  # onnxruntime raises its own types and RuntimeError alike
            runs = False
        assert behaviour.runs_at({"n": 1, "T": size}) == runs, size
        if runs:
            assert_exact(model, {"n": 1, "T": 9}, [{"n": 1, "T": size}])


def test_what_only_one_branch_reads_needs_no_size_of_all_requests() -> None:
    from onnx import TensorProto, helper

    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["n", "T"]))
    long = draft.add("Greater", [draft.add("Gather", [draft.add("Shape", [x]), draft.constant(1)]), draft.constant(5)])
    bodies = {}
    for name, place in (("then_branch", draft.constant(5)), ("else_branch", draft.constant(0))):
        value = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, None)
        node = helper.make_node("Gather", [x, place], [f"{name}_y"], axis=1)
        bodies[name] = helper.make_graph([node], name, [], [value])
    behaviour = analyse_model(draft.model(draft.add("If", [long], **bodies))).behaviour
    assert behaviour.runs_at({"n": 1, "T": 2})
