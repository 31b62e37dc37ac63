"""The zoo's models are what they say: valid, runnable over their whole range, and the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from benchmarks.zoo.model import ZooModel
from benchmarks.zoo.registry import BUILT, ZOO, zoo_model


@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_model_runs_from_its_smallest_to_its_largest_size(model: ZooModel) -> None:
    proto = model.build()
    onnx.checker.check_model(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), _options(), providers=["CPUExecutionProvider"])
    smallest = {name: span.low for name, span in model.sizes.items()}
    for seed, sizes in enumerate([smallest, model.bucket, model.draw_sizes(0), model.draw_sizes(1)]):
        outputs = session.run(None, model.draw(sizes, seed, proto))
        assert all(np.isfinite(each).all() for each in outputs), sizes


def test_names_are_unique() -> None:
    assert len({model.name for model in ZOO}) == len(ZOO) >= 30


def test_every_built_model_has_the_same_bytes_twice() -> None:
    for model in BUILT[::10]:
        assert model.build().SerializeToString() == model.build().SerializeToString(), model.name


def test_every_size_of_a_model_is_drawn_and_none_beside_it() -> None:
    model = zoo_model("yolo_head")
    drawn = {model.draw_sizes(seed)["W"] for seed in range(100)}
    assert drawn == {32, 64, 96, 128, 160}


def test_inputs_have_the_sizes_asked_for() -> None:
    model = zoo_model("decoder_cache")
    sizes = {"batch": 2, "sequence_length": 3, "past_sequence_length": 5}
    inputs = model.draw(sizes, 0)
    assert inputs["attention_mask"].shape == (2, 8)
    assert inputs["past_key_values.1.value"].shape == (2, 4, 5, 8)
    assert inputs["position_ids"].tolist() == [[5, 6, 7]] * 2


def test_unknown_model_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match="yolo_head"):
        zoo_model("yolo")


def test_a_model_without_its_package_says_what_to_do() -> None:
    from benchmarks.zoo import wheels

    with pytest.raises(FileNotFoundError, match="make zoo-models"):
        wheels.find("no-such-package-as-this", "model.onnx")
    with pytest.raises(FileNotFoundError, match="right version"):
        wheels.find("onnx", "no-such-model.onnx")


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return options
