"""What happens to a raw size before the network sees it; each kind is named after the pipeline that does it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

__all__ = [
    "KeepRatio",
    "Mindocr",
    "NoPreprocessing",
    "PpocrDet",
    "PpocrRec",
    "PreprocessingName",
    "PreprocessingSpec",
    "Tokens",
    "preprocessing_spec",
]

Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Ratio = Annotated[float, Meta(gt=0, le=1e6)]
PreprocessingName = Literal["mindocr", "ppocr_det", "ppocr_rec", "tokens", "none"]


class _Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="kind"):
    """Base of all kinds."""


class Mindocr(_Preprocessing, frozen=True, tag="mindocr"):
    """MindOCR's analyzer, driven by ``auto_scaling``: the default.

    A side that the model fixes scales the other; where both vary the longer is cut to ``limit_side_len`` and both are
    rounded to ``interval``.
    """


class PpocrDet(_Preprocessing, frozen=True, tag="ppocr_det"):
    """PP-OCR text detection: keep the ratio, bound one side, round both to a multiple.

    Attributes:
        limit_type: ``max`` shrinks until the longer side is at most ``limit_side_len``, ``min`` enlarges until the
            shorter is at least that.
        limit_side_len: Pixels.
        multiple: What both sides are rounded to, half to even.
    """

    limit_type: Literal["max", "min"] = "max"
    limit_side_len: Positive = 960
    multiple: Positive = 32


class PpocrRec(_Preprocessing, frozen=True, tag="ppocr_rec"):
    """PP-OCR text recognition: the model's fixed height, the width in proportion and rounded up.

    Attributes:
        height: The fixed height; the model's own where left out.
        rotate_ratio: Boxes with height / width of at least this are turned by 90 degrees first; None turns none.
        max_wh_ratio: Wider boxes are squeezed to this width / height; None squeezes none.
        min_width: Narrower boxes are padded to this width; None pads none (RapidOCR pads to 320).
    """

    height: Positive | None = None
    rotate_ratio: Ratio | None = 1.5
    max_wh_ratio: Ratio | None = None
    min_width: Positive | None = None


class KeepRatio(_Preprocessing, frozen=True, tag="keep_ratio"):
    """Resize so that one side has a given length and the ratio stays, as torchvision and YOLO do.

    Attributes:
        side: Length in pixels.
        edge: Which side gets it: ``longer`` (YOLO) or ``shorter`` (torchvision).
        rounding: How the other side becomes whole: ``floor`` (torchvision) or ``nearest`` (YOLO).
        multiple: Both are then rounded up to a multiple of this.
        max_side: The longer side may not exceed it; everything shrinks where it would (torchvision's ``max_size``).
    """

    side: Positive
    edge: Literal["longer", "shorter"] = "longer"
    rounding: Literal["floor", "nearest"] = "nearest"
    multiple: Positive = 1
    max_side: Positive | None = None


class Tokens(_Preprocessing, frozen=True, tag="tokens"):
    """Token lengths: special tokens added, then cut to the longest the model takes.

    Attributes:
        special: Tokens that the tokenizer adds to each text (2 for BERT).
        max_length: Longer texts are truncated to it; None truncates none.
    """

    special: Annotated[int, Meta(ge=0)] = 0
    max_length: Positive | None = None


class NoPreprocessing(_Preprocessing, frozen=True, tag="none"):
    """The network sees the sizes as they are."""


PreprocessingSpec = Mindocr | PpocrDet | PpocrRec | KeepRatio | Tokens | NoPreprocessing

_DEFAULTS: dict[str, PreprocessingSpec] = {
    "mindocr": Mindocr(),
    "ppocr_det": PpocrDet(),
    "ppocr_rec": PpocrRec(),
    "tokens": Tokens(),
    "none": NoPreprocessing(),
}


def preprocessing_spec(value: PreprocessingSpec | str) -> PreprocessingSpec:
    """Return the spec that a bare name stands for; a spec is returned as it is."""
    return _DEFAULTS[value] if isinstance(value, str) else value
