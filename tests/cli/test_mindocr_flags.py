"""``python -m scaling_tasks`` with MindOCR's flags: four modes, with and without data, the same file names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import scaling_tasks as st
from tests.doit_plugin.repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def command(repository: Repository, *arguments: str) -> subprocess.CompletedProcess[str]:
    flags = ["--model_path", "models/net.onnx", "--output_path", "output", *arguments]
    return subprocess.run(
        [sys.executable, "-m", "scaling_tasks", *flags],
        cwd=repository.root,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def stems(repository: Repository, suffix: str) -> list[str]:
    return sorted(path.stem for path in (repository.root / "output").glob(f"*{suffix}"))


ANNOTATION = "".join(
    f"{index}.png\t[{', '.join(['{' + box + '}'] * boxes)}]\n"
    for index, boxes in enumerate((1, 4, 8))
    for box in ['"transcription": "a", "points": [[0, 0], [40, 0], [40, 16], [0, 16]]']
)

MODES = {
    "static": ("1,3,16,24", ["net_static"]),
    "batch": ("-1,3,16,24", ["net_N1", "net_N4"]),
    "height and width": ("1,3,-1,-1", ["net_H32_W32", "net_H32_W64"]),
    "width": ("1,3,16,-1", ["net_W64"]),
    "both": ("-1,3,16,-1", ["net_N1_W64", "net_N4_W64"]),
}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_builds_its_artefacts(repository: Repository, mode: str) -> None:
    shape, expected = MODES[mode]
    data = "datasets/images" if mode == "height and width" else "datasets/det_gt.txt"
    (repository.root / "datasets/det_gt.txt").write_text(ANNOTATION)
    (repository.root / "few.yaml").write_text("auto_scaling:\n  batch_choices: [1, 4]\n  max_scaling_num: 2\n")
    flags = [f"--input_shape={shape}", "--backend", "onnxruntime", "--config", "few.yaml", "--data_path", data]
    done = command(repository, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    made = stems(repository, ".onnx")
    assert set(made) <= set(expected)
    assert made[-1] == expected[-1]
    with st.load_bundle(repository.root / "output") as model:
        size = (1, 3, 16, 24) if mode in ("static", "batch") else (1, 3, 16, 20)
        assert model.run({"x": np.ones(size, np.float32)})["y"].shape == (1, 4, *size[2:])


def test_without_data_the_default_sizes_are_cut_with_a_warning(repository: Repository) -> None:
    (repository.root / "few.yaml").write_text("auto_scaling:\n  max_scaling_num: 4\n")
    flags = ["--input_shape=1,3,-1,-1", "--backend", "onnxruntime", "--config", "few.yaml"]
    done = command(repository, *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning: The default lists make 580 buckets; 4 were kept" in done.stdout
    assert len(stems(repository, ".onnx")) == 4
    assert "net_H640_W960" in stems(repository, ".onnx")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("1,3,16,24", ["static"]),
        ("-1,3,16,24", ["dynamic_bs"]),
        ("1,3,-1,-1", ["dynamic_hw"]),
        ("-1,3,16,-1", ["dynamic_bs1_hw", "dynamic_bs4_hw"]),
    ],
)
@pytest.mark.usefixtures("lite_python")
def test_for_ascend_without_cann_that_is_said_once_for_all_units(
    repository: Repository, shape: str, expected: list[str]
) -> None:
    (repository.root / "datasets/det_gt.txt").write_text(ANNOTATION)
    (repository.root / "few.yaml").write_text("auto_scaling:\n  batch_choices: [1, 4]\n")
    flags = [f"--input_shape={shape}", "--soc_version", "Ascend310P3", "--data_path", "datasets/det_gt.txt"]
    done = command(repository, *flags, "--config", "few.yaml")
    assert done.returncode != 0
    lines = [line for line in done.stdout.splitlines() if line.startswith("!  ")]
    assert len(lines) == 1
    assert "no CANN" in lines[0]
    assert done.stdout.count("no CANN") == 2  # At once, and in the closing summary.
    assert all(unit in done.stdout for unit in expected)
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((repository.root / "output").glob("*.mindir"))
    assert not (repository.root / "output/manifest.json").exists()


@pytest.mark.usefixtures("lite_python")
def test_lite_on_the_cpu_does_the_whole_job(repository: Repository) -> None:
    done = command(repository, "--input_shape=1,3,16,24", "--backend", "lite", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stems(repository, ".mindir") == ["net_static"]
    manifest = json.loads((repository.root / "output/manifest.json").read_text())
    assert manifest["backend"] == "lite"


def test_two_models_cannot_share_an_output_directory(repository: Repository) -> None:
    flags = ["--input_shape=1,3,16,24", "--backend", "onnxruntime"]
    assert command(repository, *flags).returncode == 0
    (repository.root / "models/other.onnx").write_bytes((repository.root / "models/net.onnx").read_bytes())
    done = command(repository, *flags, "--model_path", "models/other.onnx")
    assert done.returncode == 2
    assert "holds the bundle of 'net'" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--input_shape=1,3,16,x"], "not a list of numbers"),
        (["--input_shape=1,3,16"], "4 dimensions"),
        (["--input_shape=1,3,16,24", "--input_name", "images"], "no input 'images'"),
        (["--input_shape=1,3,16,24", "--model_path", "absent.onnx"], "absent.onnx"),
        (["--input_shape=1,3,16,24", "--model_path", "dodo.py"], "not an ONNX model"),
        (["--input_shape=1,3,16,24", "--config", "absent.yaml"], "absent.yaml"),
        (["--input_shape=1,3,16,24", "--config", "wrong.yaml"], "wrong.yaml: compile: 3 is not a mapping"),
        (["--input_shape=1,3,-1,-1", "--data_path", "absent"], "absent"),
        (["--input_shape=1,3,16,24", "--backend", "onxruntime"], "onnxruntime"),
        (["--input_shape=1,3,16,24", "--output_path", "."], "--output_path: '.' is the repository itself"),
        (["--input_shape=1,3,16,24", "--output_path", ".."], "--output_path: '..' is the repository itself"),
        (["--input_shape=1,3,16,24", "--output_path", ".scaling/x"], "is where this tool keeps its state"),
    ],
)
def test_wrong_input_is_said_in_a_line(repository: Repository, flags: list[str], words: str) -> None:
    (repository.root / "wrong.yaml").write_text("compile: 3\n")
    done = command(repository, "--backend", "onnxruntime", *flags)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (repository.root / "output/manifest.json").exists()


def test_the_model_is_compiled_as_it_is_and_one_line_says_so(repository: Repository):
    (repository.root / "few.yaml").write_text("auto_scaling:\n  max_scaling_num: 2\n")
    done = command(repository, "--input_shape=1,3,16,-1", "--backend", "onnxruntime", "--config", "few.yaml")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("so that padding may change its answers") == 1
    manifest = json.loads((repository.root / "output" / "manifest.json").read_text())
    assert manifest["behaviour"]["size_inputs"] == []
