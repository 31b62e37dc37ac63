"""Asking for parts: one target, one unit, before and after the first build."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.doit_plugin.repository import Repository


def test_asking_for_one_target_builds_that_one_only(repository: Repository) -> None:
    repository.write_target("other", sizes=[(64, 64)])
    run = repository.doit("bundle:other")
    assert run.ok, run.output
    assert run.compiled == ["other:N1_H64_W64"]
    assert (repository.root / "build/other/manifest.json").exists()
    assert not (repository.root / "build/net").exists()


@pytest.mark.parametrize("when", ["cold", "warm"])
def test_asking_for_one_unit_builds_that_one_only(repository: Repository, when: str) -> None:
    if when == "warm":
        assert repository.doit("buckets:net").ok
    run = repository.doit("compile:net:N1_H24_W40")
    assert run.ok, run.output
    assert run.compiled == ["net:N1_H24_W40"]


def test_asking_for_a_unit_that_is_not_planned_says_so(repository: Repository) -> None:
    run = repository.doit("compile:net:N1_H99_W99")
    assert run.status != 0
    assert "no unit 'N1_H99_W99'" in run.output
    assert "Traceback" not in run.output


def test_list_shows_units_once_planned(repository: Repository) -> None:
    assert "compile:net" in repository.doit("list").output
    assert repository.doit("buckets").ok
    listed = repository.doit("list", "--all", "-q").output.split()
    assert {"compile:net:N1_H16_W24", "verify:net:N1_H32_W64", "bundle:net", "report:net"} <= set(listed)
    assert repository.doit("info", "compile:net:N1_H16_W24").status == 1


# What a command has no use for that changes nothing, by the names of modules: what does the work of stages, what finds
# words for mistakes, what takes long to import.
IDLE = {
    "ctypes",
    "difflib",
    "email.parser",
    "highspy",
    "multiprocessing.connection",
    "numpy",
    "onnx",
    "onnxruntime",
    "openvino",
    "scaling_tasks.actions.perform",
    "scaling_tasks.compilers.weights",
    "scaling_tasks.doit_plugin.console.profile",
    "scaling_tasks.doit_plugin.console.quantities",
    "scaling_tasks.engines.onnxruntime",
    "scaling_tasks.execution.process_trees",
    "scaling_tasks.onnx_model.fixing",
    "scaling_tasks.onnx_model.reading",
    "scaling_tasks.builds.look_ahead",
    "scaling_tasks.builds.mistakes",
    "scaling_tasks.builds.pruning",
    "scaling_tasks.builds.workshop",
    "secrets",
}


@pytest.mark.parametrize(
    ("command", "more"),
    [("run", ()), ("list --all", ()), ("list", ("scaling_tasks.shapes.behaviour",)), ("list --status", ())],
)
def test_what_changes_nothing_loads_no_more_than_it_needs(
    built: Repository, command: str, more: tuple[str, ...]
) -> None:
    probe = (
        "import sys\n"
        "from doit.doit_cmd import DoitMain\n"
        "doits_own = set(sys.modules)\n"
        f"sys.argv = {['doit', *command.split()]}\n"
        "status = DoitMain().run(sys.argv[1:])\n"
        f"idle = {sorted((*IDLE, *more))}\n"
        "assert status == 0\n"
        "assert not (found := set(idle) & set(sys.modules) - doits_own), found\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=built.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workers", ["thread", "process"])
def test_parallel_runs_give_the_same(repository: Repository, workers: str) -> None:
    run = repository.doit("-n", "2", "-P", workers)
    assert run.ok, run.output
    assert len(run.compiled) == 3
    assert repository.doit("-n", "2", "-P", workers).executed == []


def test_no_dodo_file_is_needed(repository: Repository) -> None:
    (repository.root / "dodo.py").unlink()
    (repository.root / "pyproject.toml").write_text('[tool.doit]\nloader = "scaling_tasks"\n')
    run = repository.doit()
    assert run.ok, run.output
    assert len(run.compiled) == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("bundle:nett", "there is no target 'nett'. Did you mean 'net'?"),
        ("compile:nosuch:N1_H16_W24", "there is no target 'nosuch'. `doit list` shows what there is."),
        ("measure:net", "target 'net' has no stage 'measure'"),
    ],
)
def test_asking_for_what_will_never_be_there_is_refused(repository: Repository, asked: str, said: str) -> None:
    run = repository.doit("buckets:net", asked)
    assert (run.status, run.executed) == (3, [])
    assert said in run.output


def test_a_default_task_that_will_never_be_there_fails(repository: Repository) -> None:
    settings = 'DOIT_CONFIG = {"default_tasks": ["bundle:nosuch"]}\n'
    dodo = repository.root / "dodo.py"
    dodo.write_text(settings + dodo.read_text())
    run = repository.doit()
    assert run.status == 1
    assert "there is no target 'nosuch'" in run.output


def test_a_dodo_file_may_use_any_name_where_the_loader_adds_the_targets(repository: Repository) -> None:
    (repository.root / "pyproject.toml").write_text('[tool.doit]\nloader = "scaling_tasks"\n')
    dodo = repository.root / "dodo.py"
    for text in ("buckets_of_paint = 3\n", dodo.read_text()):
        dodo.write_text(text)
        listed = repository.doit("list", "-q").output.split()
        assert listed.count("bundle:net") == 1, listed


def test_a_plain_doit_leaves_out_what_is_optional_and_has_no_toolchain(repository: Repository) -> None:
    """What is locked of it stays as another machine has built it; that task failed, and with it the run."""
    path = repository.root / "configs/other.yaml"
    path.write_text(
        "model: models/net.onnx\ndataset: datasets/images\ncompile: {backend: lite, device: cpu, optional: true}\n"
    )
    none = {"PATH": "", "SCALING_TASKS_MINDSPORE_LITE_PYTHON": ""}
    for _ in range(2):
        run = repository.doit(environment=none)
        assert run.ok, run.output
        assert "left out: other: compile.backend: MindSpore Lite was not found" in run.output
    named = repository.doit("bundle:other", environment=none)
    assert not named.ok
    assert "MindSpore Lite was not found" in named.output
