"""Classical models, whose rows have nothing to do with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

ML: dict[str, Any] = {"domain": "ai.onnx.ml"}
TREE: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 0, 1, 2],
    "nodes_featureids": [0, 0, 0, 2, 0, 0],
    "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
    "nodes_values": [0.3, 0.0, 0.0, -0.2, 0.0, 0.0],
    "nodes_truenodeids": [1, 0, 0, 1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0, 2, 0, 0],
}
LEAVES = {"treeids": [0, 0, 1, 1], "nodeids": [1, 2, 1, 2], "ids": [0, 1, 1, 0], "weights": [0.5, 1.5, -1.0, 2.0]}


def rows_apart(draft: Draft, *outputs: str) -> None:
    analysis = assert_exact(draft.model(*outputs), {"N": 9}, [{"N": 1}, {"N": 1}])
    assert analysis.behaviour.rows == "N"


@pytest.mark.parametrize("labels", [{"classlabels_int64s": [4, 9]}, {"classlabels_strings": ["no", "yes"]}])
def test_trees(labels: dict[str, Any]) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 3]))
    classes = {f"class_{name}": value for name, value in LEAVES.items()}
    targets = {f"target_{name}": value for name, value in LEAVES.items()}
    found = draft.add("TreeEnsembleClassifier", [x], outputs=2, **TREE, **classes, **labels, **ML)
    value = draft.add("TreeEnsembleRegressor", [x], n_targets=2, **TREE, **targets, **ML)
    rows_apart(draft, *found, value)


@pytest.mark.parametrize("kind", ["LinearClassifier", "LinearRegressor", "SVMRegressor", "SVMClassifier"])
def test_planes_and_vectors(kind: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 3]))
    known: dict[str, Any] = {"coefficients": [0.5, -1.0, 2.0] * 2, **ML}
    if kind == "LinearClassifier":
        known |= {"intercepts": [0.1, 0.2], "classlabels_ints": [3, 5], "post_transform": "SOFTMAX"}
    elif kind == "LinearRegressor":
        known |= {"intercepts": [0.1, 0.2], "targets": 2}
    else:
        known = {"coefficients": [0.5, -1.0], "support_vectors": [1.0, 2.0, 0.5, -1.0, 0.0, 1.0], "rho": [0.3], **ML}
        known |= {"kernel_type": "RBF", "kernel_params": [0.4, 0.0, 3.0]}
        known |= (
            {"n_supports": 2} if kind == "SVMRegressor" else {"vectors_per_class": [1, 1], "classlabels_ints": [3, 5]}
        )
    found = draft.add(kind, [x], outputs=2 if kind.endswith("Classifier") else 1, **known)
    rows_apart(draft, *(found if isinstance(found, list) else [found]))


@pytest.mark.parametrize("chances", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_scores_of_vectors_are_chosen_by_number(classes: int, chances: bool) -> None:
    draft, pairs = Draft(17), classes * (classes - 1) // 2
    x = draft.shifted(draft.input("x", ["N", 3]))
    known: dict[str, Any] = {
        "coefficients": np.linspace(-1, 1, classes * (classes - 1)).tolist(),
        "support_vectors": np.linspace(-2, 1, classes * 3).tolist(),
        "rho": [0.3] * pairs,
        "kernel_type": "RBF",
        "kernel_params": [0.4, 0.0, 3.0],
        "vectors_per_class": [1] * classes,
        "classlabels_ints": list(range(classes)),
    }
    if chances:
        known |= {"prob_a": [-1.0] * pairs, "prob_b": [0.1] * pairs}
    label, scores = draft.add("SVMClassifier", [x], outputs=2, **known, **ML)
    last = draft.add("ArrayFeatureExtractor", [scores, draft.constant([1])], **ML)
    rows_apart(draft, label, scores, last)


@pytest.mark.parametrize("kind", ["Scaler", "Normalizer", "Binarizer", "Imputer", "LabelEncoder", "OneHotEncoder"])
def test_features(kind: str) -> None:
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", 3]))
    known: dict[str, Any] = {
        "Scaler": {"offset": [0.5, 0.1, -1.0], "scale": [2.0, 1.0, 0.5]},
        "Normalizer": {"norm": "L2"},
        "Binarizer": {"threshold": 0.4},
        "Imputer": {"imputed_value_floats": [0.1, 0.2, 0.3], "replaced_value_float": 0.75},
        "LabelEncoder": {"keys_int64s": [0, 1, 2], "values_strings": ["a", "b", "c"], "default_string": "none"},
        "OneHotEncoder": {"cats_int64s": [0, 1, 2], "zeros": 1},
    }[kind]
    if kind in ("LabelEncoder", "OneHotEncoder"):
        x = draft.add("Cast", [x], to=7)
    rows_apart(draft, draft.add(kind, [x], **known, **ML))


def test_features_beside_each_other_and_chosen() -> None:
    draft = Draft(17)
    parts = [draft.shifted(draft.input(name, ["N", count])) for name, count in (("x", 3), ("z", 2))]
    whole = draft.add("FeatureVectorizer", parts, inputdimensions=[3, 2], **ML)
    some = draft.add("ArrayFeatureExtractor", [whole, draft.constant([4, 0])], **ML)
    best = draft.add("ArgMax", [whole], axis=1, keepdims=1)
    label = draft.add("ArrayFeatureExtractor", [draft.constant([7, 8, 9, 10, 11], np.int64), best], **ML)
    rows_apart(draft, some, draft.add("Reshape", [label, draft.constant([-1])]))


def test_maps_are_refused_with_what_to_do() -> None:
    draft = Draft(17)
    scores = draft.add("Softmax", [draft.shifted(draft.input("x", ["N", 2]))])
    maps = draft.add("ZipMap", [scores], classlabels_int64s=[0, 1], **ML)
    model = draft.model(maps)
    model.graph.output[0].CopyFrom(
        helper.make_value_info(
            maps, helper.make_sequence_type_proto(helper.make_map_type_proto(7, helper.make_tensor_type_proto(1, [])))
        )
    )
    (refusal, *_) = analyse_model(model).behaviour.refusals
    assert "zipmap=False" in refusal.reason


def test_categories_have_names() -> None:
    draft = Draft(17)
    whole = draft.add("Cast", [draft.shifted(draft.input("x", ["N", 3]))], to=7)
    known = {"cats_int64s": [0, 1, 2], "cats_strings": ["a", "b", "c"], **ML}
    named = draft.add("CategoryMapper", [whole], default_string="other", **known)
    rows_apart(draft, draft.add("CategoryMapper", [named], default_int64=-1, **known))
