"""Models that take or give texts, as those of scikit-learn do: padded with empty ones, and compared as they are."""

from __future__ import annotations

import numpy as np
from onnx import parser

import scaling_tasks as st
from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.verification.comparison import compare
from tests.exactness.conftest import Build


def test_texts_come_in_and_go_out(build: Build) -> None:
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17, "ai.onnx.ml": 3]>
        g (string[batch,seq] words) => (int64[batch] sum, string[batch] label) <int64[1] along = {1}> {
        numbers = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b", ""], values_int64s = [1, 2, 3], default_int64 = 7>
            (words)
        sum = ReduceSum <keepdims = 0> (numbers, along)
        label = ai.onnx.ml.LabelEncoder <keys_int64s = [1, 5], values_strings = ["one", "five"], default_string = "?">
            (sum)
    }"""
    )
    outcome = build(model, [{"batch": 1, "seq": 6}, {"batch": 4, "seq": 6}])
    assert outcome.status == 0, outcome.output
    requests = [
        {"words": np.array(words, object)}
        for words in ([["a"]], [["a", "x", "b"], ["b", "", ""]], [["b", "", "z", ""]])
    ]
    original = OriginalModel(outcome.root / "models/net.onnx")
    with st.load_bundle(outcome.root / "build/net", warm_up=True) as bundle:
        for request, together in zip(requests, bundle.run_many(requests), strict=True):
            wanted = original.run(request)
            for answer in (bundle.run(request), together):
                assert {name: array.tolist() for name, array in answer.items()} == {
                    name: array.tolist() for name, array in wanted.items()
                }


def test_other_texts_are_no_answer() -> None:
    found, wanted = np.array(["cat", "dog"], object), np.array(["cat", "eel"], object)
    assert compare("label", wanted, wanted, Tolerance(1, 1)).passed
    assert compare("label", found, wanted, Tolerance(1, 1)).problem == "1 of 2 texts are others"
