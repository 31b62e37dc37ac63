"""Buckets of the zoo's models answer as the original does, alone and in mixed batches."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import onnx
import pytest

from benchmarks.zoo.bucketed import analyse, answer_of, compile_bucket, serve
from benchmarks.zoo.judging import Differences, differences, open_session, rounding
from benchmarks.zoo.model import ZooModel
from benchmarks.zoo.registry import ZOO, zoo_model
from benchmarks.zoo.verdict import mixed_batches, tolerance
from scaling_tasks.analysis.analyse import Analysis
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.errors import CompileError

SEEDS = range(6)
FEW_SEEDS = range(2)
"""For a simulator, which takes seconds per request."""
MORE_SEEDS = range(50)

OF_DATA = ("nonzero_rows", "proposals", "spoken_durations", "yolo_suppressed")
"""Models of which data decides lengths: all are compiled for formats that have none."""

COMPILED = [model.name for model in ZOO if model.name != "proposals"][::3]
"""A third is compiled and run by each backend."""

LASTS_LONG = {
    *product(["nncase"], ("bilstm_batch_first", "captcha_crnn", "ddddocr", "ppocr_v4_det", "ppocr_v5_det")),
    *product(["nncase", "openvino"], ["ppocr_v6_rec"]),
    *product(["lite"], ("captcha_crnn", "ddddocr", "packed_sequence", "ppocr_v5_det", "ppocr_v6_rec")),
}
"""Left to `make zoo`, which runs everything: a quarter of a minute or more each."""
IN_THEIR_PLACE = ("heat_map", "reductions", "stacked_frames", "text_cnn", "tiled")

PAIRS = [
    *(pair for pair in product(("onnxruntime", "openvino", "lite", "nncase"), COMPILED) if pair not in LASTS_LONG),
    *product(("lite", "nncase"), IN_THEIR_PLACE),
    *product(["openvino"], IN_THEIR_PLACE[:2]),
    *(pair for pair in product(("lite", "nncase"), OF_DATA) if pair[1] not in COMPILED),
    # Its softmax fails where nothing of a row is valid, as of rows that a batch has and no request.
    ("lite", "bert_where"),
    # Its optimiser loses its way at the softmax of boxes.
    ("lite", "yolo_head"),
]

WRONG_BY_ITSELF = {
    # What a backend answers with the model as it is, at exactly the size for which it was compiled.
    ("lite", "resized_by_quotients"),  # Its linear Resize is off by 1.6e-5.
    ("openvino", "minilm_int8"),  # Its dynamic quantisation is another: off by 1e-2 of the largest value.
    ("openvino", "silero_vad_op18"),  # A state is off by up to 2e-4, from one random input to the next.
}
"""Backends and models that differ from onnxruntime without any padding: nothing can be told of cleaning there."""

NOT_TAKEN = {("nncase", "packed_sequence")}
"""What a backend refuses to compile, as it must rather than give an answer."""


@pytest.mark.parametrize("model", ZOO, ids=lambda model: model.name)
def test_cleaned_model_answers_as_the_original_at_the_exact_size(model: ZooModel, tmp_path: Path) -> None:
    proto = model.build()
    analysis = analyse(model, proto)
    assert analysis.behaviour.refusals == ()
    file = tmp_path / "cleaned.onnx"
    file.write_bytes(analysis.cleaned.SerializeToString())
    _check(model, proto, analysis, "onnxruntime", (file,))


@pytest.mark.parametrize(("backend", "name"), PAIRS)
def test_compiled_bucket_answers_as_the_original_at_the_exact_size(backend: str, name: str, tmp_path: Path) -> None:
    if (backend, name) in WRONG_BY_ITSELF:
        pytest.skip("the backend differs from the original without any padding, see WRONG_BY_ITSELF")
    if backend == "lite":
        _skip_without_mindspore_lite()
    if (backend, name) in NOT_TAKEN:
        with pytest.raises(CompileError, match=r"\w"):
            _check_compiled(zoo_model(name), backend, tmp_path)
    else:
        _check_compiled(zoo_model(name), backend, tmp_path)


def _skip_without_mindspore_lite() -> None:
    try:
        find_toolchain("cpu")
    except CompileError as error:
        pytest.skip(str(error))


def _check_compiled(model: ZooModel, backend: str, tmp_path: Path) -> None:
    proto = model.build()
    analysis = analyse(model, proto)
    files = compile_bucket(backend, model, analysis.cleaned, analysis, tmp_path)
    _check(model, proto, analysis, backend, files)


def _check(model: ZooModel, proto: onnx.ModelProto, analysis: Analysis, backend: str, files: tuple[Path, ...]) -> None:
    original = open_session(proto, threads=1)
    own = rounding(model, proto, original, SEEDS, analysis.behaviour.rows)
    seeds = FEW_SEEDS if backend == "nncase" else SEEDS
    with serve(analysis, proto, backend, model.bucket, files) as served:
        alone = differences(model, proto, answer_of(served), original, seeds)
        together = mixed_batches(model, proto, served, original, seeds)
    assert alone.keys() == analysis.behaviour.layouts.keys()
    if _beyond(alone, own) or _beyond(
        together, own
    ):  # A handful of inputs may show little of the model's own rounding.
        own = rounding(model, proto, original, MORE_SEEDS, analysis.behaviour.rows)
    assert _beyond(alone, own) == {}
    assert _beyond(together, own) == {}


def _beyond(found: Differences, own: Differences) -> Differences:
    return {name: gap for name, gap in found.items() if gap > tolerance(own[name])}
