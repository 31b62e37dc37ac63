"""``doit changed_since=REV`` builds what the changes since a revision of git touch, and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from scaling_tasks.builds.touched import touched
from scaling_tasks.doit_plugin.changed_since import changed_files, touched_tasks
from scaling_tasks.doit_plugin.loader import load_targets
from tests.doit_plugin.repository import Repository

METRIC = "from helpers.scores import share\n\n\ndef accuracy(run, dataset):\n    return share\n"
IDENTITY = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


def git(root: Path, *arguments: str) -> str:
    environment = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    done = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Two targets of one bucket each that share nothing but the model's directory, committed."""
    made = Repository(tmp_path)
    root = made.root
    for name in ("one", "two"):
        made.write_target(name, sizes=[(32, 64)])
        path = root / f"configs/{name}.yaml"
        text = path.read_text().replace("models/net.onnx", f"models/{name}.onnx")
        path.write_text(text.replace("dataset: datasets/images", f"dataset: datasets/{name}"))
        model = onnx.load(str(root / "models/net.onnx"))
        external = {"save_as_external_data": True, "location": "one.bin", "size_threshold": 0} if name == "one" else {}
        onnx.save(model, str(root / f"models/{name}.onnx"), **external)
        (root / f"datasets/{name}").mkdir()
        for image in (root / "datasets/images").iterdir():
            (root / f"datasets/{name}" / image.name).write_bytes(image.read_bytes())
    with (root / "configs/two.yaml").open("a") as file:
        file.write("verify: {metric: scoring:accuracy, dataset: labels.csv, samples: calibration}\n")
    replaced = (
        (root / "configs/one.yaml").read_text().replace("interval: 8", "interval: 8\n  latency_table: latencies.json")
    )
    (root / "configs/one.yaml").write_text(replaced)
    (root / "latencies.json").write_text("{ }")
    (root / "calibration").mkdir()
    np.savez(root / "calibration/0.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    (root / "labels.csv").write_text("a\n")
    (root / "scoring.py").write_text(METRIC)
    (root / "helpers").mkdir()
    (root / "helpers/scores.py").write_text("share = 1.0\n")
    (root / "README").write_text("words\n")
    (root / ".gitignore").write_text(".scaling\nbuild\n__pycache__\n*.lock\n.doit*\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", ".")
    git(root, "commit", "-qm", "first")
    return made


def touch(path: Path, content: bytes | None = None) -> None:
    path.write_bytes(path.read_bytes() + b"\n" if content is None else content)


CHANGES: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "nothing": (lambda root: None, set()),
    "another file": (lambda root: touch(root / "README"), set()),
    "a model of no target": (lambda root: touch(root / "models/net.onnx"), set()),
    "the same bytes": (lambda root: touch(root / "models/one.onnx", (root / "models/one.onnx").read_bytes()), set()),
    "a configuration": (lambda root: touch(root / "configs/one.yaml"), {"one"}),
    "shared settings, untracked": (lambda root: touch(root / "configs/_defaults.yaml", b"{}\n"), {"one", "two"}),
    "a target, untracked": (
        lambda root: touch(root / "configs/new.yaml", (root / "configs/one.yaml").read_bytes()),
        {"new"},
    ),
    "a model": (lambda root: touch(root / "models/two.onnx"), {"two"}),
    "a model's weights": (lambda root: touch(root / "models/one.bin", bytes(432)), {"one"}),
    "an image more, untracked": (lambda root: touch(root / "datasets/two/new.png", b"words"), {"two"}),
    "an image less": (lambda root: (root / "datasets/one/0.png").unlink(), {"one"}),
    "a moved image": (lambda root: (root / "datasets/one/0.png").rename(root / "datasets/two/9.png"), {"one", "two"}),
    "what the metric imports": (lambda root: touch(root / "helpers/scores.py"), {"two"}),
    "the labels": (lambda root: touch(root / "labels.csv"), {"two"}),
    "a metric that is gone": (lambda root: (root / "scoring.py").unlink(), {"two"}),
    "latencies": (lambda root: touch(root / "latencies.json", b"{}"), {"one"}),
    "calibration samples": (lambda root: touch(root / "calibration/0.npz"), {"two"}),
    "what git ignores": (lambda root: touch(root / "datasets/two/x.lock", b""), set()),
}


@pytest.mark.parametrize("change", [*CHANGES])
@pytest.mark.parametrize("committed", [True, False])
def test_what_a_change_touches(
    change: str, committed: bool, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.root)
    make, expected = CHANGES[change]
    make(repository.root)
    if committed:
        git(repository.root, "switch", "-qc", "branch")
        git(repository.root, "add", "-A")
        git(repository.root, "commit", "-q", "--allow-empty", "-m", "second")
        # What the other branch has done since is not of this one.
        git(repository.root, "switch", "-q", "main")
        touch(repository.root / "configs/two.yaml")
        git(repository.root, "commit", "-qam", "elsewhere")
        git(repository.root, "switch", "-q", "branch")
    targets = load_targets()
    assert {target.name for target in touched(targets, changed_files("main"))} == expected
    assert {name.split(":")[1] for name in touched_tasks(targets, "main")} == expected


def test_a_repository_below_the_root_of_git_and_links(
    repository: Repository, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = tmp_path_factory.mktemp("around") / "work"
    shutil.copytree(repository.root, around / "inner", ignore=shutil.ignore_patterns(".git"))
    (around / "data").mkdir()
    (around / "inner/datasets/one").rename(around / "data/one")
    (around / "inner/datasets/one").symlink_to("../../data/one")
    git(around, "init", "-q", "-b", "main")
    git(around, "add", ".")
    git(around, "commit", "-qm", "first")
    (around.parent / "link").symlink_to(around)
    touch(around / "data/one/0.png")
    monkeypatch.chdir(around.parent / "link/inner")
    assert [target.name for target in touched(load_targets(), changed_files("HEAD"))] == ["one"]


def test_only_touched_targets_are_built(repository: Repository) -> None:
    root = repository.root
    nothing = repository.doit("changed_since=main")
    assert (nothing.status, nothing.output) == (0, "no target is touched by what changed since main\n")
    repository.write_image("../one/new.png", 20, 20)
    plan = repository.doit("plan", "--changed-since", "HEAD")
    assert plan.status == 1
    assert "bundle:one" in plan.output
    assert ":two" not in plan.output
    run = repository.doit("changed_since=HEAD", "-n", "2")
    assert run.ok, run.output
    assert run.compiled == ["one:net_N1_H32_W64"] or {name.partition(":")[0] for name in run.compiled} == {"one"}
    assert (root / "build/one/manifest.json").exists()
    assert not (root / "build/two").exists()
    # The tasks of the others are still there: to be named, and not to be taken for leavings.
    assert repository.doit("changed_since=HEAD", "buckets:two").ok
    assert repository.doit("prune", "-n").status == 0
    assert repository.doit("plan", "--changed-since", "HEAD").status == 0
    assert "there is no revision 'none'" in repository.doit("plan", "bundle:one", "--changed-since", "none").output


def test_a_dodo_files_own_settings_stay(repository: Repository) -> None:
    dodo = 'DOIT_CONFIG = {"default_tasks": ["hello"], "verbosity": 2}\n' + (repository.root / "dodo.py").read_text()
    dodo += "\n\ndef task_hello():\n    return {'actions': ['echo hello there']}\n"
    (repository.root / "dodo.py").write_text(dodo)
    assert "hello there" in repository.doit().output
    git(repository.root, "commit", "-qam", "second")
    assert repository.doit("changed_since=HEAD").executed == []


@pytest.mark.parametrize("revision", ["nowhere", "--help", "-z", ""])
def test_an_unknown_revision_is_one_line(revision: str, repository: Repository) -> None:
    run = repository.doit(f"changed_since={revision}")
    assert run.status != 0
    assert run.output.strip().splitlines() == [
        f"error: changed_since: there is no revision {revision!r}. Name a branch, a tag or a commit that this clone "
        "has; a shallow one has few (`git fetch`)."
    ]


def test_no_repository_and_no_common_commit_are_one_line(repository: Repository) -> None:
    git(repository.root, "checkout", "-q", "--orphan", "apart")
    git(repository.root, "commit", "-qm", "apart")
    run = repository.doit("plan", "--changed-since", "main")
    assert run.status != 0
    assert "'main' and what is checked out have no common commit here" in run.output
    shutil.rmtree(repository.root / ".git")
    run = repository.doit(
        "plan",
        "--changed-since",
        "main",
    )
    assert run.status != 0
    assert "not a git repository" in run.output
    assert len(run.output.strip().splitlines()) == 1
