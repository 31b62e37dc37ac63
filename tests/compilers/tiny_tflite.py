"""A small dynamic TFLite model, made with the schema of the interpreter's package."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_tiny_tflite(path: Path) -> Path:
    """Write ``y = softmax(tanh(x * scale + shift))`` with x of [1, -1, 8]."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    generator = np.random.default_rng(1)
    scale, shift = generator.normal(0, 2, (2, 8)).astype(np.float32)

    def tensor(name: str, shape: list[int], signature: list[int] | None, buffer: int):
        made = schema.TensorT()
        made.name, made.shape, made.shapeSignature, made.buffer = name, shape, signature, buffer
        made.type = schema.TensorType.FLOAT32
        return made

    def buffer(content: bytes | None):
        made = schema.BufferT()
        made.data = None if content is None else np.frombuffer(content, np.uint8)
        return made

    def code(operator: int):
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = operator
        made.version = 1
        return made

    def operator(index: int, inputs: list[int], outputs: list[int], kind: str | None = None):
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = index, inputs, outputs
        if kind is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
        return made

    graph = schema.SubGraphT()
    graph.tensors = [
        tensor("x", [1, 1, 8], [1, -1, 8], 0),
        tensor("scale", [8], None, 1),
        tensor("shift", [8], None, 2),
        *(tensor(name, [1, 1, 8], [1, -1, 8], 0) for name in ("scaled", "shifted", "bent", "y")),
    ]
    graph.inputs, graph.outputs = [0], [6]
    softmax = operator(3, [5], [6], "SoftmaxOptions")
    softmax.builtinOptions.beta = 1.0
    graph.operators = [
        operator(0, [0, 1], [3], "MulOptions"),
        operator(1, [3, 2], [4], "AddOptions"),
        operator(2, [4], [5]),
        softmax,
    ]
    made = schema.ModelT()
    made.version, made.subgraphs = 3, [graph]
    made.operatorCodes = [code(getattr(schema.BuiltinOperator, name)) for name in ("MUL", "ADD", "TANH", "SOFTMAX")]
    made.buffers = [buffer(None), buffer(scale.tobytes()), buffer(shift.tobytes())]
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), file_identifier=b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
