"""How operators of classical models are put behind a value of a random graph: one row a position."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, operator

_DOMAIN = "ai.onnx.ml"


def _rows(graph: Growing, value: Value) -> tuple[Value, int] | None:
    """Return a value as a matrix with its width, where that is fixed."""
    width = value.fixed(value.rank - 1)
    if width is None or value.rank < 2:
        return None
    return (value if value.rank == 2 else graph.add("Reshape", value, graph.const([-1, width]))), width


@operator("Scaled")
def scaled(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Each column moved and scaled, set to zero or one, or put in the place of a number that stands for none."""
    rows = _rows(graph, value)
    if rows is None:
        return None
    matrix, width = rows
    kind = draw(st.sampled_from(["Scaler", "Binarizer", "Imputer", "Normalizer"]))
    known: dict[str, Any] = {
        "Scaler": {"offset": [0.5] * width, "scale": [1.5] * width},
        "Binarizer": {"threshold": 0.2},
        "Imputer": {"imputed_value_floats": [0.75] * width, "replaced_value_float": 0.0},
        "Normalizer": {"norm": draw(st.sampled_from(["L1", "L2", "MAX"]))},
    }[kind]
    return graph.add(kind, matrix, domain=_DOMAIN, **known)


@operator("Columns")
def columns(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Columns taken by number, or put behind each other."""
    rows = _rows(graph, value)
    if rows is None:
        return None
    matrix, width = rows
    if draw(st.booleans()):
        return graph.add("ArrayFeatureExtractor", matrix, graph.const([width - 1, 0]), domain=_DOMAIN)
    return graph.add("FeatureVectorizer", matrix, matrix, domain=_DOMAIN, inputdimensions=[width, width])


@operator("Regressor")
def regressor(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A line, or a tree, through the columns."""
    rows = _rows(graph, value)
    if rows is None:
        return None
    matrix, width = rows
    if draw(st.booleans()):
        numbers = [float(number) for number in graph.random.standard_normal(2 * width)]
        known: dict[str, Any] = {"coefficients": numbers, "intercepts": [0.5, -0.25], "targets": 2}
        return graph.add("LinearRegressor", matrix, domain=_DOMAIN, **known)
    known = {
        "n_targets": 1,
        "nodes_treeids": [0] * 3,
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [width - 1, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"],
        "nodes_values": [0.1, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [0.75, -1.5],
    }
    return graph.add("TreeEnsembleRegressor", matrix, domain=_DOMAIN, **known)


@operator("Classifier")
def classifier(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Scores of classes, or which is the best."""
    rows = _rows(graph, value)
    if rows is None:
        return None
    matrix, width = rows
    numbers = [float(number) for number in graph.random.standard_normal(3 * width)]
    known: dict[str, Any] = {"coefficients": numbers, "intercepts": [0.5, -0.25, 0.0], "classlabels_ints": [3, 5, 9]}
    known["post_transform"] = draw(st.sampled_from(["NONE", "SOFTMAX", "LOGISTIC"]))
    label, scores = graph.add("LinearClassifier", matrix, outputs=2, domain=_DOMAIN, **known)
    if draw(st.booleans()):
        return scores
    return graph.cast(
        graph.add(
            "LabelEncoder", label, domain=_DOMAIN, keys_int64s=[3, 5], values_floats=[1.0, -2.0], default_float=0.5
        ),
        "float32",
    )


@operator("Categories")
def categories(graph: Growing, draw: Draw, value: Value) -> Value:
    """Whole numbers as vectors of the categories that are known."""
    whole = graph.cast(graph.add("Mul", value, graph.const(2.0)), "int64")
    return graph.add("OneHotEncoder", whole, domain=_DOMAIN, cats_int64s=[-1, 0, 2], zeros=1)
