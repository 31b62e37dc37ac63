"""A repository of many small targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["write_repository"]

_DODO = "from scaling_tasks.doit_plugin import load_tasks\n\nload_tasks(globals())\n"
_CONFIG = """
model: models/{name}/net.onnx
auto_scaling:
  strategy: explicit
  buckets: [{buckets}]
compile:
  backend: onnxruntime
"""


def write_repository(root: Path, targets: int, buckets: int) -> None:
    """Write a dodo file and this many targets, each with a model of its own and this many explicit buckets."""
    (root / "configs").mkdir(parents=True)
    (root / "dodo.py").write_text(_DODO)
    sizes = ", ".join(f"{{W: {16 * (index + 1)}}}" for index in range(buckets))
    model = _model()
    for index in range(targets):
        name = f"t{index:03}"
        (root / "models" / name).mkdir(parents=True)
        onnx.save(model, str(root / "models" / name / "net.onnx"))
        (root / "configs" / f"{name}.yaml").write_text(_CONFIG.format(name=name, buckets=sizes))


def _model() -> onnx.ModelProto:
    """Return a convolution over images of height 16 and any width."""
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, "W"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 16, "W"])],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
