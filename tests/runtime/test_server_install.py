"""What `pip install 'scaling-tasks[openvino]'` brings, in a fresh environment: enough to serve, nothing to build."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.onnx_model.original import OriginalModel
from tests.documents import resealed
from tests.runtime.test_real_bundles import build

ROOT = Path(__file__).resolve().parents[2]

SERVE = """
import sys
from pathlib import Path
import numpy as np
import scaling_tasks as st

bundle, data, out = sys.argv[1:]
with st.load_bundle(bundle, warm_up=True) as model:
    (result,) = model.run_many([{"x": np.load(data)}])
    np.save(out, result[next(iter(result))])
    model.stats().save(out + ".csv")
try:
    st.plan_target
except ImportError as error:
    assert "scaling-tasks[build]" in str(error), error
else:
    raise AssertionError("it plans without what plans need")
try:
    st.load_bundle(Path(bundle).with_name("other"))
except st.ScalingTasksError as error:
    assert "onnxruntime is not installed" in str(error), error
else:
    raise AssertionError("a missing engine was not told")
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with this package and OpenVINO, installed as the README says."""
    directory, source = tmp_path_factory.mktemp("server"), tmp_path_factory.mktemp("source")
    # A copy, because building a wheel leaves files beside what it is built from.
    shutil.copytree(ROOT / "scaling_tasks", source / "scaling_tasks", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    python = directory / "bin" / "python"
    pip = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    installed = subprocess.run([*pip, "install", f"{source}[openvino]"], capture_output=True, text=True, cwd=directory)
    if "No matching distribution" in installed.stderr or "Could not fetch" in installed.stderr:
        pytest.skip("no package index can be reached")
    assert installed.returncode == 0, installed.stderr
    return python


def run(python: Path, *arguments: str) -> str:
    done = subprocess.run([str(python), *arguments], capture_output=True, text=True, cwd=python.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_has_numpy_and_the_engine_and_serves(server: Path, ocr_models: Path, tmp_path: Path) -> None:
    listed = json.loads(run(server, "-m", "pip", "list", "--format", "json"))
    names = {package["name"].lower().replace("_", "-") for package in listed} - {"pip", "setuptools", "wheel"}
    assert names == {"numpy", "openvino", "openvino-telemetry", "scaling-tasks"}
    run(
        server, "-c", "import scaling_tasks.compilers.provision_lite"
    )  # What a missing MindSpore Lite is answered with.
    model = ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    bundle = build(model, "openvino", [-1, 3, 48, 192], [(1,), (2,)], tmp_path / "bundle")
    other = tmp_path / "other"
    other.mkdir()
    manifest = json.loads((bundle / "manifest.json").read_text())
    (other / "manifest.json").write_text(resealed({**manifest, "engine": "onnxruntime"}))
    x = np.random.default_rng(0).random((1, 3, 48, 192), dtype=np.float32)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "serve.py").write_text(SERVE)
    run(server, str(tmp_path / "serve.py"), str(bundle), str(tmp_path / "x.npy"), str(tmp_path / "y.npy"))
    (wanted,) = OriginalModel(model).run({"x": x}).values()
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), wanted, atol=1e-4)
    assert (tmp_path / "y.npy.csv").read_text() == "N,weight\n1,1\n"
