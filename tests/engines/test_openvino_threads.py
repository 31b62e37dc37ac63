"""First requests that come at once: OpenVINO fills its tables of types when they are first needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import onnx

TOGETHER = """
import faulthandler
import sys
import threading
from pathlib import Path

import numpy as np
from scaling_tasks.engines.openvino import OpenVinoEngine

faulthandler.dump_traceback_later(60, exit=True)
sys.setswitchinterval(1e-6)
start = threading.Barrier(6)
answers = []


def serve():
    engine = OpenVinoEngine(Path("model.onnx"), {})
    start.wait()
    answers.append(engine.run({"x": np.full((1, 4), 2, np.float32)})["y"].sum())


threads = [threading.Thread(target=serve) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(answers)
"""


def test_threads_that_load_and_run_at_once_do_not_wait_for_each_other(tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["": 17]> g (float[1,4] x) => (float[1,4] y) { y = Neg(x) }'
    onnx.save(onnx.parser.parse_model(text), str(tmp_path / "model.onnx"))
    for _ in range(3):
        command = [sys.executable, "-c", TOGETHER]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stderr
        assert run.stdout == f"{[-8.0] * 6}\n".replace("-8.0", "np.float32(-8.0)")
