"""What happens to repositories that no list of cases foresaw: links, hidden changes, environments, kills in between."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.execution.environment import toolchain_settings, worker_environment
from scaling_tasks.files import digest_file
from scaling_tasks.runtime.bundle import load_bundle
from tests.doit_plugin.repository import Repository
from tests.doit_plugin.test_nothing_stale import assert_right, put_weights_aside

PLANNED = """
model: models/net.onnx
dataset: datasets/images
auto_scaling: {max_scaling_num: 2, interval: 8}
compile: {backend: onnxruntime}
"""

METRIC = """
from judging.parts import shared
from . import helper


def score(run, dataset):
    return helper.VALUE + shared.VALUE
"""

# A build that a power cut ends, once, at the moment that the arguments name.
KILLED = """
import os, signal, sys
from importlib import import_module
from doit.doit_cmd import DoitMain

module, name = import_module(sys.argv[1]), sys.argv[2]
setattr(module, name, lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL))
sys.argv[1:] = []
sys.exit(DoitMain().run([]))
"""


def relink(link: Path, target: str) -> None:
    """Have a link lead elsewhere."""
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def test_a_model_is_what_its_link_leads_to(repository: Repository) -> None:
    root = repository.root
    for seed in (1, 2):
        repository.write_model(seed=seed)
        shutil.move(root / "models/net.onnx", root / f"models/version{seed}.onnx")
    for seed in (1, 2):
        relink(root / "models/net.onnx", f"version{seed}.onnx")
        run = repository.doit()
        assert run.ok, run.output
        assert len(run.compiled) == 3
        assert_right(repository)


def test_a_model_may_lie_in_a_cache_of_links(repository: Repository) -> None:
    """Model and weights are links to a store of contents, as tools that fetch models keep them."""
    data = put_weights_aside(repository)
    blobs = repository.root / "blobs"
    blobs.mkdir()
    for file in (data.with_name("net.onnx"), data):
        shutil.move(file, blobs / file.name)
        relink(file, f"../blobs/{file.name}")
    run = repository.doit()
    assert run.ok, run.output
    wanted = np.fromfile(data, np.float32) * np.float32(2)
    wanted.tofile(blobs / "other")
    relink(data, "../blobs/other")
    run = repository.doit()
    assert run.ok, run.output
    assert len(run.compiled) == 3
    found = onnx.load(repository.root / "models/net.onnx", load_external_data=False)
    assert found.graph.initializer[0].external_data


def test_a_data_set_is_what_its_links_lead_to(repository: Repository) -> None:
    root = repository.root
    (root / "configs/net.yaml").write_text(PLANNED)
    images = root / "datasets/images"
    for height, width in ((48, 80), (88, 16), (32, 96)):
        repository.write_image("moved.png", height, width)
        shutil.move(images / "moved.png", root / f"{height}.png")
    seen = set()

    def build() -> None:
        run = repository.doit()
        assert run.ok, run.output
        seen.add((root / "build/net/statistics.json").read_text())

    relink(images / "link.png", "../../48.png")
    build()
    relink(images / "link.png", "../../88.png")
    build()
    (root / "32.png").replace(root / "88.png")
    build()
    shutil.move(images, root / "datasets/first")
    shutil.copytree(root / "datasets/first", root / "datasets/second", symlinks=True)
    (root / "datasets/second/0.png").unlink()
    (root / "datasets/second/1.png").unlink()
    relink(images, "second")
    build()
    assert len(seen) == 4


def test_weights_of_two_models_are_part_of_both(repository: Repository) -> None:
    data = put_weights_aside(repository)
    shutil.copy(data.with_name("net.onnx"), data.with_name("other.onnx"))
    repository.write_target("other")
    config = repository.root / "configs/other.yaml"
    config.write_text(config.read_text().replace("net.onnx", "other.onnx"))
    assert repository.doit().ok
    (np.fromfile(data, np.float32) * np.float32(3)).tofile(data)
    run = repository.doit()
    assert run.ok, run.output
    assert len(run.compiled) == 6
    assert_right(repository)


def test_whatever_a_metrics_package_imports_is_part_of_it(repository: Repository) -> None:
    package = repository.root / "judging"
    (package / "parts").mkdir(parents=True)
    for name in ("__init__.py", "parts/__init__.py"):
        (package / name).write_text("")
    (package / "metric.py").write_text(METRIC)
    (package / "helper.py").write_text("VALUE = 1\n")
    (package / "parts/shared.py").write_text("VALUE = 1\n")
    (repository.root / "labels.txt").write_text("x")
    repository.write_target(more="verify: {metric: 'judging.metric:score', dataset: labels.txt}\n")
    assert repository.doit().ok
    for name in ("helper.py", "parts/shared.py"):
        (package / name).write_text("VALUE = 5\n")
        run = repository.doit()
        assert run.ok, run.output
        assert "metric:net" in run.executed, name
        assert run.compiled == []


def test_a_setting_of_a_toolchain_in_the_environment_is_part_of_the_key(repository: Repository) -> None:
    assert len(repository.doit().compiled) == 3
    told = {"NNCASE_LEVEL": "3", "ASCEND_HOME_PATH": "/opt/ascend", "EDITOR": "vi"}
    assert toolchain_settings(told) == {"NNCASE_LEVEL": "3"}
    assert worker_environment(told) == {"NNCASE_LEVEL": "3", "ASCEND_HOME_PATH": "/opt/ascend"}
    assert len(repository.doit(environment={"NNCASE_LEVEL": "3"}).compiled) == 3
    assert repository.doit(environment={"NNCASE_LEVEL": "3", "EDITOR": "vi"}).executed == []
    assert len(repository.doit().restored) == 3


def test_an_output_in_another_place_is_published_there(repository: Repository, tmp_path: Path) -> None:
    """``build`` is a link to another disk, and so is the target's own directory."""
    root, disk = repository.root, tmp_path / "disk"
    disk.mkdir()
    (root / "build").symlink_to(disk)
    assert repository.doit().ok
    shutil.move(disk / "net", tmp_path / "elsewhere")
    (disk / "net").symlink_to(tmp_path / "elsewhere")
    repository.write_model(seed=6)
    run = repository.doit()
    assert run.ok, run.output
    assert_right(repository)
    assert (root / "build").is_symlink()
    assert repository.doit("plan").status == 0


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_copy_of_a_bundle_is_as_large_as_the_bundle(repository: Repository, tmp_path: Path, backend: str) -> None:
    """Weights lie there once under one name, not under one name per bucket that a copy would not share."""
    repository.write_target(backend=backend)
    assert repository.doit().ok
    files = [path for path in (repository.root / "build/net").iterdir() if path.name != "report.html"]
    assert len({digest_file(path) for path in files}) == len(files)
    shutil.copytree(repository.root / "build/net", tmp_path / "copy")
    x = np.ones((1, 3, 20, 30), np.float32)
    with load_bundle(tmp_path / "copy") as copy, load_bundle(repository.root / "build/net") as model:
        np.testing.assert_array_equal(copy.run({"x": x})["y"], model.run({"x": x})["y"])


def test_a_renamed_target_takes_its_results_along(built: Repository) -> None:
    root = built.root
    (root / "configs/net.yaml").rename(root / "configs/fresh.yaml")
    run = built.doit()
    assert run.ok, run.output
    assert run.compiled == []
    assert built.doit("prune").ok
    assert not (root / "build/net").exists()
    built.write_target("fresh", sizes=((16, 24), (32, 64)))
    assert built.doit().ok
    assert not [path for path in (root / "build/fresh").iterdir() if "H24" in path.name]
    assert built.doit("plan").status == 0


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("scaling_tasks.actions.perform", "place_copy"),
        ("scaling_tasks.actions.perform", "write_result"),
        ("scaling_tasks.actions.publication", "_fill"),
        ("scaling_tasks.actions.publication", "_exchange"),
        ("scaling_tasks.actions.publication", "_sweep"),
        ("scaling_tasks.stages.bundle", "write_result"),
    ],
)
def test_a_build_killed_in_between_is_taken_up_again(repository: Repository, module: str, name: str) -> None:
    """Between compiling and storing, storing and placing, placing and publishing, publishing and noting it."""
    repository.write_target(sizes=[(32, 64)])
    assert repository.doit().ok
    repository.write_model(seed=7)
    command = [sys.executable, "-c", KILLED, module, name]
    killed = subprocess.run(command, cwd=repository.root, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    run = repository.doit()
    assert run.ok, run.output
    assert_right(repository)
    assert repository.doit().executed == []
    repository.write_model(seed=8)
    assert repository.doit().ok
    assert [path.name for path in (repository.root / "build").iterdir() if path.name.startswith(".net")] == []
