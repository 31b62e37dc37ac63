"""ATC: exact commands, documented exclusions, and compiling on another machine; `atc` itself is played by a script."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from scaling_tasks.compilers.atc import AtcBackend
from scaling_tasks.compilers.atc_command import atc_arguments
from scaling_tasks.compilers.atc_export import export_commands
from scaling_tasks.compilers.conformance_models import cleaned_case, corner_case, image_case, transformer_case
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature, TensorSpec, name_dimensions

OPTIONS = {"backend": "atc", "device": "ascend", "soc_version": "Ascend310P3"}

TOLD = Signature(
    (
        TensorSpec("x", (1, 3, 48, "W")),
        TensorSpec("st_valid_0", (("//", ("+", "W", 3), 8),)),
        TensorSpec("st_ratio_0", (1,)),
        TensorSpec("st_valid_1", ("W", ("*", "W", 2))),
    )
)
"""Inputs of a cleaned model: dimensions that follow from the width, and one that never changes."""


def jobs(shape, buckets, model: Path = Path("m.onnx"), **own):
    options = {**OPTIONS, "options": own}
    signature = shape if isinstance(shape, Signature) else name_dimensions({"x": shape})
    backend = AtcBackend()
    backend.check(signature, options)
    units = backend.units("m", signature, buckets, options)
    return [CompileJob(model, signature, unit, options) for unit in units]


COMMANDS = [
    ([1, 3, 48, 320], [], {}, "--input_format=ND --input_shape=x:1,3,48,320"),
    ([1, 3, 48, 320], [], {"insert_op_conf": "a.cfg"}, "--input_format=NCHW --input_shape=x:1,3,48,320"),
    (
        [-1, 3, 48, 320],
        [(1,), (8,)],
        {},
        "--input_format=ND --input_shape=x:-1,3,48,320 --dynamic_dims=1;8",
    ),
    (
        [-1, 3, 48, 320],
        [(1,), (8,)],
        {"gears": "dynamic_batch_size"},
        "--input_format=NCHW --input_shape=x:-1,3,48,320 --dynamic_batch_size=1,8",
    ),
    (
        [1, 3, 48, -1],
        [(160,), (320,)],
        {},
        "--input_format=ND --input_shape=x:1,3,48,-1 --dynamic_dims=160;320",
    ),
    (  # dynamic_image_size needs both sides open
        [1, 3, 48, -1],
        [(160,), (320,)],
        {"gears": "dynamic_image_size"},
        "--input_format=NCHW --input_shape=x:1,3,-1,-1 --dynamic_image_size=48,160;48,320",
    ),
    (
        [1, -1, -1, 3],
        [(64, 64), (64, 96)],
        {"insert_op_conf": "a.cfg"},
        "--input_format=NHWC --input_shape=x:1,-1,-1,3 --dynamic_image_size=64,64;64,96",
    ),
    (
        [-1, 3, 48, -1],
        [(1, 160), (8, 320)],
        {"joint": True},
        "--input_format=ND --input_shape=x:-1,3,48,-1 --dynamic_dims=1,160;8,320",
    ),
    (
        Signature((TensorSpec("ids", ("batch", "seq")), TensorSpec("mask", ("batch", "seq")))),
        [(1, 16), (1, 32)],
        {},
        "--input_format=ND --input_shape=ids:1,-1;mask:1,-1 --dynamic_dims=16,16;32,32",
    ),
    (
        TOLD,
        [(64,), (320,)],
        {},
        "--input_format=ND --input_shape=x:1,3,48,-1;st_valid_0:-1;st_ratio_0:1;st_valid_1:-1,-1 "
        "--dynamic_dims=64,8,64,128;320,40,320,640",
    ),
]


@pytest.mark.parametrize(("shape", "buckets", "own", "expected"), COMMANDS)
def test_the_command_is_exact(shape, buckets, own, expected: str):
    (job,) = jobs(shape, buckets, **own)
    arguments = [text for text in atc_arguments(job, "m.onnx", "out/m") if "insert_op_conf" not in text]
    head = ["--framework=5", "--model=m.onnx", "--output=out/m", "--soc_version=Ascend310P3"]
    assert arguments == [*head, *expected.split(" "), "--log=error"]


@pytest.mark.parametrize("make", [image_case, transformer_case, corner_case])
def test_gears_of_cleaned_models_keep_the_rules_of_the_graph_engine(make, tmp_path: Path):
    """Format ND, 1 to 4 dimensions per input, and in every gear one number for each -1."""
    case = cleaned_case(make(tmp_path), tmp_path)
    for job in jobs(case.compiled.signature, case.compiled.buckets):
        arguments = dict(text.removeprefix("--").split("=", 1) for text in atc_arguments(job, "m", "o"))
        assert arguments["input_format"] == "ND"
        shapes = [text.partition(":")[2].split(",") for text in arguments["input_shape"].split(";")]
        assert all(1 <= len(shape) <= 4 for shape in shapes)
        gears = [gear.split(",") for gear in arguments["dynamic_dims"].split(";")]
        assert {len(gear) for gear in gears} == {sum(shape.count("-1") for shape in shapes)}
        assert len(gears) == len(set(map(tuple, gears))) >= 2
        for gear, bucket in zip(gears, job.unit.values(), strict=True):
            filled = [[int(gear.pop(0)) if size == "-1" else int(size) for size in shape] for shape in shapes]
            assert filled == [list(shape) for shape in job.signature.shapes(bucket).values()]


def test_aipp_and_image_gears_are_refused_for_a_cleaned_model():
    with pytest.raises(CompileError, match=r"`insert_op_conf` excludes dynamic_dims.*padding: accept"):
        jobs(TOLD, [(64,), (320,)], insert_op_conf="a.cfg")
    with pytest.raises(CompileError, match=r"dynamic_image_size cannot vary \['W'\].*padding: accept"):
        jobs(TOLD, [(64,), (320,)], gears="dynamic_image_size")


def test_batch_and_size_are_one_artefact_per_batch():
    found = [atc_arguments(job, "m", "o") for job in jobs([-1, 3, 48, -1], [(1, 160), (1, 320), (8, 160), (8, 320)])]
    assert [next(text for text in each if "input_shape" in text) for each in found] == [
        "--input_shape=x:1,3,48,-1",
        "--input_shape=x:8,3,48,-1",
    ]


def test_further_arguments_and_precision_are_passed_on():
    (job,) = jobs([1, 3, 48, 320], [], precision_mode="force_fp32", arguments={"log": "info", "--op_debug_level": 1})
    arguments = atc_arguments(job, "m", "o")
    assert {"--precision_mode=force_fp32", "--log=info", "--op_debug_level=1"} <= set(arguments)


@pytest.mark.parametrize(
    ("shape", "own", "message"),
    [
        ([1, 3, 48, -1], {"gears": "dynamic_batch_size"}, r"gears: dynamic_batch_size cannot vary \['W'\]"),
        ([-1, 3, 48, -1], {"gears": "dynamic_image_size"}, r"gears: dynamic_image_size cannot vary"),
        ([1, 3, 48, -1], {"gears": "dynamic_dims", "insert_op_conf": "a"}, r"`insert_op_conf` excludes dynamic_dims"),
        ([1, 3, 48, -1], {"precision_mode": "force_fp16", "precision_mode_v2": "fp16"}, r"excludes `precision_mode`"),
        ([1, 3, 48, -1], {"precision_mode": "fp16"}, r"precision_mode: 'fp16' is no precision mode.*force_fp16"),
        ([1, 3, 48, -1], {"arguments": {"input_shape_range": "x"}}, r"arguments\.input_shape_range"),
        ([1, 3, 48, -1], {"arguments": {"--dynamic_dims": "x"}}, r"arguments\.--dynamic_dims"),
        ([1, 3, 48, -1], {"geers": "auto"}, r"'geers' is no option of atc\. Did you mean 'gears'"),
    ],
)
def test_what_atc_refuses_is_refused_before(shape, own, message: str):
    with pytest.raises(CompileError, match=message):
        jobs(shape, [(32,) * shape.count(-1)], **own)


@pytest.mark.parametrize(
    "soc", ["Ascend310", "Ascend310P1", "Ascend310B4", "Ascend910B2C", "Ascend910_9392", "Ascend610"]
)
def test_every_chip_is_taken(soc: str):
    AtcBackend().check(name_dimensions({"x": [1, 3, 48, -1]}), {**OPTIONS, "soc_version": soc})


def test_something_else_is_no_chip():
    with pytest.raises(CompileError, match=r"compile.soc_version: 'K230' is no Ascend chip"):
        AtcBackend().check(name_dimensions({"x": [1, 3, 48, -1]}), {**OPTIONS, "soc_version": "K230"})


def test_gears_of_batch_and_size_cannot_have_aipp():
    (job,) = jobs([-1, 3, 48, -1], [(1, 160), (8, 320)], joint=True, insert_op_conf="a.cfg")
    with pytest.raises(CompileError, match="excludes gears of batch and size in one artefact"):
        atc_arguments(job, "m", "o")


FAKE_ATC = """#!/bin/sh
for argument in "$@"; do
  case $argument in --output=*) output=${{argument#*=}};; --model=*) model=${{argument#*=}};; esac
done
[ -f "$model" ] || {{ echo "E10001: no model $model"; exit 1; }}
case "{mode}" in
  good) printf 'IMOD of %s' "$*" > "$output.om"; echo "ATC run success, welcome to the next use.";;
  newer) printf 'IMODnewer' > "${{output}}_linux_x86_64.om";;
  wrong_header) printf 'nothing' > "$output.om";;
  lying) printf 'IMOD' > "$output.om"; echo "E10036: The number of gears is beyond 100"; echo "ATC run failed";;
  failing) echo "E10016: Opname [x] is wrong"; echo "ATC run failed, please check"; exit 255;;
esac
"""


@pytest.fixture
def fake_atc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def install(mode: str) -> None:
        tool = tmp_path / "bin" / "atc"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(FAKE_ATC.format(mode=mode))
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tool.parent), prepend=":")

    return install


def compile_one(directory: Path, **own):
    (job,) = jobs([1, 3, 16, -1], [(32,), (64,)], image_case(directory).model, **own)
    return run_job(job, directory / "work", log=directory / "m.log", timeout=60).artefact.files


@pytest.mark.parametrize("mode", ["good", "newer"])
def test_what_atc_makes_is_accepted_under_its_plain_name(fake_atc, tmp_path: Path, mode: str):
    fake_atc(mode)
    (path,) = compile_one(tmp_path)
    assert path.name == "m_dynamic_hw.om"
    assert path.read_bytes().startswith(b"IMOD")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("wrong_header", r"m_dynamic_hw\.om: is no offline model"),
        ("lying", r"atc failed: E10036: The number of gears"),
        ("failing", r"atc failed: E10016: Opname"),
    ],
)
def test_failures_say_what_atc_said(fake_atc, tmp_path: Path, mode: str, message: str):
    fake_atc(mode)
    with pytest.raises(CompileError, match=message):
        compile_one(tmp_path)


def test_a_machine_without_cann_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompileError, match=r"no CANN: `atc` was not found.*set_env\.sh.*adopt"):
        AtcBackend().identity(OPTIONS)


def test_commands_are_exported_run_elsewhere_and_adopted(fake_atc, tmp_path: Path):
    model = image_case(tmp_path).model
    planned = jobs([-1, 3, 16, -1], [(1, 32), (1, 64), (4, 32), (4, 64)], model)
    script = tmp_path / "export" / "compile.sh"
    script.parent.mkdir()
    assert export_commands(planned, script)
    assert not export_commands(planned, script)  # written only when it changes
    assert str(tmp_path) not in script.read_text()
    fake_atc("good")
    done = subprocess.run([str(script)], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    results = script.parent / "results"
    adopting = jobs([-1, 3, 16, -1], [(1, 32), (1, 64), (4, 32), (4, 64)], model, adopt=str(results))
    assert list(AtcBackend().identity(adopting[0].options)) == ["atc"]
    for job in adopting:
        (path,) = run_job(job, tmp_path / job.unit.name, log=tmp_path / "a.log", timeout=60).artefact.files
        assert path.read_bytes() == (results / f"{job.unit.stem}.om").read_bytes()
        assert f"--input_shape=x:{job.unit.buckets[0][0]},3,16,-1".encode() in path.read_bytes()


def exported(tmp_path: Path, fake_atc, mode: str = "good"):
    model = image_case(tmp_path).model
    script = tmp_path / "compile.sh"
    export_commands(jobs([1, 3, 16, -1], [(32,), (64,)], model), script)
    fake_atc(mode)
    done = subprocess.run([str(script)], capture_output=True, text=True)
    (job,) = jobs([1, 3, 16, -1], [(32,), (64,)], model, adopt=str(tmp_path / "results"))
    return done, job, model


def adopt(job: CompileJob, directory: Path) -> None:
    run_job(job, directory / "work", log=directory / "a.log", timeout=60)


def test_a_failure_elsewhere_is_reported_there_and_leaves_nothing_to_adopt(fake_atc, tmp_path: Path):
    done, job, _ = exported(tmp_path, fake_atc, "failing")
    assert done.returncode == 1
    assert "m_dynamic_hw: failed, see results/m_dynamic_hw.log" in done.stderr
    with pytest.raises(CompileError, match=r"m_dynamic_hw\.json: cannot be read.*Run the exported script"):
        adopt(job, tmp_path)
    with pytest.raises(CompileError, match="holds no results"):
        AtcBackend().identity(job.options)


def test_results_for_another_model_are_not_adopted(fake_atc, tmp_path: Path):
    _, job, model = exported(tmp_path, fake_atc)
    model.write_bytes(model.read_bytes() + b"\x12\x00")
    with pytest.raises(CompileError, match="was made for another model"):
        adopt(job, tmp_path)
    done = subprocess.run([str(tmp_path / "compile.sh")], capture_output=True, text=True)
    assert "is not the model these commands were made for" in done.stderr


def test_results_of_other_arguments_are_not_adopted(fake_atc, tmp_path: Path):
    _, job, model = exported(tmp_path, fake_atc)
    (other,) = jobs([1, 3, 16, -1], [(32,), (96,)], model, adopt=job.options["options"]["adopt"])
    with pytest.raises(CompileError, match="was made for other arguments"):
        adopt(other, tmp_path)


def test_results_that_were_changed_are_not_adopted(fake_atc, tmp_path: Path):
    _, job, _ = exported(tmp_path, fake_atc)
    (tmp_path / "results" / "m_dynamic_hw.om").write_bytes(b"IMODxxx")
    with pytest.raises(CompileError, match="was made for another file than it is now"):
        adopt(job, tmp_path)
    assert json.loads((tmp_path / "results" / "m_dynamic_hw.json").read_text())["atc"]
