"""Mistakes are told all at once, with file, line and key, before anything is scanned, planned or compiled."""

from __future__ import annotations

import json

from tests.doit_plugin.repository import Repository

MISTAKES = """
verify:
  metric: scoring:accurracy
  dataset: datasets/labels.csv
  files: [datasets/nowhere]
  samples: datasets/samples
runtime:
  padding: {images: {mode: edge}}
"""
SCORING = "def accuracy(run, dataset):\n    return 1.0\n"


def spoiled(repository: Repository) -> None:
    repository.write_target(more=MISTAKES)
    (repository.root / "scoring.py").write_text(SCORING)


def test_every_mistake_is_found_in_one_pass(repository: Repository) -> None:
    spoiled(repository)
    repository.write_target("other", sizes=[(16, 24)], backend="onnxruntime", more="verify: {samples: nowhere}\n")
    run = repository.doit("check")
    assert run.status == 1
    expected = [
        "configs/net.yaml:12: verify.metric: scoring.py has no 'accurracy'. Did you mean 'accuracy'?",
        "configs/net.yaml:13: verify.dataset: 'datasets/labels.csv' is not there",
        "configs/net.yaml:15: verify.samples: 'datasets/samples' is not there",
        "configs/net.yaml:17: runtime.padding: there is no input 'images' to pad. Inputs: ['x']",
        "configs/other.yaml:10: verify.samples: 'nowhere' is not there",
        "5 mistakes in 2 of 2 targets",
    ]
    assert [line for line in expected if line not in run.output] == [], run.output
    assert "Traceback" not in run.output
    assert not (repository.root / "build").exists()


def test_a_build_finds_them_before_it_does_anything(repository: Repository) -> None:
    spoiled(repository)
    run = repository.doit("-n", "2", "--continue")
    assert not run.ok
    assert run.compiled == []
    assert "4 mistakes" in run.output
    assert "scoring.py has no 'accurracy'" in run.output
    assert not (repository.root / ".scaling/scan").exists()


def test_wrong_keys_of_all_files_are_told_together(repository: Repository) -> None:
    repository.write_target(more="runtime: {oversise: error, round_up: 3}\nverify: {drop: -1}\n")
    repository.write_target("other", more="compile: {backend: onnxruntime}\n")
    run = repository.doit("list")
    assert run.status != 0
    for part in ("unknown key 'oversise'", "runtime.round_up", "verify.drop", "configs/other.yaml:10: compile"):
        assert part in run.output, run.output
    assert "Traceback" not in run.output


def test_a_sound_configuration_passes(repository: Repository) -> None:
    run = repository.doit("check", "--json")
    assert run.ok, run.output
    assert json.loads(run.output)["mistakes"] == []


def test_variables_that_the_model_does_not_have(repository: Repository) -> None:
    path = repository.root / "configs/net.yaml"
    text = path.read_text().replace(
        "  interval: 8\n", "  interval: 8\n  buckets_per: {batch: 2}\n  reachable: {N*L: 9}\n"
    )
    path.write_text(text + "runtime: {multiples: {HH: 8}}\n")
    run = repository.doit("check")
    assert run.status == 1
    for part in ("'batch' is no variable", "'L' is no variable", "'HH' is no variable of the model. Did you mean 'H'?"):
        assert part in run.output, run.output


def test_buckets_that_contain_no_sample_are_refused(repository: Repository) -> None:
    repository.write_target(sizes=[(8, 8)])
    run = repository.doit("-n", "2")
    assert not run.ok
    assert "no bucket contains any of the data set's samples" in run.output
    assert run.compiled == []
