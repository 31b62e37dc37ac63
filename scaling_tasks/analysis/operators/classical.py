"""Classical models (the domain ai.onnx.ml): what they say of a row follows from its features alone."""

from __future__ import annotations

from collections.abc import Sequence

from scaling_tasks.analysis.axes import Axis, grid, join
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.operators.gathering import safe_numbers
from scaling_tasks.analysis.registry import operator, refuse
from scaling_tasks.analysis.tensors import Tensor

_OWN = "ai.onnx.ml"
_FLOAT, _INT64, _STRING = 1, 7, 8
_LABELS = ("classlabels_strings", "classlabels_int64s", "classlabels_ints")
_KINDS = {"strings": _STRING, "int64s": _INT64, "floats": _FLOAT}

refuse(
    "its result is a list of maps; export the model with zipmap=False, or without this node",
    *("ZipMap", "CastMap", "DictVectorizer"),
    domain=_OWN,
    always=True,
)


def _features(op: Operation, index: int = 0) -> Tensor:
    """Return an input whose last axis holds features.

    Raises:
        Refused: How many these are follows the sizes of the request.
    """
    tensor = op.input(index)
    if not tensor.rank or tensor.known_axes[-1].variables:
        raise Refused("how many features it reads follows the sizes of the request")
    return tensor


def _rows(op: Operation) -> Axis:
    tensor = _features(op)
    return tensor.known_axes[0] if tensor.rank == 2 else grid(1)


@operator("TreeEnsembleRegressor", "TreeEnsemble", "LinearRegressor", "SVMRegressor", domain=_OWN)
def follow_regressor(op: Operation) -> Tensor:
    """Follow a regressor: ``[rows, targets]``."""
    targets = int(op.attribute("targets" if op.kind == "LinearRegressor" else "n_targets", 1))
    dtype = op.input(0).dtype if op.kind == "TreeEnsemble" else _FLOAT
    return op.result([_rows(op), grid(targets)], dtype, finite=_finds_finite(op))


def _finds_finite(op: Operation) -> bool:
    """Return whether what is computed of the features is finite; trees only compare them."""
    return op.kind.startswith("TreeEnsemble") or op.input(0).finite


@operator("TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier", domain=_OWN)
def follow_classifier(op: Operation) -> Sequence[Tensor]:
    """Follow a classifier: a label for each row, and ``[rows, classes]``."""
    name, labels = next(((name, found) for name in _LABELS if (found := op.attribute(name))), ("", []))
    if not name:
        raise Refused("its classes have no labels")
    scores = _scores(op, len(labels)) if op.kind == "SVMClassifier" else grid(len(labels))
    rows = _rows(op)
    kind = _STRING if name.endswith("strings") else _INT64
    return [op.result([rows], kind), op.result([rows, scores], _FLOAT, output=1, finite=_finds_finite(op))]


def _scores(op: Operation, classes: int) -> Axis:
    """Return the scores of a support vector machine: one per class, or per pair of them where it knows no chances."""
    if not op.attribute("support_vectors"):
        return op.data_axis()  # How many a plane gives is told by more than its labels.
    if op.attribute("prob_a"):
        return grid(classes)
    return grid(max(classes * (classes - 1) // 2, 2))


@operator("Scaler", "Imputer", "Normalizer", domain=_OWN)
def follow_scaler(op: Operation) -> Tensor:
    """Follow what is done to each feature, or to all features of a row together."""
    tensor = _features(op)
    return op.result(tensor.known_axes, _FLOAT if op.kind != "Imputer" else tensor.dtype, finite=False)


@operator("Binarizer", "LabelEncoder", "CategoryMapper", domain=_OWN)
def follow_mapping(op: Operation) -> Tensor:
    """Follow what maps each number or text to another."""
    tensor = op.input(0)
    dtype = tensor.dtype
    if op.kind == "CategoryMapper":
        dtype = _INT64 if dtype == _STRING else _STRING
    elif op.kind == "LabelEncoder":
        values = op.attribute("values_tensor")
        found = next((kind for name, kind in _KINDS.items() if op.attribute(f"values_{name}")), None)
        found = int(values.data_type) if values is not None else found
        if found is None:
            # The first version had one list, of texts, for either way.
            found = _INT64 if dtype == _STRING else _STRING
        dtype = found
    # What a label stands for may be no number.
    return op.result(tensor.known_axes, dtype, finite=op.kind == "Binarizer")


@operator("OneHotEncoder", domain=_OWN)
def follow_one_hot_encoder(op: Operation) -> Tensor:
    """Follow OneHotEncoder, which adds an axis of categories."""
    count = next((len(found) for name in ("cats_int64s", "cats_strings") if (found := op.attribute(name))), 0)
    return op.result([*op.input(0).known_axes, grid(count)], _FLOAT, low=0.0, high=1.0)


@operator("ArrayFeatureExtractor", domain=_OWN)
def follow_extractor(op: Operation) -> Tensor:
    """Follow the choice of features by number: all numbers in one line, as labels are read by what is the largest."""
    safe_numbers(op, 1, [_features(op).known_axes[-1].length])
    tensor, numbers = op.input(0), op.input(1)
    for at in range(numbers.rank):
        if len(numbers.known_axes[at].pieces) > 1:
            op.mix(1, at)
    lengths = [length for axis in op.input(1).known_axes for length in axis.pieces[0] if length.constant != 1]
    lead = list(tensor.known_axes[:-1]) or [grid(1)]
    return op.result([*lead, grid(*lengths)], tensor.dtype, finite=tensor.finite, low=tensor.low, high=tensor.high)


@operator("FeatureVectorizer", domain=_OWN)
def follow_vectorizer(op: Operation) -> Tensor:
    """Follow the features of several inputs put beside each other."""
    tensors = [_features(op, at) for at in range(len(op.inputs))]
    rows = [op.same_axis(0, 0, at, 0) for at in range(1, len(tensors))]
    if any(op.input(at).rank != 2 for at in range(len(tensors))):
        raise Refused("its features are no rows")
    first = rows[-1] if rows else op.input(0).known_axes[0]
    columns = join([op.input(at).known_axes[1] for at in range(len(tensors))])
    return op.result([first, columns], _FLOAT, finite=all(tensor.finite for tensor in tensors))
