"""Write a small decoder with a key-value cache, and the sizes of the calls that it will see.

    python examples/decoder/make_decoder.py models/decoder.onnx datasets/calls.csv

Two layers of causal attention with random weights, laid out as exporters do it: the keys and values of what came before
go in as ``past_…`` and come out, longer, as ``present_…``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HEADS, SIZE, VOCABULARY, LONGEST = 2, 4, 8, 97, 256
WIDTH = HEADS * SIZE
PROMPTS, CONTEXT = (4, 7, 9, 12, 16), 224


class Decoder:
    """The graph under construction; values are their names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(5)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def const(self, value: Any) -> str:
        """Add a constant."""
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(self, rows: int, columns: int, scale: float) -> str:
        """Add a matrix of random numbers."""
        return self.const((self.random.standard_normal((rows, columns)) * scale).astype(np.float32))

    def dense(self, x: str) -> str:
        """Multiply by a square matrix."""
        return self.op("MatMul", x, self.weight(WIDTH, WIDTH, WIDTH**-0.5))

    def heads(self, x: str) -> str:
        """Turn [1, seq, width] into [1, heads, seq, size]."""
        split = self.op("Reshape", x, self.const([0, 0, HEADS, SIZE]))
        return self.op("Transpose", split, perm=[0, 2, 1, 3])

    def layer(self, x: str, layer: int, bias: str) -> str:
        """Attend to the past and to what is new; the longer past is given out."""
        query = self.heads(self.dense(x))
        key, value = (
            self.op("Concat", f"past_{layer}_{part}", self.heads(self.dense(x)), axis=2) for part in ("key", "value")
        )
        self.nodes += [
            helper.make_node("Identity", [whole], [f"present_{layer}_{part}"])
            for whole, part in ((key, "key"), (value, "value"))
        ]
        scores = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 1, 3, 2]))
        scores = self.op("Add", self.op("Mul", scores, self.const(np.float32(SIZE**-0.5))), bias)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        joined = self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.const([0, 0, WIDTH]))
        x = self.op("Add", x, self.dense(joined))
        return self.op("Add", x, self.dense(self.op("Tanh", self.dense(x))))

    def length(self, value: str, axis: int) -> str:
        """Return a size as a number."""
        return self.op("Gather", self.op("Shape", value), self.const(axis))


def decoder() -> onnx.ModelProto:
    """Return the model."""
    g = Decoder()
    past, seq = g.length("past_0_key", 2), g.length("tokens", 1)
    total = g.op("Add", past, seq)
    own = g.op("Range", past, total, g.const(1))  # the positions of the new tokens
    every = g.op("Range", g.const(0), total, g.const(1))
    later = g.op("Less", g.op("Unsqueeze", own, g.const([1])), g.op("Unsqueeze", every, g.const([0])))
    hidden = g.op("Equal", g.op("Unsqueeze", "attention_mask", g.const([1, 2])), g.const(0))
    bias = g.op("Where", g.op("Or", hidden, later), g.const(np.float32(-1e9)), g.const(np.float32(0)))
    x = g.op("Gather", g.weight(VOCABULARY, WIDTH, 1.0), "tokens")
    x = g.op("Add", x, g.op("Gather", g.weight(LONGEST, WIDTH, 0.7), own))
    for layer in range(LAYERS):
        x = g.layer(x, layer, bias)
    g.nodes.append(helper.make_node("MatMul", [x, g.weight(WIDTH, VOCABULARY, WIDTH**-0.5)], ["logits"]))
    whole = [1, HEADS, "past + seq", SIZE]
    inputs = [("tokens", [1, "seq"], TensorProto.INT64), ("attention_mask", [1, "past + seq"], TensorProto.INT64)]
    inputs += [(f"past_{name}", [1, HEADS, "past", SIZE], TensorProto.FLOAT) for name in cache_names()]
    outputs = [("logits", [1, "seq", VOCABULARY]), *((f"present_{name}", whole) for name in cache_names())]
    graph = helper.make_graph(
        g.nodes,
        "decoder",
        [helper.make_tensor_value_info(name, kind, dims) for name, dims, kind in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs],
        g.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def cache_names() -> list[str]:
    """Return what the parts of the cache are called, after ``past_`` and ``present_``."""
    return [f"{layer}_{part}" for layer in range(LAYERS) for part in ("key", "value")]


def calls() -> Iterator[tuple[int, int]]:
    """Yield past and seq of every call: prompts with nothing before them, then one token after the other."""
    for prompt in PROMPTS:
        yield 0, prompt
        yield from ((past, 1) for past in range(prompt, CONTEXT))


def main() -> None:
    """Write the model and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("table", type=Path)
    arguments = parser.parse_args()
    for path in (arguments.model, arguments.table):
        path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(decoder(), arguments.model)
    with arguments.table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("past", "seq"), *calls()])


if __name__ == "__main__":
    main()
