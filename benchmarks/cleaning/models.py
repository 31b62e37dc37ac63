"""The models that are compared: each as it is and cleaned, fixed to one bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.onnx_model.fixing import fix_dimensions

_SEED = 7


@dataclass(frozen=True)
class Case:
    """One model at one bucket.

    Attributes:
        name: What to call it.
        model: Its path.
        input_shape: As in a target's configuration.
        bucket: One value per variable.
        size: The exact size of the request that is run.
        multiples: What all sizes are multiples of, per variable.
    """

    name: str
    model: Path
    input_shape: Mapping[str, Sequence[int]] | None
    bucket: Mapping[str, int]
    size: Mapping[str, int]
    multiples: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Pair:
    """A model as it is and cleaned.

    Attributes:
        name: The case's.
        plain: The model, fixed to the bucket.
        cleaned: The cleaned model, fixed to the bucket.
        inputs: A request padded to the bucket.
        cleaned_inputs: The same, and what the cleaned model must be told.
        places: How many tensors are cleaned.
        megabytes: How large these are together.
    """

    name: str
    plain: Path
    cleaned: Path
    inputs: Mapping[str, Any]
    cleaned_inputs: Mapping[str, Any]
    places: int
    megabytes: float


_REC, _DET = Path("models/ppocr_rec.onnx"), Path("models/ppocr_det.onnx")
CASES = (
    Case("rec 1×3×48×320", _REC, {"x": [-1, 3, 48, -1]}, {"N": 1, "W": 320}, {"N": 1, "W": 288}),
    Case("rec 6×3×48×320", _REC, {"x": [-1, 3, 48, -1]}, {"N": 6, "W": 320}, {"N": 6, "W": 288}),
    Case("det 1×3×320×480", _DET, None, {"N": 1, "H": 320, "W": 480}, {"N": 1, "H": 288, "W": 448}),
    Case(
        "det 1×3×320×480, sizes in steps of 32",
        _DET,
        None,
        {"N": 1, "H": 320, "W": 480},
        {"N": 1, "H": 288, "W": 448},
        {"H": 32, "W": 32},
    ),
    Case("det 1×3×640×640", _DET, None, {"N": 1, "H": 640, "W": 640}, {"N": 1, "H": 608, "W": 576}),
)


def make_pair(case: Case, directory: Path, *, exact: bool) -> Pair:
    """Write both models of a case into ``directory``; with ``exact`` the request fills the bucket."""
    analysis = analyse_model(case.model, input_shape=case.input_shape, multiples=case.multiples)
    size = case.bucket if exact else case.size
    inputs = {tensor.name: _padded(tensor.shape(size), tensor.shape(case.bucket)) for tensor in analysis.inputs.inputs}
    rows = case.bucket.get(analysis.behaviour.rows or "", 1)
    sizes = {name: np.full(rows, value) for name, value in size.items()}
    cleaned_inputs = {**inputs, **analysis.behaviour.feeds(case.bucket, sizes)}
    plain = _fixed(onnx.load(case.model), inputs)
    cleaned = _fixed(analysis.cleaned, cleaned_inputs)
    paths = [directory / f"{len(list(directory.iterdir()))}-{kind}.onnx" for kind in ("plain", "cleaned")]
    for path, model in zip(paths, (plain, cleaned), strict=True):
        path.write_bytes(model.SerializeToString())
    return Pair(case.name, *paths, inputs, cleaned_inputs, analysis.places, _megabytes(cleaned))


def _padded(size: tuple[int, ...], bucket: tuple[int, ...]) -> np.ndarray[Any, Any]:
    whole = np.zeros(bucket, np.float32)
    whole[tuple(map(slice, size))] = np.random.default_rng(_SEED).standard_normal(size)
    return whole


def _fixed(model: onnx.ModelProto, inputs: Mapping[str, Any]) -> onnx.ModelProto:
    return fix_dimensions(model, {name: value.shape for name, value in inputs.items()})


def _megabytes(cleaned: onnx.ModelProto) -> float:
    """Return the size of all tensors that some operator was added to clean."""
    added = {node.output[0] for node in cleaned.graph.node if node.name.startswith("st_clean")}
    inferred = onnx.shape_inference.infer_shapes(cleaned, data_prop=True).graph.value_info
    shapes = [value.type.tensor_type.shape.dim for value in inferred if value.name in added]
    return 4e-6 * sum(float(np.prod([dim.dim_value for dim in dims])) for dims in shapes if dims)
