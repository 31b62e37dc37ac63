"""ONNX models with and without weights beside them."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from scaling_tasks.onnx_model.digest import digest_model
from scaling_tasks.onnx_model.reading import load_model, read_signature
from tests.fuzz.reader import Reader, anything


def model() -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", None])]
    branch = helper.make_graph(
        [helper.make_node("Identity", ["m"], ["t"])], "then", [], [helper.make_empty_tensor_value_info("t")]
    )
    other = helper.make_graph(
        [helper.make_node("Neg", ["m"], ["e"])], "else", [], [helper.make_empty_tensor_value_info("e")]
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="matmul"),
        helper.make_node("Constant", [], ["flag"], value=numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["flag"], ["b"], then_branch=branch, else_branch=other),
        helper.make_node("Twice", ["b"], ["y"], domain="own"),
    ]
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "w")
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [weight])
    opset, own = helper.make_opsetid("", 17), helper.make_opsetid("own", 1)
    twice = helper.make_function("own", "Twice", ["a"], ["c"], [helper.make_node("Add", ["a", "a"], ["c"])], [opset])
    return helper.make_model(graph, opset_imports=[opset, own], functions=[twice], ir_version=9)


def _make(directory: Path) -> list[Path]:
    inside, beside = directory / "inside.onnx", directory / "beside.onnx"
    inside.write_bytes(model().SerializeToString(deterministic=True))
    proto = model()
    external_data_helper.convert_model_to_external_data(proto, location="beside.weights", size_threshold=0)
    onnx.save(proto, str(beside))
    return [inside, beside, directory / "beside.weights"]


def _read(directory: Path) -> Any:
    found = []
    for path in (directory / "inside.onnx", directory / "beside.onnx"):
        signature = read_signature(path)
        weights = [tensor.raw_data for tensor in load_model(path).graph.initializer]
        found.append((digest_model(path), signature.inputs.inputs, signature.outputs, weights))
    return found


def change_field(content: bytes, chance: Random) -> bytes:
    """Change, lose or repeat one field of one message, however deep."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception:
        return content
    places = list(_fields(proto))
    if not places:
        return content
    message, field = chance.choice(places)
    value = getattr(message, field.name)
    try:
        if chance.random() < 0.3:
            message.ClearField(field.name)
        elif hasattr(value, "__len__") and not isinstance(value, (str, bytes)):
            _change_list(value, field, chance)
        elif field.message_type is None:
            setattr(message, field.name, _other(value, chance))
        else:
            value.Clear()
        return proto.SerializeToString()
    except Exception:
        return content


def _change_list(value: Any, field: Any, chance: Random) -> None:
    place = chance.randrange(len(value))
    if chance.random() < 0.3:
        del value[place]
    elif field.message_type is not None:
        value.add().CopyFrom(value[place])
    elif chance.random() < 0.5:
        value[place] = _other(value[place], chance)
    else:
        value.extend(list(value) * chance.choice((1, 100)))


def _fields(message: Message) -> Any:
    pending = [message]
    while pending:
        here = pending.pop()
        for field, value in here.ListFields():
            yield here, field
            if field.message_type is not None:
                pending += list(value) if hasattr(value, "__len__") and not isinstance(value, Message) else [value]


def _other(value: Any, chance: Random) -> Any:
    if isinstance(value, (int, float)):
        return chance.choice((*_NUMBERS, value + 1))
    text = chance.choice(_TEXTS)
    return text.encode() if isinstance(value, bytes) else text


_NUMBERS = (0, 1, -1, 2, 7, 99, 255, 2**31 - 1, -(2**31), 2**62, -(2**63))
_TEXTS = (
    "", "x", "y", "w", "-1", "x" * 1000, "../../etc/passwd", "/dev/zero", "/etc/passwd", "a\nb", "\0", "é", ".",
    "beside.weights", "location", "offset", "length", "9" * 30, "1.5", "own", "ai.onnx.ml", "If",
)  # fmt: skip
_WORDS = (b"location", b"offset", b"length", b"beside.weights", b"../x", b"/dev/zero", b"\x0a\x00", b"\x3a\x00")
READERS = (Reader("onnx", _make, _read, allowed=anything, mutators=(change_field,) * 4, words=_WORDS, share=3),)
