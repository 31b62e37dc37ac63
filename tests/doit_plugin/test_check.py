"""Mistakes are told all at once, with file, line and key, before anything is scanned, planned or compiled."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import helper

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


def test_what_does_not_load_is_told_as_every_command_tells_things(repository: Repository) -> None:
    repository.write_target(more="runtime: {oversise: error}\n")
    run = repository.doit("check", "--json")
    (mistake,) = json.loads(run.output)["mistakes"]
    assert (run.status, mistake["where"]) == (1, "configs/net.yaml:10: runtime.oversise")
    assert repository.doit("check").status == 1
    # Their 1 says that something would run.
    for command in (["plan", "--json"], ["why", "bundle:net"]):
        run = repository.doit(*command)
        assert run.status == 3
        assert run.output.startswith("error: configs/net.yaml:10: runtime.oversise: unknown key"), run.output


def test_nothing_to_check_is_a_mistake(repository: Repository) -> None:
    (repository.root / "configs/net.yaml").unlink()
    run = repository.doit("check")
    assert run.status == 1
    assert "error: configs: there is no target to check" in run.output


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


METRICS = """
import nowhere_at_all

LIST = [1]


def one(run):
    return 1.0


def strict(run, dataset, *, seed):
    return 1.0


def silent(run, dataset):
    def inner():
        return 1.0

    print(inner())


def listed(run, dataset):
    if dataset:
        return [1.0]
    return "none"


def lazy(run, dataset):
    yield 1.0


def may(run, dataset):
    return "0.5" if dataset else run
"""
# What each of these targets says beside a model and a data set, and what is found.
ALONE = {
    "reduced": ("runtime: {oversize: split}", "output 'y' has no axis for pieces along H"),
    "lists": ("verify: {metric: 'metrics:LIST', dataset: dodo.py}", "'LIST' in metrics.py, line 4, is no function"),
    "ones": (
        "verify: {metric: 'metrics:one', dataset: dodo.py}",
        "'one' in metrics.py, line 7, takes 1 values, not two",
    ),
    "named": ("verify: {metric: 'metrics:strict', dataset: dodo.py}", "line 11, demands 'seed' by name"),
    "silent": ("verify: {metric: 'metrics:silent', dataset: dodo.py}", "line 15, returns nothing, not a number"),
    "listed": ("verify: {metric: 'metrics:listed', dataset: dodo.py}", "line 22, returns no number"),
    "lazy": ("verify: {metric: 'metrics:lazy', dataset: dodo.py}", "line 28, is a generator, not a function"),
    "absent": ("verify: {metric: 'json.decoder:JSONDecode', dataset: dodo.py}", "decoder.py has no 'JSONDecode'"),
    "device": ("compile: {backend: openvino, options: {device: GPUU}}", "'GPUU' is no device of OpenVINO"),
    "imports": ("verify: {metric: 'more:f', dataset: dodo.py}", "metrics.py, line 2, imports 'nowhere_at_all'"),
    "rate": ("inputs: {sr: 16000}", "inputs.sr: the model has no input 'sr'; its inputs are ['x']. Name one of them"),
    "shape": ("inputs: {x: [[1.0]]}", "the value has the shape [1, 1], the input [None, 3, None, None]"),
    "root": ("output: .", "'.' is the repository itself"),
    "above": ("output: ../..", "'../..' is the repository itself"),
    "state": ("output: .scaling/net", "'.scaling/net' is where this tool keeps its state"),
    "over": ("output: configs", "'configs' is where the configurations are"),
    "among": ("output: datasets/images", "'datasets/images' is in the data set"),
    "beside": ("output: datasets", "'datasets' is where the data set is"),
    "sources": ("output: models", "'models' is where the model is"),
    "nowhere": ("output: /proc/net.bundle/a", "output: no directory can be made at '/proc/net.bundle/a'"),
    "file": ("output: dodo.py", "'dodo.py' is no directory"),
    "ranges": ("shape_bucket: {shape_bucket_range_info: {H: [1, 8], W: [1, 8]}}", "'N' has neither a range nor"),
    "unlisted": ("auto_scaling: {strategy: explicit}", "auto_scaling.buckets: no bucket is listed"),
    "short": (
        "auto_scaling: {strategy: explicit, buckets: [{N: 1, H: 8}]}",
        ":4: auto_scaling.buckets.0: it gives no size to 'W'",
    ),
    "strange": (
        "auto_scaling: {strategy: explicit, buckets: [{N: 1, H: 8, width: 8}]}",
        ":4: auto_scaling.buckets.0: 'width' is no variable of the model; it gives no size to 'W'. "
        "The model's variables: N, H, W.",
    ),
    "dims": ("input_shape: {z: [1]}", ":4: input_shape.z: the model has no input 'z'"),
    "rank": ("input_shape: {x: [1]}", ":4: input_shape.x: the input has 4 dimensions, not 1"),
    "fixed": (
        "shape_bucket:\n  shape_bucket_range_info: {H: [1, 8]}\n  shape_bucket_fix_var_map: {V: 3}",
        ":6: shape_bucket.shape_bucket_fix_var_map.V: the model has no dynamic dimension called 'V'",
    ),
    "gone": ("", ":1: model: models/nte.onnx: cannot be read (No such file or directory)"),
}


def write_mistaken(repository: Repository) -> None:
    root = repository.root
    (root / "metrics.py").write_text(METRICS)
    (root / "more.py").write_text("from metrics import *\n\n\ndef f(run, dataset):\n    return 1.0\n")
    pool = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    ends = [
        helper.make_tensor_value_info("x", 1, ["n", 3, "h", "w"]),
        helper.make_tensor_value_info("y", 1, ["n", 3, 1, 1]),
    ]
    graph = helper.make_graph([pool], "pool", ends[:1], ends[1:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), root / "models/pool.onnx")
    for name, (more, _) in ALONE.items():
        model = {"reduced": "pool", "gone": "nte"}.get(name, "net")
        compiling = "" if more.startswith("compile") else "compile: {backend: onnxruntime}"
        text = f"model: models/{model}.onnx\ndataset: datasets/images\n{compiling}\n{more}\n"
        (root / f"configs/{name}.yaml").write_text(text)


def test_what_used_to_be_found_late_or_never(repository: Repository) -> None:
    write_mistaken(repository)
    run = repository.doit("check")
    assert run.status == 1
    lines = run.output.splitlines()
    for name, (_, found) in ALONE.items():
        assert [line for line in lines if line.startswith(f"error: configs/{name}.yaml:") and found in line], (
            name,
            lines,
        )
    assert lines[-1] == f"{len(ALONE)} mistakes in {len(ALONE)} of {len(ALONE) + 1} targets"


def test_a_build_finds_before_it_compiles_that_pieces_make_no_whole(repository: Repository) -> None:
    write_mistaken(repository)
    for name in ALONE.keys() - {"reduced"}:
        (repository.root / f"configs/{name}.yaml").unlink()
    text = "N,h,w\n1,16,24\n1,24,40\n"
    (repository.root / "datasets/images.csv").write_text(text)
    path = repository.root / "configs/reduced.yaml"
    path.write_text(path.read_text().replace("datasets/images", "datasets/images.csv"))
    said = "configs/reduced.yaml: runtime.oversize: split cannot join answers: output 'y'"
    plan = repository.doit("plan", "bundle:reduced").output
    assert f"it will fail: {said}" in plan
    run = repository.doit("-n", "2", "--continue", "bundle:reduced")
    assert not run.ok
    assert f"buckets:reduced failed: {said}" in run.output
    assert run.compiled == []


def test_two_targets_with_one_output_are_refused(repository: Repository) -> None:
    repository.write_target("other", more="output: ./build/net\n")
    run = repository.doit("list")
    assert run.status != 0
    assert "configs/other.yaml: output: build/net is the output of configs/net.yaml as well" in run.output


def test_buckets_that_contain_no_sample_are_refused(repository: Repository) -> None:
    repository.write_target(sizes=[(8, 8)])
    run = repository.doit("-n", "2")
    assert not run.ok
    assert "no bucket contains any of the data set's samples" in run.output
    assert run.compiled == []


def test_what_may_be_an_oversight_is_a_note(repository: Repository) -> None:
    (repository.root / "configs/net.yaml").write_text("model: models/net.onnx\ncompile: {backend: onnxruntime}\n")
    run = repository.doit("check")
    assert run.ok, run.output
    assert run.output.splitlines() == ["note: net: no data set: MindOCR's default lists", "1 target: no mistake found"]


def test_sizes_that_nothing_tells_are_a_mistake(repository: Repository) -> None:
    text = "model: models/net.onnx\ninput_shape: {x: [-1, 3, seq, 8]}\ncompile: {backend: onnxruntime}\n"
    path = repository.root / "configs/net.yaml"
    path.write_text(text)
    run = repository.doit("check")
    said = "configs/net.yaml: dataset: there is neither a data set nor a default list for 'x_0'. Name a data set, or"
    assert said in run.output
    assert said in repository.doit().output
    path.write_text(text + "auto_scaling: {strategy: explicit, buckets: [{x_0: 1, seq: 8}]}\n")
    assert repository.doit("check").ok


def test_mistakes_that_keep_a_configuration_from_being_read_are_counted(repository: Repository) -> None:
    (repository.root / "configs/net.yaml").write_text("modl: models/net.onnx\ncompile: {backend: 3}\n")
    run = repository.doit("check")
    assert run.status == 1
    *told, last = run.output.splitlines()
    assert len(told) >= 2
    assert last == f"{len(told)} mistakes"


HIDDEN = """
runtime: {oversise: error, multiples: {HH: 8}}
verify: {metric: 'scoring:accurracy', dataset: nowhere, drop: -1}
output: .
"""


def test_a_wrong_key_hides_nothing_else_of_its_file(repository: Repository) -> None:
    """What comes of a wrong value alone is not told: the buckets of one are none, an input of another is unknown."""
    (repository.root / "scoring.py").write_text(SCORING)
    repository.write_target(more=HIDDEN)
    text = (repository.root / "configs/net.yaml").read_text()
    (repository.root / "configs/buckets.yaml").write_text(
        text.replace("buckets: [", "buckets: [3, ").replace(HIDDEN, "")
    )
    (repository.root / "configs/model.yaml").write_text(text.replace("model:", "modl:").replace(HIDDEN, ""))
    (repository.root / "configs/shape.yaml").write_text(text.replace(HIDDEN, "input_shape: {z: 3}\n"))
    run = repository.doit("check")
    lines = run.output.splitlines()
    expected = (
        "buckets.yaml:7: auto_scaling.buckets.0: 3 is a whole number",
        "model.yaml:2: modl: unknown key 'modl'",
        "net.yaml:11: runtime.oversise: unknown key 'oversise'",
        "net.yaml:11: runtime.multiples: 'HH' is no variable",
        "net.yaml:12: verify.drop: -1 is below 0",
        "net.yaml:12: verify.metric: scoring.py has no 'accurracy'",
        "net.yaml:12: verify.dataset: 'nowhere' is not there",
        "net.yaml:13: output: '.' is the repository itself",
        "shape.yaml:10: input_shape.z: 3 is a whole number",
    )
    for part in expected:
        assert [line for line in lines if line.startswith(f"error: configs/{part}")], (part, lines)
    assert lines[-1] == f"{len(expected)} mistakes"
    assert len(lines) == len(expected) + 1


def test_a_missing_toolchain_is_told_beside_what_does_not_load(repository: Repository) -> None:
    repository.write_target(more="runtime: {oversise: error}\n")
    repository.write_target("other", backend="atc\n  soc_version: Ascend310P3")
    assert "no CANN" in repository.doit("check").output
    assert "no CANN" not in repository.doit("list").output


BAD_DODO = {
    "no Python": ("x = (\n", "dodo.py:1: it is no Python ('(' was never closed)"),
    "no text": ("\0", "dodo.py: it is no Python"),
    "nothing to import": ("\nimport nowhere\n", "dodo.py:2: ModuleNotFoundError: No module named 'nowhere'"),
    "an error": ("def f():\n    1 / 0\nf()\n", "dodo.py:2: ZeroDivisionError"),
    "a missing file": ("open('nowhere')\n", "dodo.py:1: FileNotFoundError"),
    "wrong settings": ("DOIT_CONFIG = 3\n", "dodo.py: DOIT_CONFIG is 3, no mapping"),
    "a directory": (None, "dodo.py: it is no regular file"),
    "a link to nowhere": (Path("nowhere"), "Could not find dodo file"),
}


@pytest.mark.parametrize(("dodo", "said"), BAD_DODO.values(), ids=BAD_DODO)
def test_what_is_wrong_with_a_dodo_file_is_told_without_a_traceback(
    repository: Repository, dodo: str | Path | None, said: str
) -> None:
    (repository.root / "pyproject.toml").write_text('[tool.doit]\nloader = "scaling_tasks"\n')
    path = repository.root / "dodo.py"
    path.unlink()
    if dodo is None:
        path.mkdir()
    elif isinstance(dodo, Path):
        path.symlink_to(dodo)
    else:
        more = "from scaling_tasks.doit_plugin import load_tasks\nload_tasks(globals())\n"
        path.write_text(dodo + (more if "DOIT" in dodo else ""))
    run = repository.doit("list")
    assert run.status in (1, 3)
    assert run.output.lower().startswith("error: ")
    assert said in run.output
    assert "Traceback" not in run.output
