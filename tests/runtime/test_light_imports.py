"""Serving needs numpy and the engine, and nothing that building needs."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.onnx_model.original import OriginalModel
from tests.runtime.test_real_bundles import build

BUILDING = ("onnx", "doit", "yaml", "msgspec", "highspy", "scipy", "imagesize", "onnxruntime")

SERVE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
import numpy as np
import scaling_tasks as st

with st.load_bundle({bundle!r}) as model:
    results = model.run_many([{{"x": np.load({data!r})}}] * 2)
    np.save({out!r}, results[1][next(iter(results[1]))])
    model.stats().save(__import__("pathlib").Path({out!r} + ".json"))
"""


def test_a_bundle_is_served_without_what_built_it(ocr_models: Path, tmp_path: Path) -> None:
    model = ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    bundle = build(model, "openvino", [-1, 3, 48, 192], [(1,), (2,)], tmp_path / "bundle")
    inputs = np.random.default_rng(0).random((1, 3, 48, 192), dtype=np.float32)
    np.save(tmp_path / "x.npy", inputs)
    script = SERVE.format(
        refused=BUILDING, bundle=str(bundle), data=str(tmp_path / "x.npy"), out=str(tmp_path / "y.npy")
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert ran.returncode == 0, ran.stderr
    (wanted,) = OriginalModel(model).run({"x": inputs}).values()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1e-4)


def test_a_server_over_http_imports_nothing_that_builds() -> None:
    # Found and not imported: what it calls its messages tritonclient, which other tests have, calls its own.
    if importlib.util.find_spec("kserve") is None:
        pytest.skip("the extra 'serve' is not installed")
    script = (
        "import sys, scaling_tasks.serving.server, scaling_tasks.serving.__main__; "
        f"print([name for name in {BUILDING!r} if name in sys.modules and name != 'yaml'])"  # KServe has yaml.
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["scaling_tasks.runtime.manifest", "scaling_tasks.runtime.model"])
def test_opening_imports_no_engine(module: str) -> None:
    script = (
        f"import sys, {module}; print([name for name in ('onnx', 'onnxruntime', 'openvino') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert ran.stdout.strip() == "[]"
