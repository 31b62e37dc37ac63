"""The commands: what a run would do, why, what can go, and pictures of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.doit_plugin.repository import Repository, Run

BUCKETS = ((16, 24), (24, 40), (32, 64))


def document(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.output)
    return found


def actions(repository: Repository, *arguments: str) -> dict[str, str]:
    run = repository.doit("plan", "--json", *arguments)
    return {task["name"]: task["action"] for task in document(run)["tasks"]}


def busy(repository: Repository) -> dict[str, str]:
    return {name: action for name, action in actions(repository).items() if action != "up to date"}


def test_plan_knows_every_unit_before_anything_was_built(repository: Repository) -> None:
    run = repository.doit("plan")
    assert run.status == 1
    assert "compile:net:N1_H16_W24" in run.output
    assert "3 to compile (3 of unknown duration)" in run.output
    assert not (repository.root / "build").exists()
    assert not (repository.root / ".scaling/store").exists()


@pytest.mark.parametrize("broken", ["models/net.onnx", "table.json"])
def test_plan_names_files_as_the_user_knows_them(repository: Repository, broken: str) -> None:
    config = repository.root / "configs/net.yaml"
    measured = "interval: 8\n  cost: measured\n  latency_table: table.json"
    config.write_text(config.read_text().replace("interval: 8", measured))
    (repository.root / "table.json").write_text("{}")
    (repository.root / broken).write_bytes(b"broken")
    output = repository.doit("plan").output
    assert broken in output
    assert "/tmp/" not in output
    assert "scaling-tasks-" not in output


def test_plan_of_what_is_built_is_empty(built: Repository) -> None:
    run = built.doit("plan")
    assert run.status == 0
    assert run.output.startswith("nothing to do")


def test_plan_foretells_what_runs(built: Repository) -> None:
    built.write_target(sizes=(*BUCKETS[1:], (48, 80)))
    built.write_image("more.png", 17, 30)
    foretold = {name for name, action in busy(built).items() if action in ("run", "restore")}
    run = built.doit()
    assert run.ok, run.output
    assert foretold == set(run.executed)


def test_plan_sees_that_a_new_image_changes_nothing_further(built: Repository) -> None:
    # A fifth image of a known size: the statistics change, the explicit buckets do not.
    built.write_image("more.png", 16, 24)
    found = busy(built)
    assert found["scan:net"] == found["statistics:net"] == found["buckets:net"] == "run"
    assert not any(name.startswith("compile:") for name in found)


def test_plan_tells_compiles_from_restores_and_how_long(built: Repository) -> None:
    assert built.doit("clean", "compile:net").ok
    built.write_target(sizes=(*BUCKETS, (48, 80)))
    run = built.doit("plan", "--json")
    tasks = {task["name"]: task for task in document(run)["tasks"]}
    assert run.status == 1
    assert tasks["compile:net:N1_H16_W24"]["action"] == "restore"
    assert tasks["compile:net:N1_H48_W80"]["action"] == "run"
    assert tasks["compile:net:N1_H48_W80"]["seconds"] > 0
    totals = document(run)["totals"]
    assert totals["compiles"] == 1
    assert totals["compile_seconds"] == pytest.approx(tasks["compile:net:N1_H48_W80"]["seconds"])


def test_looking_up_the_store_counts_as_no_hit(built: Repository) -> None:
    assert built.doit("clean", "compile:net").ok
    journal = built.root / ".scaling/store/journal.jsonl"
    before = journal.read_bytes()
    assert built.doit("plan").status == 1
    assert journal.read_bytes() == before


def test_plan_of_one_target_leaves_others_out(built: Repository) -> None:
    built.write_target("other", sizes=[(64, 64)])
    assert set(actions(built, "bundle:net").values()) == {"up to date"}
    found = actions(built, "bundle:other")
    assert found["compile:other:N1_H64_W64"] == "run"
    assert not any(":net" in name for name in found if name != "scan:net")
    assert "report:other" not in found


def test_plan_follows_tasks_of_the_dodo_file(built: Repository) -> None:
    (built.root / "model.txt").write_text("1")
    (built.root / "dodo.py").write_text(
        "from scaling_tasks.doit_plugin import load_tasks\n\nload_tasks(globals())\n\n\n"
        "def task_fetch():\n"
        "    return {'actions': ['cp models/net.onnx models/copy.onnx && cp models/copy.onnx models/net.onnx'],\n"
        "            'file_dep': ['model.txt'], 'targets': ['models/net.onnx']}\n\n\n"
        "def task_deploy():\n"
        "    return {'actions': ['cp build/net/manifest.json deployed.json'],\n"
        "            'file_dep': ['build/net/manifest.json'], 'targets': ['deployed.json'],\n"
        "            'task_dep': ['bundle:net']}\n"
    )
    found = busy(built)
    assert found["fetch"] == "run"
    assert found["deploy"] == "run"
    run = built.doit("deploy")
    assert run.ok, run.output
    assert (built.root / "deployed.json").exists()
    assert busy(built) == {}


def test_a_forgotten_data_set_is_noticed(repository: Repository) -> None:
    scaling = "{strategy: mean_std, max_scaling_num: 1}"
    (repository.root / "configs/net.yaml").write_text(f"model: models/net.onnx\nauto_scaling: {scaling}\n")
    plan = repository.doit("plan")
    assert "buckets:net  it has not run here; no data set: MindOCR's default lists" in plan.output
    run = repository.doit()
    assert run.ok, run.output
    assert ".  buckets:net  1 bucket, padding ratio -" in run.output
    assert "warning: no data set: the buckets are MindOCR's default lists" in run.output
    # Nothing was measured: no ratio of 1.
    assert "1.000" not in run.output


def test_plan_says_what_is_wrong(repository: Repository) -> None:
    (repository.root / "models/net.onnx").unlink()
    run = repository.doit("plan")
    assert run.status == 1
    assert "Traceback" not in run.output
    assert "models/net.onnx: cannot be read (No such file or directory)" in run.output


def test_why_shows_old_and_new(built: Repository) -> None:
    config = built.root / "configs/net.yaml"
    config.write_text(config.read_text().replace("interval: 8", "interval: 4"))
    run = built.doit("why", "buckets:net")
    assert run.status == 1
    assert "parameters.target.auto_scaling.interval: 8 -> 4" in run.output
    assert built.doit("why", "compile:net").status == 0
    explained = document(built.doit("why", "--json", "statistics:net"))["tasks"][0]
    assert {"component": "parameters.target.auto_scaling.interval", "old": 8, "new": 4} in explained["changes"]


def test_why_names_the_changed_model_in_every_unit(built: Repository) -> None:
    built.write_model(seed=1)
    run = built.doit("why", "compile:net")
    assert run.status == 1
    assert run.output.count("    inputs.model/net.onnx: ") == 3


def test_why_before_the_first_build(repository: Repository) -> None:
    run = repository.doit("why", "compile:net:N1_H16_W24")
    assert run.status == 1
    assert "it has not run here" in run.output


def test_why_of_nothing_known_is_a_clear_error(built: Repository) -> None:
    run = built.doit("why", "compile:net:N1_H99_W99")
    assert run.status == 3 or "no unit" in run.output
    assert "Traceback" not in run.output
    assert "Traceback" not in built.doit("why").output


def test_prune_removes_exactly_what_a_gone_target_left(built: Repository) -> None:
    before = {path: path.read_bytes() for path in (built.root / "build/net").iterdir()}
    built.write_target("old", sizes=[(64, 64), (72, 72)])
    assert built.doit().ok
    (built.root / "build/old/notes.txt").write_text("mine")
    (built.root / "configs/old.yaml").unlink()
    rehearsal = built.doit("prune", "--dry-run")
    assert rehearsal.status == 1
    assert (built.root / "build/old/net_N1_H64_W64.onnx").exists()
    found = document(built.doit("prune", "--json"))
    assert "build/old/net_N1_H64_W64.onnx" in found["files"]
    assert found["locked_targets"] == ["old"]
    assert [path.name for path in (built.root / "build/old").iterdir()] == ["notes.txt"]
    assert not (built.root / ".scaling/targets/old").exists()
    assert {path: path.read_bytes() for path in (built.root / "build/net").iterdir()} == before
    assert "old" not in json.loads((built.root / "scaling.lock").read_text())["targets"]
    assert built.doit("prune", "-n").status == 0
    assert built.doit().executed == []


def test_prune_leaves_what_no_configuration_made(built: Repository) -> None:
    made = subprocess.run(
        [
            *(sys.executable, "-m", "scaling_tasks", "--model_path", "models/net.onnx"),
            *("--input_shape=1,3,32,32", "--backend", "onnxruntime", "--output_path", "mine"),
        ],
        cwd=built.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    kept = sorted((built.root / "mine").iterdir())
    assert kept
    built.doit("prune")
    assert sorted((built.root / "mine").iterdir()) == kept


def test_prune_trims_the_store(built: Repository) -> None:
    store = built.root / ".scaling/store/records"
    before = len(list(store.glob("??/*.json")))
    run = built.doit("prune", "--store-size", "1k")
    assert run.ok, run.output
    assert len(list(store.glob("??/*.json"))) < before
    wrong = built.doit("prune", "--store-size", "lots")
    assert wrong.status == 3
    assert "Write it like 500M" in wrong.output


def test_diagram_has_an_edge_for_every_stage(built: Repository) -> None:
    run = built.doit("diagram")
    assert run.ok
    lines = run.output.splitlines()
    assert lines[0] == "flowchart LR"
    nodes = dict(line.strip().rstrip("]").split("[", 1) for line in lines if "[" in line)
    names = {name: label.strip('"') for name, label in nodes.items()}
    edges = {tuple(names[end] for end in line.strip().split(" --> ")) for line in lines if "-->" in line}
    assert ("scan:net", "statistics:net") in edges
    assert ("buckets:net", "compile:net (3 units)") in edges
    assert ("verify:net (3 units)", "bundle:net") in edges
    whole = document(built.doit("diagram", "--json", "--all"))
    assert ["compile:net:N1_H16_W24", "verify:net:N1_H16_W24"] in whole["edges"]


def test_groups_are_cleaned_and_forgotten_with_their_units(built: Repository) -> None:
    rehearsal = built.doit("clean", "-n", "compile")
    made = built.root / ".scaling/targets/net/artefacts"
    assert "net_N1_H16_W24.onnx" in rehearsal.output
    assert (made / "net_N1_H16_W24.onnx").exists()
    assert "forgetting compile:net:N1_H16_W24" in built.doit("forget", "compile").output
    assert built.doit("clean", "compile").ok
    assert not list(made.glob("*.onnx"))
    assert (built.root / "build/net/net_N1_H16_W24.onnx").exists()
    run = built.doit()
    assert (run.compiled, len(run.restored)) == ([], 3)


def test_units_can_be_asked_about_before_they_exist(repository: Repository) -> None:
    for command in ("info", "forget", "clean"):
        run = repository.doit(command, "compile:net:N1_H16_W24")
        assert "Traceback" not in run.output
        assert run.status == (1 if command == "info" else 0), run.output
    assert "Traceback" not in repository.doit("forget").output


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_commands(built: Repository, shell: str) -> None:
    run = built.doit("tabcompletion", "--shell", shell)
    assert run.ok
    for command in ("plan", "why", "prune", "diagram", "locked", "scaling_init"):
        assert command in run.output
    if shell == "bash":
        assert subprocess.run(["bash", "-n"], input=run.output, text=True, check=False).returncode == 0


def test_commands_load_nothing_heavy_to_be_listed(built: Repository) -> None:
    probe = (
        "import sys\n"
        "from doit.doit_cmd import DoitMain\n"
        "status = DoitMain().run(['help'])\n"
        "heavy = {'numpy', 'onnx', 'yaml', 'msgspec'} & set(sys.modules)\n"
        "assert status in (0, None) and not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=built.root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wrong_environment_is_one_line(built: Repository) -> None:
    for command in ("plan", "prune", "why compile:net"):
        run = built.doit(*command.split(), environment={"SCALING_TASKS_PROGRESS": "fancy"})
        assert run.status == 3
        assert run.output.startswith("error: SCALING_TASKS_PROGRESS: 'fancy' is not known")
        assert "Traceback" not in run.output


def test_init_writes_a_configuration_that_builds(repository: Repository) -> None:
    (repository.root / "configs/net.yaml").unlink()
    (repository.root / "dodo.py").unlink()
    run = repository.doit("scaling_init", "models/net.onnx", "--backend", "onnxruntime", "datasets/images")
    assert run.ok, run.output
    assert 'loader = "scaling_tasks"' in run.output
    before = (repository.root / "configs/net.yaml").read_text()
    again = repository.doit("scaling_init", "models/net.onnx")
    assert again.status == 1
    assert "there is one already" in again.output
    assert (repository.root / "configs/net.yaml").read_text() == before
    (repository.root / "pyproject.toml").write_text('[tool.doit]\nloader = "scaling_tasks"\n')
    built = repository.doit()
    assert built.ok, built.output
    assert (repository.root / "build/net/manifest.json").exists()


def test_a_repository_without_targets_says_how_to_get_one(repository: Repository) -> None:
    (repository.root / "configs/net.yaml").rename(repository.root / "configs/net.yml")
    run = repository.doit()
    assert run.ok
    assert run.output.splitlines() == [
        "no target in configs/*.yaml; targets end in .yaml, not .yml; `doit scaling_init MODEL.onnx` writes one"
    ]
    (repository.root / "dodo.py").unlink()
    (repository.root / "pyproject.toml").write_text('[tool.doit]\nloader = "scaling_tasks"\n')
    assert "There is no dodo.py" not in repository.doit("scaling_init", "models/net.onnx").output
    assert "no target" not in repository.doit("plan").output


@pytest.mark.parametrize("command", [["plan"], ["why", "compile:net"], ["run"]])
def test_a_reader_may_leave(repository: Repository, command: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    whole = [sys.executable, "-m", "doit", *command]
    done = subprocess.run(whole, cwd=repository.root, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
    assert (repository.root / "build/net/manifest.json").exists() == (command == ["run"])


def test_init_of_what_is_no_model_writes_nothing(repository: Repository) -> None:
    run = repository.doit("scaling_init", "dodo.py", "--name", "bad")
    assert run.status == 1
    assert "Traceback" not in run.output
    assert not (repository.root / "configs/bad.yaml").exists()
    assert "takes the path of a model" in repository.doit("scaling_init").output


def test_from_a_sub_directory(built: Repository) -> None:
    inside = built.root / "models/sub"
    inside.mkdir()
    script = Path(sys.executable).with_name("scaling-doit")
    for command in ([sys.executable, "-m", "doit", "-k"], [str(script)]):
        done = subprocess.run([*command, "plan"], cwd=inside, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout[:13]) == (0, "nothing to do"), done.stderr
    (built.root / "dodo.py").unlink()
    done = subprocess.run([str(script), "plan"], cwd=inside, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:13]) == (0, "nothing to do"), done.stderr
