"""Building one model through ``doit`` and holding its bundle against the original at exact sizes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

import scaling_tasks as st
from scaling_tasks.onnx_model.original import OriginalModel

DODO = "from scaling_tasks.doit_plugin import load_tasks\n\nload_tasks(globals())\n"
EXACT = 1e-4
"""Of the largest value: some ten times the rounding that was seen; a wrong position or a leak is off by far more."""


@dataclass(frozen=True)
class Outcome:
    """What one build gave."""

    root: Path
    status: int
    output: str
    fixed: Mapping[str, Any]

    def check(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """Hold the bundle against the original: each request alone, and all of them at once."""
        assert self.status == 0, self.output
        original = OriginalModel(self.root / "models/net.onnx", fixed=self.fixed)
        with st.load_bundle(self.root / "build/net") as model:
            together = model.run_many(requests)
            for request, batched in zip(requests, together, strict=True):
                wanted = original.run(request)
                for answer in (model.run(request), batched):
                    assert answer.keys() == wanted.keys()
                    for name, array in wanted.items():
                        shapes = {key: value.shape for key, value in request.items()}
                        assert answer[name].shape == array.shape, (name, shapes)
                        assert answer[name].dtype == array.dtype
                        scale = max(1.0, float(np.abs(array).max(initial=0)))
                        assert np.abs(answer[name] - array).max(initial=0) <= EXACT * scale, (name, shapes)


Build = Callable[..., Outcome]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Build a model for explicit buckets in a repository of its own."""

    def run(
        model: onnx.ModelProto | Path,
        buckets: Sequence[Mapping[str, int]],
        *,
        backend: str = "onnxruntime",
        interval: int = 1,
        **more: Any,
    ) -> Outcome:
        for name in ("configs", "models"):
            (tmp_path / name).mkdir()
        (tmp_path / "dodo.py").write_text(DODO)
        loaded = onnx.load(str(model)) if isinstance(model, Path) else model
        onnx.save(loaded, str(tmp_path / "models/net.onnx"))
        target = {
            "model": "models/net.onnx",
            "auto_scaling": {"strategy": "explicit", "interval": interval, "buckets": [dict(each) for each in buckets]},
            "compile": {"backend": backend},
            **more,
        }
        (tmp_path / "configs/net.yaml").write_text(yaml.safe_dump(target))
        command = [sys.executable, "-m", "doit", "-n", "2", "bundle:net"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
        return Outcome(tmp_path, done.returncode, done.stdout + done.stderr, more.get("inputs", {}))

    return run
