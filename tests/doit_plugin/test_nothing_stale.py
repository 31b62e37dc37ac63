"""A result cannot be older or other than what it was made from: each way in which one once was."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.builds.graph import STAGES, run_stage
from scaling_tasks.builds.workshop import open_store, open_workshop
from scaling_tasks.config.load import load_target
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.stages.stage import Built
from scaling_tasks.stages.target import Target
from tests.doit_plugin.repository import Repository

UNITS = ("N1_H16_W24", "N1_H24_W40", "N1_H32_W64")


def put_weights_aside(repository: Repository) -> Path:
    """Move the model's weights to a file of their own."""
    path = repository.root / "models/net.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    return path.with_name("net.data")


def assert_right(repository: Repository) -> None:
    """The bundle answers as the model that is there now, at a size in between."""
    x = np.random.default_rng(0).random((1, 3, 20, 30), dtype=np.float32)
    (wanted,) = OriginalModel(repository.root / "models/net.onnx").run({"x": x}).values()
    with load_bundle(repository.root / "build/net") as model:
        np.testing.assert_allclose(model.run({"x": x})["y"], wanted, atol=1e-4)


def target_of(repository: Repository, monkeypatch: pytest.MonkeyPatch, name: str = "net") -> Target:
    """Return a target of the repository, which is the current directory from now on."""
    monkeypatch.chdir(repository.root)
    path = Path(f"configs/{name}.yaml")
    return Target(load_target(path), path.as_posix())


def key(target: Target, stage: str, unit: str | None = None) -> str:
    request = STAGES[stage].request
    assert request is not None
    return request(target, Built(target), unit).action.key


def test_weights_beside_the_model_are_part_of_it(repository: Repository) -> None:
    data = put_weights_aside(repository)
    assert repository.doit("-n", "2").ok
    assert_right(repository)
    weights = np.fromfile(data, np.float32)
    (weights + 1).astype(np.float32).tofile(data)
    assert repository.doit("plan").status == 1
    assert not repository.doit("locked=1").ok
    run = repository.doit("-n", "2")
    assert run.ok, run.output
    assert len(run.compiled) == 3
    assert_right(repository)


def test_a_model_replaced_after_planning_poisons_nothing(repository: Repository) -> None:
    data = put_weights_aside(repository)
    first = data.read_bytes()
    assert repository.doit("buckets").ok
    (np.frombuffer(first, np.float32) + 1).astype(np.float32).tofile(data)
    assert repository.doit("-n", "2").ok
    data.write_bytes(first)
    shutil.rmtree(repository.root / ".scaling/targets")
    for path in (repository.root / ".scaling").glob("doit.sqlite*"):
        path.unlink()
    assert repository.doit("-n", "2").ok
    assert_right(repository)


@pytest.mark.parametrize(("stage", "unit"), [("analysis", None), ("verify", UNITS[0])])
def test_a_model_replaced_during_a_build_is_noticed(
    built: Repository, monkeypatch: pytest.MonkeyPatch, stage: str, unit: str | None
) -> None:
    target = target_of(built, monkeypatch)
    asked = STAGES[stage].request
    assert asked is not None
    request = asked(target, Built(target), unit)
    built.write_model(seed=1)
    (built.root / ".scaling/store").rename(built.root / ".scaling/put-aside")
    with pytest.raises(ScalingTasksError, match=r"models/net\.onnx: it changed while it was being built from"):
        open_workshop().perform(
            request, lambda name: built.root / name, record=Path("record"), log=Path("log"), purpose="a test"
        )
    assert not list(open_store().records())


def test_two_command_lines_at_once_do_not_mix(repository: Repository) -> None:
    def start(precision: str, output: str) -> subprocess.Popen[bytes]:
        config = repository.root / f"{precision}.yaml"
        config.write_text(f"compile: {{options: {{precision: {precision}}}}}\n")
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "scaling_tasks", "--model_path", "models/net.onnx", "--config", config.name),
                *("--input_shape=1,3,32,32", "--backend", "openvino", "--output_path", output),
            ],
            cwd=repository.root,
            stdout=subprocess.DEVNULL,
        )

    runs = [start("FP32", "one"), start("FP16", "two")]
    assert [run.wait(timeout=120) for run in runs] == [0, 0]
    together = {name: content_of(repository.root / name) for name in ("one", "two")}
    shutil.rmtree(repository.root / ".scaling")
    for precision, name in (("FP32", "one"), ("FP16", "two")):
        shutil.rmtree(repository.root / name)
        assert start(precision, name).wait(timeout=120) == 0
        assert content_of(repository.root / name) == together[name]
    assert together["one"] != together["two"]


def content_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.suffix in (".xml", ".bin")}


METRIC = "from helping import mean\n\n\ndef score(run, dataset):\n    return mean(run, dataset)\n"
HELPING = "import numpy as np\n\n\ndef mean(run, dataset):\n    return {score}\n"


def test_what_a_metric_imports_is_part_of_its_key(repository: Repository) -> None:
    (repository.root / "labels.txt").write_text("1\n")
    (repository.root / "scoring.py").write_text(METRIC)
    (repository.root / "helping.py").write_text(HELPING.format(score="1.0"))
    repository.write_target(more="verify: {metric: 'scoring:score', dataset: labels.txt}\n")
    assert repository.doit("-n", "2").ok
    assert repository.doit().executed == []
    (repository.root / "helping.py").write_text(HELPING.format(score="float('nan')"))
    run = repository.doit()
    assert "metric:net failed" in run.output
    assert "gave nan" in run.output


def test_a_metric_finds_nothing_that_is_not_in_its_key(repository: Repository) -> None:
    (repository.root / "labels.txt").write_text("1\n")
    (repository.root / "limits.txt").write_text("1\n")
    (repository.root / "scoring.py").write_text(
        "from pathlib import Path\n\n\ndef score(run, dataset):\n    return float(Path('limits.txt').read_text())\n"
    )
    verify = "verify: {{metric: 'scoring:score', dataset: labels.txt{files}}}\n"
    repository.write_target(more=verify.format(files=""))
    run = repository.doit("-n", "2")
    assert "limits.txt" in run.output
    assert "verify.files" in run.output
    repository.write_target(more=verify.format(files=", files: [limits.txt]"))
    assert repository.doit("-n", "2").ok


def test_the_fixed_variables_are_part_of_the_statistics(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = target_of(repository, monkeypatch)
    run_stage("scan", target)
    before = key(target, "statistics")
    repository.write_target(
        more="shape_bucket: {shape_bucket_enable: false, shape_bucket_range_info: {}, "
        "shape_bucket_fix_var_map: {N: 1}}\n"
    )
    assert key(target_of(repository, monkeypatch), "statistics") != before


def test_the_latency_table_is_part_of_the_plan(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    config = repository.root / "configs/net.yaml"
    config.write_text(
        config.read_text().replace("interval: 8", "interval: 8\n  cost: measured\n  latency_table: t.json")
    )
    (repository.root / "t.json").write_text("{}")
    target = target_of(repository, monkeypatch)
    for stage in ("scan", "statistics", "analysis"):
        run_stage(stage, target)
    before = key(target, "buckets")
    (repository.root / "t.json").write_text("[]")
    assert key(target, "buckets") != before


AIPP = """
model: models/net.onnx
input_shape: {x: [1, 3, -1, -1]}
dataset: datasets/images
auto_scaling: {max_scaling_num: 2, interval: 8}
compile: {backend: atc, soc_version: Ascend910B1, options: {insert_op_conf: aipp.cfg}}
"""


def test_the_file_of_an_option_is_part_of_the_compile(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository.root / "configs/net.yaml").write_text(AIPP)
    (repository.root / "aipp.cfg").write_text("one")
    tools = repository.root / "tools"
    tools.mkdir()
    (tools / "atc").write_text("#!/bin/sh\n")
    (tools / "atc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    target = target_of(repository, monkeypatch)
    for stage in ("scan", "statistics", "analysis", "buckets"):
        run_stage(stage, target)
    before = key(target, "compile", "dynamic_hw")
    (repository.root / "aipp.cfg").write_text("two")
    assert key(target, "compile", "dynamic_hw") != before


OUTSIDE = """
from scaling_tasks.compilers.onnxruntime import OnnxRuntimeBackend


class Outside(OnnxRuntimeBackend):
    name = "outside"

    def compile(self, job, workdir):
        artefact = super().compile(job, workdir)
        for path in job.model.parent.iterdir():
            with path.open("r+b") as file:
                file.write(b"edited in place")
        return artefact
"""


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an installed package whose backend writes to the files that it is given."""
    site = tmp_path_factory.mktemp("site")
    (site / "outside.py").write_text(OUTSIDE)
    info = site / "outside-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[scaling_tasks.compilers]\noutside = outside:Outside\n")
    return site


def test_a_compiler_that_edits_its_files_edits_copies(repository: Repository, outside: Path) -> None:
    put_weights_aside(repository)
    before = {path.name: path.read_bytes() for path in (repository.root / "models").iterdir()}
    repository.write_target(backend="outside")
    run = repository.doit(environment={"PYTHONPATH": str(outside)})
    assert run.ok, run.output
    assert {path.name: path.read_bytes() for path in (repository.root / "models").iterdir()} == before
    assert repository.doit(environment={"PYTHONPATH": str(outside)}).executed == []


@pytest.mark.parametrize("change", ["version", "source", "module beside it"])
def test_an_outside_backend_is_part_of_the_key(repository: Repository, outside: Path, change: str) -> None:
    (outside / "beside.py").touch()
    (outside / "outside.py").write_text(f"import beside  # noqa: F401\n{OUTSIDE}")
    repository.write_target(backend="outside")
    assert repository.doit("-n", "2", environment={"PYTHONPATH": str(outside)}).ok
    if change == "source":
        (outside / "outside.py").write_text(f"import beside  # noqa: F401\n{OUTSIDE}# mended\n")
    elif change == "module beside it":
        (outside / "beside.py").write_text("# mended\n")
    else:
        metadata = outside / "outside-1.0.dist-info/METADATA"
        metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    assert len(repository.doit("-n", "2", environment={"PYTHONPATH": str(outside)}).compiled) == 3


@pytest.mark.parametrize(
    "name", ["statistics.json", "buckets.json", "manifest.json", "report.html", "net_N1_H16_W24.onnx"]
)
@pytest.mark.parametrize("damage", ["truncate", "edit", "delete"])
def test_every_output_is_mended(built: Repository, name: str, damage: str) -> None:
    path = built.root / "build/net" / name
    before = path.read_bytes()
    damages: dict[str, Callable[[], object]] = {
        "truncate": lambda: os.truncate(path, 10),
        "edit": lambda: path.write_bytes(b"{}" + before[2:]),
        "delete": path.unlink,
    }
    damages[damage]()
    run = built.doit()
    assert run.ok, run.output
    assert run.compiled == []
    assert path.read_bytes() == before
    assert built.doit().executed == []


def test_a_store_that_cannot_be_written_costs_no_result(repository: Repository) -> None:
    nowhere = {"SCALING_TASKS_STORE": str(repository.root / "dodo.py/store")}
    run = repository.doit("-n", "2", environment=nowhere)
    assert run.ok, run.output
    assert "warning: not stored: " in run.output
    assert_right(repository)
    assert repository.doit(environment=nowhere).executed == []


def test_going_back_while_nothing_ran_finds_the_right_result(built: Repository) -> None:
    built.write_model(seed=1)
    assert built.doit("compile").ok
    built.write_model(seed=0)
    assert built.doit("-n", "2").ok
    assert_right(built)


def test_another_checkout_beside_the_store_does_nothing_again(built: Repository, tmp_path: Path) -> None:
    other = Repository(tmp_path / "elsewhere")
    other.write_target()
    run = other.doit("-n", "2", environment={"SCALING_TASKS_STORE": str(built.root / ".scaling/store")})
    assert run.ok, run.output
    assert re.search(r"^store: \d+ hits, 0 misses", run.output, re.MULTILINE)
    assert content(other) == content(built)


def content(repository: Repository) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (repository.root / "build/net").iterdir()}


UPGRADED = """
from pathlib import Path

from scaling_tasks.compilers.onnxruntime import OnnxRuntimeBackend


class Outside(OnnxRuntimeBackend):
    name = "outside"

    def compile(self, job, workdir):
        artefact = super().compile(job, workdir)
        source = Path(__file__)
        if "upgraded" not in source.read_text().splitlines()[-1]:
            source.write_text(source.read_text() + "# upgraded\\n")
        return artefact
"""


def test_a_toolchain_that_changes_during_a_compile_poisons_nothing(repository: Repository, outside: Path) -> None:
    (outside / "outside.py").write_text(UPGRADED)
    environment = {"PYTHONPATH": str(outside), "PYTHONDONTWRITEBYTECODE": "1"}
    repository.write_target(sizes=[(16, 24)], backend="outside")
    run = repository.doit(environment=environment)
    assert "compile:net:N1_H16_W24 failed: net_N1_H16_W24: its toolchain changed while it was at work" in run.output
    stored = [path.read_text() for path in (repository.root / ".scaling/store/records").glob("*/*.json")]
    assert not [text for text in stored if '"stage":"compile"' in text.replace(" ", "")]
    again = repository.doit(environment=environment)
    assert again.ok, again.output
    assert again.compiled == ["net:N1_H16_W24"]


@pytest.mark.parametrize(("backend", "device", "read"), [("onnxruntime", "cpu", ()), ("lite", "cpu", ("device",))])
def test_a_chip_that_a_backend_does_not_read_is_in_no_key(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, backend: str, device: str, read: tuple[str, ...]
) -> None:
    repository.write_target(backend=f"{backend}\n  device: {device}\n  soc_version: Ascend910B1")
    told = target_of(repository, monkeypatch).options
    assert {*told} & {"device", "soc_version"} == {*read}
