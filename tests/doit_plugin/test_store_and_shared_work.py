"""What units share and what the store did, through the real doit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from scaling_tasks.compilers.nncase import NncaseBackend
from scaling_tasks.errors import CompileError
from tests.doit_plugin.repository import Repository


def test_shared_work_follows_the_model_and_is_pruned_with_its_target(built: Repository) -> None:
    shared = built.root / ".scaling/targets/net/shared"
    (before,) = shared.iterdir()
    assert built.doit("prune", "-n").status == 0
    built.write_model(seed=1)
    assert len(built.doit().compiled) == 3
    (after,) = shared.iterdir()
    assert after.name != before.name
    assert (after / "dynamic.onnx").is_file()
    (built.root / "configs/net.yaml").rename(built.root / "configs/other.yaml")
    built.doit("prune")
    assert not shared.exists()


def test_store_statistics_are_printed_and_given_as_json(built: Repository) -> None:
    first = told(built)
    assert first["hits"] == 0
    assert (
        first["entries"] == first["misses"] == first["stored"] > 3 + 3
    )  # Three compiles, three verifications, and more.
    shutil.rmtree(built.root / "build")
    shutil.rmtree(built.root / ".scaling/targets")
    run = built.doit()
    assert f"store: {first['entries']} hits, 0 misses" in run.output
    since = told(built, "--since", str(first["mark"]))
    assert (since["hits"], since["misses"], since["stored"]) == (first["entries"], 0, 0)
    assert since["seconds_saved"] > 0
    assert since["bytes_restored"] > 0
    assert f"{first['entries']} hits, {first['entries']} misses" in built.doit("store").output


def told(repository: Repository, *arguments: str) -> dict:
    run = repository.doit("store", "--json", *arguments)
    assert run.ok, run.output
    return json.loads(run.output[run.output.index("{") :])


def test_a_compiler_that_aborts_is_reported_and_stops_no_other_target(built: Repository, ocr_models: Path) -> None:
    try:
        NncaseBackend().identity({"options": {"target": "cpu"}})
    except CompileError as error:
        pytest.skip(str(error))
    shutil.copyfile(ocr_models / "ch_PP-OCRv4_rec_infer.onnx", built.root / "models/rec.onnx")
    (built.root / "configs/rec.yaml").write_text(
        "model: models/rec.onnx\n"
        "input_shape: {x: [1, 3, 48, -1]}\n"
        "auto_scaling: {strategy: explicit, buckets: [{W: 32}]}\n"
        "compile: {backend: nncase, options: {target: cpu, simplify: false}}\n"
    )
    built.write_target("second", sizes=[(16, 24)])
    run = built.doit("--continue")
    assert run.status != 0
    assert "compile:rec:W32 failed" in run.output
    assert "was killed by SIGABRT: Process terminated" in run.output
    assert "Traceback" not in run.output
    assert (built.root / "build/second/manifest.json").is_file()
    assert not list((built.root / "build/rec").glob("*.kmodel"))
    assert not (built.root / "build/rec/manifest.json").exists()
