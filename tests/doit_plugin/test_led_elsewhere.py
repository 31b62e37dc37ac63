"""Builds in a repository that brings links along: nothing elsewhere is written or removed, and one's own links work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.documents import resealed
from tests.doit_plugin.repository import Repository

# What a repository that comes from elsewhere may bring along: what stops a build, and what it does without.
STOPPING = (
    ".scaling/work",
    ".scaling/locks",
    ".scaling/targets/net",
    ".scaling/targets/net/artefacts",
    ".scaling/targets/net/results/compile",
    ".scaling/targets/net/shared",
    ".scaling/scan",
)
DONE_WITHOUT = {
    ".scaling/logs": "",
    ".scaling/profiles": "",
    ".scaling/digests.jsonl": "x.json",
    ".scaling/doit.sqlite": "new",
    ".scaling/doit.sqlite-wal": "x.json",
}
GONE = (
    ".scaling/targets/gone",
    ".scaling/logs/gone",
    ".scaling/scan/gone",
    ".scaling/work/gone",
    ".scaling/locks/gone",
)


def link(repository: Repository, name: str, target: Path) -> None:
    place = repository.root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.mark.parametrize("name", STOPPING)
def test_a_link_on_the_way_to_what_is_written_is_told(tmp_path: Path, outside: Path, name: str) -> None:
    repository = Repository(tmp_path)
    repository.write_target(sizes=[(32, 64)])
    link(repository, name, outside)
    run = repository.doit()
    assert run.status == 1
    assert "it is a link, which may lead elsewhere" in run.output
    assert f"{name}" in run.output
    assert "Traceback" not in run.output


def test_what_is_the_tools_own_convenience_is_done_without(tmp_path: Path, outside: Path) -> None:
    repository = Repository(tmp_path)
    repository.write_target(sizes=[(32, 64)])
    for name, target in DONE_WITHOUT.items():
        link(repository, name, outside / target)
    run = repository.doit()
    assert run.ok, run.output
    assert "doit.sqlite is no regular file" in run.output


def test_no_other_command_follows_links_either(tmp_path: Path, outside: Path) -> None:
    repository = Repository(tmp_path)
    repository.write_target(sizes=[(32, 64)])
    for name in ("build/net", *STOPPING[:3], ".scaling/logs/net", ".scaling/scan"):
        link(repository, name, outside)
    for command in ("prune", "clean", "plan", "why", "check"):
        run = repository.doit(command)
        assert "Traceback" not in run.output, run.output


def test_prune_removes_nothing_by_a_link(tmp_path: Path, outside: Path) -> None:
    repository = Repository(tmp_path)
    repository.write_target()
    for name in GONE:
        link(repository, name, outside)
    run = repository.doit("prune")
    assert run.ok, run.output


def test_clean_removes_what_the_stage_made_wherever_its_record_says_that_lies(built: Repository, outside: Path) -> None:
    record = built.root / ".scaling/targets/net/results/bundle.json"
    document = json.loads(record.read_text())
    name = document["files"][0][0]
    document["files"][0][3] = (outside / "a.onnx").as_posix()
    record.write_text(resealed(document))
    run = built.doit("clean", "bundle")
    assert run.ok, run.output
    assert not (built.root / "build/net" / name).exists()


def test_a_record_whose_files_are_called_what_leads_out_is_not_believed(built: Repository) -> None:
    record = built.root / ".scaling/targets/net/results/manifest.json"
    document = json.loads(record.read_text())
    document["files"][0][0] = "../../x"
    record.write_text(resealed(document))
    run = built.doit()
    assert run.ok, run.output
    assert json.loads(record.read_text())["files"][0][0] == "manifest.json"


def test_the_users_own_directories_may_be_links_to_another_disk(tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    repository.write_target(sizes=[(32, 64)])
    disk = tmp_path / "disk"
    disk.mkdir()
    for name in ("build", ".scaling", "datasets", "models"):
        here = repository.root / name
        shutil.move(here, disk / name) if here.exists() else (disk / name).mkdir()
        here.symlink_to(disk / name)
    shutil.move(disk / "datasets/images/0.png", disk / "0.png")
    (disk / "datasets/images/0.png").symlink_to(disk / "0.png")
    shutil.move(disk / "models/net.onnx", disk / "content")
    (disk / "models/net.onnx").symlink_to(disk / "content")
    run = repository.doit()
    assert run.ok, run.output
    assert len(run.compiled) == 1
    assert (disk / "build/net/manifest.json").is_file()
    assert repository.doit().compiled == []
    (repository.root / "configs/net.yaml").rename(repository.root / "configs/other.yaml")
    assert repository.doit("prune").ok
    assert not (disk / "build/net").exists()


@pytest.mark.parametrize(("name", "more"), [("out", "output: out\n"), ("build/net", "")])
def test_a_bundles_directory_may_be_a_link(tmp_path: Path, name: str, more: str) -> None:
    """What else lies there stays, and the bundle is published where the link leads, not in its place."""
    repository = Repository(tmp_path / "repository")
    repository.write_target(sizes=[(32, 64)], more=more)
    (tmp_path / "disk/mine").mkdir(parents=True)
    link(repository, name, tmp_path / "disk")
    for seed in (1, 2):
        repository.write_model(seed=seed)
        run = repository.doit()
        assert run.ok, run.output
    assert (repository.root / name).readlink() == tmp_path / "disk"
    assert (tmp_path / "disk/manifest.json").is_file()
    assert (tmp_path / "disk/mine").is_dir()
    link(repository, "build/other", repository.root / "configs")
    repository.write_target("other", sizes=[(32, 64)])
    assert "output: 'build/other' is where the configurations are" in repository.doit("check").output
