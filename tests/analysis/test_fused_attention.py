"""Attention of onnxruntime's own domain: masks of numbers, what is added to scores, packed projections, and a past."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from scaling_tasks.analysis.analyse import analyse_model
from tests.analysis.drafts import Draft, assert_exact

OWN: dict[str, Any] = {"domain": "com.microsoft"}
ROWS = [{"N": 1, "T": 4}, {"N": 1, "T": 7}]
BUCKET = {"N": 2, "T": 9}
PAST = [{"N": 1, "T": 3, "P": 5}, {"N": 1, "T": 4, "P": 2}]
WIDTH = 16


def some(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    return (np.arange(int(np.prod(shape))).reshape(shape) % 3 < 2).astype(np.int32)


def later(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    """Hide the first positions, as of requests that are filled up at the start."""
    return np.broadcast_to(np.arange(shape[-1]) >= 2, shape).astype(np.int32)


def none(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    return np.zeros(shape, np.int32)


def ones(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    return np.ones(shape, np.int64)


def projected(draft: Draft, x: str, widths: list[int]) -> list[str]:
    return [str(draft.add("MatMul", [x, draft.weights(8, width, seed=at)])) for at, width in enumerate(widths)]


def wide(draft: Draft, name: str = "x", length: str = "T") -> str:
    return draft.shifted(draft.input(name, ["N", length, 8]))


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", [None, some, later, none])
def test_packed_attention(causal: int, mask: Any) -> None:
    draft = Draft(17)
    parts = [wide(draft), draft.weights(8, 24), draft.weights(24)]
    if mask:
        parts.append(draft.input("mask", ["N", "T"], np.int32))
    y = draft.add("Attention", parts, num_heads=2, unidirectional=causal, **OWN)
    assert_exact(draft.model(y), BUCKET, ROWS, data={"mask": mask})


def first(shape: tuple[int, ...], generator: Any) -> NDArray[Any]:
    """Count no key of the first row, some of the others."""
    return 3 * (np.arange(shape[0]) > 0).astype(np.int32)


def flat(draft: Draft, name: str = "x") -> str:
    """Return the positions of an image in one line."""
    x = draft.shifted(draft.input(name, ["N", 8, "H", "W"]))
    line = draft.add("Reshape", [x, draft.constant([0, 8, -1])])
    return str(draft.add("Transpose", [line], perm=[0, 2, 1]))


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("mask", [None, some, none])
@pytest.mark.parametrize("form", [["N", "P + T"], ["N", "T", "P + T"]])
def test_packed_attention_with_a_past(mask: Any, form: list[str], causal: int) -> None:
    draft = Draft(17)
    parts = [wide(draft), draft.weights(8, 24), draft.weights(24)]
    parts.append(draft.input("mask", form, np.int32) if mask else "")
    parts.append(draft.input("past", [2, "N", 2, "P", 4]))
    names = draft.add("Attention", parts, outputs=2, num_heads=2, unidirectional=causal, **OWN)
    assert_exact(draft.model(*names), {**BUCKET, "P": 6}, PAST, data={"mask": mask})


@pytest.mark.parametrize("mask", [None, some, none])
@pytest.mark.parametrize("past", [False, True])
def test_quantised_attention(mask: Any, past: bool) -> None:
    draft = Draft(17)
    x, scale, point = draft.add("DynamicQuantizeLinear", [draft.input("x", [1, "T", 8])], outputs=3)
    weights = draft.constant(np.arange(192).reshape(8, 24) % 23 - 11, np.int8)
    parts = [x, weights, draft.weights(24), scale, draft.constant(0.05, np.float32)]
    parts.append(draft.input("mask", [1, "P + T" if past else "T"], np.int32) if mask else "")
    parts += [point, draft.constant(0, np.int8), draft.input("past", [2, 1, 2, "P", 4]) if past else ""]
    names = draft.add("QAttention", parts, outputs=1 + past, num_heads=2, unidirectional=int(past), **OWN)
    model = draft.model(*names) if past else draft.model(names)
    assert_exact(model, {"T": 9, "P": 4}, [{"T": 5, "P": 3}], data={"mask": mask})


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("batch", ["N", 1])
def test_attention_to_as_many_keys_as_each_row_is_told(batch: str | int, packed: bool, causal: int) -> None:
    draft = Draft(17)
    x, counts = draft.shifted(draft.input("x", [batch, "T", 8])), draft.input("counts", [batch], np.int32)
    if packed:
        kind, parts = "Attention", [x, draft.weights(8, 24), draft.weights(24), counts]
    else:
        kind, parts = "MultiHeadAttention", [*projected(draft, x, [8, 8, 8]), "", counts]
    y = draft.add(kind, parts, num_heads=2, unidirectional=causal, **OWN)
    assert_exact(draft.model(y), BUCKET, ROWS, data={"counts": first})


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "Attention"])
def test_causal_attention_of_the_positions_of_an_image(kind: str) -> None:
    draft = Draft(23)
    parts = projected(draft, flat(draft), [8, 8, 8])
    if kind == "Attention":
        y = draft.add(kind, parts, q_num_heads=2, kv_num_heads=2, is_causal=1)
    else:
        y = draft.add(kind, parts, num_heads=2, unidirectional=1, **OWN)
    assert_exact(draft.model(y), {"H": 5, "W": 7, "N": 1}, [{"H": 3, "W": 4, "N": 1}])


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("mask", [None, some, none])
def test_multi_head_attention(cross: bool, mask: Any) -> None:
    draft = Draft(17)
    x = wide(draft)
    source = wide(draft, "z", "S") if cross else x
    parts = [draft.add("MatMul", [of, draft.weights(8, 8, seed=at)]) for at, of in enumerate((x, source, source))]
    if mask:
        parts += ["", draft.input("mask", ["N", "S" if cross else "T"], np.int32)]
    y = draft.add("MultiHeadAttention", parts, num_heads=2, **OWN)
    extra = {"S": 5} if cross else {}
    rows = [{**row, **extra} for row in ROWS]
    assert_exact(draft.model(y), {**BUCKET, **extra, **({"S": 6} if cross else {})}, rows, data={"mask": mask})


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize("mask", [None, some, none])
def test_multi_head_attention_with_a_past(causal: int, added: bool, mask: Any) -> None:
    draft = Draft(17)
    parts = [*projected(draft, wide(draft), [8, 8, 8]), ""]
    parts.append(draft.input("mask", ["N", "P + T"], np.int32) if mask else "")
    parts.append(draft.shifted(draft.input("added", ["N", 1, "T", "P + T"])) if added else "")
    parts += [draft.input(name, ["N", 2, "P", 4]) for name in ("keys", "values")]
    names = draft.add("MultiHeadAttention", parts, outputs=3, num_heads=2, unidirectional=causal, **OWN)
    assert_exact(draft.model(*names), {**BUCKET, "P": 6}, PAST, data={"mask": mask})


def test_keys_and_values_that_were_computed_before() -> None:
    draft = Draft(17)
    (query,) = projected(draft, wide(draft), [8])
    source = [draft.shifted(draft.input(name, ["N", 2, "S", 4])) for name in ("keys", "values")]
    y = draft.add("MultiHeadAttention", [query, *source], num_heads=2, **OWN)
    assert_exact(draft.model(y), {**BUCKET, "S": 8}, [{**row, "S": at + 3} for at, row in enumerate(ROWS)])


def cached(length: int | str, *, rotary: bool, window: int, packed: bool, told: str) -> Any:
    """Return a model of one GroupQueryAttention of 4 heads and 2 of keys, of which a past holds some."""
    draft = Draft(17)
    x = draft.shifted(draft.input("x", ["N", length, 8]))
    sizes = [8 * WIDTH] if packed else [4 * WIDTH, 2 * WIDTH, 2 * WIDTH]
    parts = [*projected(draft, x, sizes), *([""] * (3 - len(sizes)))]
    parts += [draft.input(name, ["N", 2, "P", WIDTH]) for name in ("keys", "values")]
    if told == "mask":
        mask = draft.input("mask", ["N", f"P + {length}"], np.int64)
        count = draft.add("ReduceSum", [mask, draft.constant([1])], keepdims=0)
        total = draft.add("Gather", [draft.add("Shape", [mask]), draft.constant(1)])
    else:
        new, old, rows = (
            draft.add("Shape", [name], start=at, end=at + 1) for name, at in ((x, 1), ("keys", 2), (x, 0))
        )
        total = draft.add("Add", [new, old])
        count = draft.add("Expand", [total, rows])
    counts = draft.add("Cast", [draft.add("Sub", [count, draft.constant([1])])], to=6)
    parts += [counts, draft.add("Cast", [total], to=6)]
    if rotary:
        parts += [draft.weights(64, WIDTH // 2), draft.weights(64, WIDTH // 2, seed=1)]
    given = {"num_heads": 4, "kv_num_heads": 2, "do_rotary": int(rotary), "local_window_size": window}
    return draft.model(*draft.add("GroupQueryAttention", parts, outputs=3, **given, **OWN))


@pytest.mark.parametrize("told", ["mask", "shape"])
@pytest.mark.parametrize(
    ("rotary", "window", "packed"), [(False, -1, False), (True, -1, False), (True, 3, False), (True, -1, True)]
)
def test_group_query_attention(rotary: bool, window: int, packed: bool, told: str) -> None:
    model = cached("T", rotary=rotary, window=window, packed=packed, told=told)
    for past in (0, 3):
        assert_exact(model, {"N": 1, "T": 9, "P": 6}, [{"N": 1, "T": 4, "P": past}], data={"mask": ones})
    step = cached(1, rotary=rotary, window=window, packed=packed, told=told)
    analysis = assert_exact(step, {"N": 2, "P": 8}, [{"N": 1, "P": 5}, {"N": 1, "P": 2}], data={"mask": ones})
    assert analysis.behaviour.rows == "N"


def test_group_query_attention_to_a_prompt() -> None:
    draft = Draft(17)
    mask = draft.input("mask", ["N", "T"], np.int64)
    count = draft.add("ReduceSum", [mask, draft.constant([1])], keepdims=0)
    counts = draft.add("Cast", [draft.add("Sub", [count, draft.constant([1])])], to=6)
    total = draft.add("Cast", [draft.add("Gather", [draft.add("Shape", [mask]), draft.constant(1)])], to=6)
    parts = [*projected(draft, wide(draft), [4 * WIDTH, 2 * WIDTH, 2 * WIDTH]), "", "", counts, total]
    names = draft.add("GroupQueryAttention", parts, outputs=3, num_heads=4, kv_num_heads=2, **OWN)
    assert assert_exact(draft.model(*names), BUCKET, ROWS, data={"mask": ones}).behaviour.rows == "N"


def test_attention_whose_width_follows_the_sizes_is_refused() -> None:
    draft = Draft(17)
    y = draft.add("MultiHeadAttention", [draft.input(name, ["N", "T", "W"]) for name in "qkv"], num_heads=2, **OWN)
    assert analyse_model(draft.model(y)).behaviour.refusals


def test_lengths_of_a_cache_that_were_drawn_at_random_stay_so() -> None:
    model = cached("T", rotary=False, window=-1, packed=False, told="mask")
    attention = next(node for node in model.graph.node if node.op_type == "GroupQueryAttention")
    noise = [
        helper.make_node("RandomUniform", [], ["drawn"], shape=[1]),
        helper.make_node("Cast", ["drawn"], ["whole"], to=6),
        helper.make_node("Add", [attention.input[5], "whole"], ["lengths"]),
    ]
    nodes = [node for node in model.graph.node if node is not attention]
    attention.input[5] = "lengths"
    copies = [type(attention).FromString(node.SerializeToString()) for node in [*nodes, *noise, attention]]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    refused = {each.output for each in analyse_model(model).behaviour.refusals}
    assert refused == {value.name for value in model.graph.output}


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "Attention"])
@pytest.mark.parametrize("past", [False, True])
def test_causal_attention_to_another_number_of_new_keys_is_refused_where_it_is_counted_from_the_end(
    kind: str, past: bool
) -> None:
    draft = Draft(23)
    query, source = wide(draft), wide(draft, "z", "S")
    parts = [draft.add("MatMul", [of, draft.weights(8, 8, seed=at)]) for at, of in enumerate((query, source, source))]
    old = [draft.input(name, ["N", 2, "P", 4]) for name in ("keys", "values")] if past else []
    if kind == "Attention":
        extra = {"q_num_heads": 2, "kv_num_heads": 2, "is_causal": 1}
        names = draft.add(kind, [*parts, "", *old] if past else parts, outputs=1 + 2 * past, **extra)
    else:
        names = draft.add(kind, [*parts, "", "", "", *old], outputs=1 + 2 * past, num_heads=2, unidirectional=1, **OWN)
    model = draft.model(*(names if past else [names]))
    rows = [{"N": 1, "T": 2, "S": 4, "P": 3}, {"N": 1, "T": 5, "S": 3, "P": 1}]
    analysis = assert_exact(model, {**BUCKET, "S": 6, "P": 5}, rows, refusable=True)
    assert bool(analysis.behaviour.refusals) == (past or kind == "MultiHeadAttention")
