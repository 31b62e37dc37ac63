"""A small model repository for tests that drive the real ``doit``, and counting what it did."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

DODO = "from scaling_tasks.doit_plugin import load_tasks\n\nload_tasks(globals())\n"

EXPLICIT = """
model: models/net.onnx
dataset: datasets/images
auto_scaling:
  strategy: explicit
  interval: 8
  buckets: [{buckets}]
compile:
  backend: {backend}
"""


FUSSY = """
from scaling_tasks.compilers.openvino import OpenVinoBackend
from scaling_tasks.errors import CompileError


class Fussy(OpenVinoBackend):
    name = "fussy"

    def compile(self, job, workdir):
        if job.unit.name == "N1_H2_W2":
            raise CompileError("too small")
        return super().compile(job, workdir)
"""


@dataclass
class Run:
    """What one ``doit`` did."""

    status: int
    output: str
    executed: list[str] = field(default_factory=list)
    compiled: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.status == 0


class Repository:
    """A directory with a dodo file, a network with dynamic N, H and W, images and targets."""

    environment: Mapping[str, str] = {}

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("configs", "models", "datasets/images"):
            (root / name).mkdir(parents=True)
        (root / "dodo.py").write_text(DODO)
        self.write_model(seed=0)
        for index, (height, width) in enumerate([(16, 24), (16, 24), (24, 40), (32, 64)]):
            self.write_image(f"{index}.png", height, width)

    @classmethod
    def at(cls, root: Path) -> Repository:
        """Return the repository that is at ``root`` already."""
        found = cls.__new__(cls)
        found.root = root
        return found

    def write_model(self, *, seed: int) -> None:
        weight = np.random.default_rng(seed).standard_normal((4, 3, 3, 3)).astype(np.float32)
        node = helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1])
        graph = helper.make_graph(
            [node, helper.make_node("Relu", ["c"], ["y"])],
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, "h", "w"])],
            [numpy_helper.from_array(weight, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, str(self.root / "models/net.onnx"))

    def write_image(self, name: str, height: int, width: int) -> None:
        Image.new("RGB", (width, height), (200, 120, 40)).save(self.root / "datasets/images" / name)

    def write_target(
        self,
        name: str = "net",
        sizes: Sequence[tuple[int, int]] = ((16, 24), (24, 40), (32, 64)),
        *,
        backend: str = "onnxruntime",
        more: str = "",
    ) -> None:
        buckets = ", ".join(f"{{N: 1, H: {height}, W: {width}}}" for height, width in sizes)
        (self.root / f"configs/{name}.yaml").write_text(EXPLICIT.format(buckets=buckets, backend=backend) + more)

    def install_fussy_backend(self) -> None:
        """Install a backend ``fussy`` that compiles everything but the unit N1_H2_W2, for all runs from now on."""
        site = self.root / "site"
        info = site / "fussy-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "fussy.py").write_text(FUSSY)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fussy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[scaling_tasks.compilers]\nfussy = fussy:Fussy\n")
        self.environment = {"PYTHONPATH": str(site)}

    def doit(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Run:
        """Run ``doit`` and count, from what is on disk, the compilers that it started."""
        before = self._logs()
        done = subprocess.run(
            [sys.executable, "-m", "doit", *arguments],
            cwd=self.root,
            env={**os.environ, **self.environment, **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        output = done.stdout
        after = self._logs()
        compiled = sorted(name for name, stamp in after.items() if before.get(name) != stamp)
        restored = re.findall(r"^\.  compile:(\S+)  from the store", output, re.MULTILINE)
        executed = re.findall(r"^\.  (\S+)", output, re.MULTILINE)
        return Run(done.returncode, output, executed, compiled, restored)

    def _logs(self) -> dict[str, int]:
        """Return each unit's log and when a compiler last opened it: every invocation writes it anew."""
        logs = (self.root / ".scaling/logs").glob("*/*.log")
        return {f"{path.parent.name}:{path.stem}": path.stat().st_mtime_ns for path in logs}
