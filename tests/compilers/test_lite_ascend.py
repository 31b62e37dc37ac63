"""The generated configuration for Ascend: as documented, and accepted by the real parser of MindSpore Lite."""

from __future__ import annotations

import itertools
import stat
from pathlib import Path

import pytest

from scaling_tasks.compilers.conformance_models import cleaned_case, image_case
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.lite import LiteBackend
from scaling_tasks.compilers.lite_config import ascend_config
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature, TensorSpec, name_dimensions

OPTIONS = {"backend": "lite", "device": "ascend", "soc_version": "Ascend310P3", "options": {}}
SOC = '[acl_init_options]\nge.socVersion="Ascend310P3"\n'

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
    units = LiteBackend().units("m", signature, buckets, options)
    return [CompileJob(model, signature, unit, options) for unit in units]


CONFIGS = [
    ([1, 3, 48, 320], [], {}, "[ascend_context]\ninput_format = NCHW\ninput_shape = x:[1,3,48,320]\n"),
    (
        [-1, 3, 48, 192],
        [(1,), (4,), (8,)],
        {},
        "[ascend_context]\ninput_format = NCHW\ninput_shape = x:[-1,3,48,192]\ndynamic_dims = [1],[4],[8]\n",
    ),
    (
        [1, 3, -1, -1],
        [(736, 1280), (768, 1280)],
        {},
        "[ascend_context]\ninput_format = NCHW\ninput_shape = x:[1,3,-1,-1]\ndynamic_dims = [736,1280],[768,1280]\n",
    ),
    (  # one side varies: the parser takes two, so that the other is repeated
        [1, 3, 48, -1],
        [(32,), (64,)],
        {"precision_mode": "enforce_fp32"},
        "[ascend_context]\ninput_format = NCHW\ninput_shape = x:[1,3,-1,-1]\ndynamic_dims = [48,32],[48,64]\n"
        "precision_mode = enforce_fp32\n",
    ),
    (
        [1, -1, -1, 3],
        [(64, 64), (64, 96)],
        {},
        "[ascend_context]\ninput_format = NHWC\ninput_shape = x:[1,-1,-1,3]\ndynamic_dims = [64,64],[64,96]\n",
    ),
    (
        [-1, 3, 48, -1],
        [(1, 320), (8, 320)],
        {"gears": "joint"},
        "[ascend_context]\ninput_format = NCHW\ninput_shape = x:[-1,3,48,320]\ndynamic_dims = [1],[8]\n",
    ),
    (
        [-1, 3, 48, -1],
        [(1, 32), (8, 320)],
        {"gears": "joint"},
        '[acl_build_options]\ninput_format="ND"\ninput_shape="x:-1,3,48,-1"\nge.dynamicDims="1,32;8,320"\n',
    ),
    (
        Signature((TensorSpec("ids", ("batch", "seq")), TensorSpec("mask", ("batch", "seq")))),
        [(1, 16), (2, 32)],
        {},
        '[acl_build_options]\ninput_format="ND"\ninput_shape="ids:-1,-1;mask:-1,-1"\n'
        'ge.dynamicDims="1,16,1,16;2,32,2,32"\n',
    ),
    (
        TOLD,
        [(64,), (320,)],
        {},
        '[acl_build_options]\ninput_format="ND"\ninput_shape="x:1,3,48,-1;st_valid_0:-1;st_ratio_0:1;st_valid_1:-1,-1"\n'
        'ge.dynamicDims="64,8,64,128;320,40,320,640"\n',
    ),
]


@pytest.mark.parametrize(("shape", "buckets", "own", "expected"), CONFIGS)
def test_the_configuration_is_as_documented(shape, buckets, own, expected: str):
    (job,) = jobs(shape, buckets, **own)
    assert ascend_config(job) == expected + SOC


def test_the_batch_is_baked_into_each_artefact_of_batch_and_size():
    texts = [ascend_config(job) for job in jobs([-1, 3, -1, -1], [(1, 64, 64), (1, 64, 96), (8, 64, 64), (8, 32, 64)])]
    assert ["input_shape = x:[1,3,-1,-1]" in texts[0], "input_shape = x:[8,3,-1,-1]" in texts[1]] == [True, True]
    assert "dynamic_dims = [32,64],[64,64]" in texts[1]


@pytest.fixture(scope="module")
def mindspore_lite():
    try:
        toolchain = find_toolchain("cpu")
    except CompileError as error:
        pytest.skip(str(error))
    if toolchain.python is None:
        pytest.skip("only converter_lite was found")


def failure(job: CompileJob, directory: Path) -> str:
    with pytest.raises(CompileError) as caught:
        run_job(job, directory / job.unit.name, log=directory / f"{job.unit.name}.log", timeout=100)
    return str(caught.value)


PARSED = [
    ([-1, 3, 16, 64], [(1,), (4,), (8,)], {}),
    ([1, 3, -1, -1], [(16, 64), (16, 96), (32, 32)], {}),
    ([1, 3, 16, -1], [(32,)], {"precision_mode": "preferred_fp32"}),
    ([-1, 3, 16, -1], [(1, 32), (1, 64), (4, 32), (4, 96)], {}),
    ([-1, 3, 16, -1], [(1, 32), (4, 96)], {"gears": "joint", "precision_mode": "enforce_fp16"}),
    ([1, 3, 16, 64], [], {}),
]


@pytest.mark.usefixtures("mindspore_lite")
@pytest.mark.parametrize(("shape", "buckets", "own"), PARSED)
def test_the_real_parser_accepts_the_configuration(shape, buckets, own, tmp_path: Path):
    # The parser runs before the platform's library is looked for: what fails is the library alone.
    for job in jobs(shape, buckets, image_case(tmp_path).model, **own):
        text = failure(job, tmp_path)
        assert "this machine has no CANN" in text
        assert "compile.device: cpu" in text
        log = (tmp_path / f"{job.unit.name}.log").read_text()
        assert "config_file_parser" not in log
        assert "config_infos" not in log


BAD = [
    "[ascend_context]\ninput_shape = x:[1,3,16,-1]\ndynamic_dims = [32],[64]\n",
    "[ascend_context]\ninput_shape = x:[1,3,-1,-1]\ndynamic_dims = [16,0],[16,64]\n",
    "[ascend_context]\ninput_shape = x:[1,3,-1,-1]\ndynamic_dims = [16],[32]\n",
]


@pytest.mark.usefixtures("mindspore_lite")
def test_the_real_parser_accepts_the_gears_of_a_cleaned_model(tmp_path: Path):
    case = cleaned_case(image_case(tmp_path), tmp_path)
    units = LiteBackend().units("m", case.original.signature, [(1, 32), (1, 64), (4, 32), (4, 64)], OPTIONS)
    assert [unit.stem for unit in units] == ["m_dynamic_bs1_hw", "m_dynamic_bs4_hw"]
    for unit in units:
        job = CompileJob(case.compiled.model, case.compiled.signature, unit, OPTIONS, behaviour=case.behaviour)
        batch = unit.buckets[0][0]
        assert f'input_shape="x:{batch},3,16,-1;st_valid_0:{batch},-1;st_ratio_0:{batch}"' in ascend_config(job)
        assert "this machine has no CANN" in failure(job, tmp_path)
        log = (tmp_path / f"{unit.name}.log").read_text()
        assert "config_file_parser" not in log
        assert "config_infos" not in log


def test_aipp_cannot_have_gears_of_a_cleaned_model():
    with pytest.raises(CompileError, match=r"insert_op_conf: excludes gears of several inputs.*padding: accept"):
        LiteBackend().check(TOLD, {**OPTIONS, "options": {"insert_op_conf": "a.cfg"}})


@pytest.mark.usefixtures("mindspore_lite")
@pytest.mark.parametrize("text", BAD)
def test_the_real_parser_refuses_a_bad_configuration_and_we_say_so(text: str, tmp_path: Path, outside_package: Path):
    write_sabotage(outside_package, text)
    (job,) = jobs([1, 3, 16, -1], [(32,), (64,)], image_case(tmp_path).model)
    message = failure(CompileJob(job.model, job.signature, job.unit, {**job.options, "backend": "bad"}), tmp_path)
    assert "MindSpore Lite refuses the configuration: " in message
    assert "CANN" not in message


def write_sabotage(package: Path, text: str) -> None:
    """Register a lite backend that writes the given configuration instead of its own."""
    (package / "bad_backend.py").write_text(
        "from scaling_tasks.compilers import lite\n"
        "class Bad(lite.LiteBackend):\n"
        "    def compile(self, job, workdir):\n"
        f"        lite.ascend_config = lambda job: {text!r}\n"
        "        return super().compile(job, workdir)\n"
    )
    (package / "faulty-1.0.dist-info" / "entry_points.txt").write_text(
        "[scaling_tasks.compilers]\nbad = bad_backend:Bad\n"
    )


FAKE_CONVERTER = """#!/bin/sh
write() {{
  for argument in "$@"; do case $argument in --outputFile=*) cp "{mindir}" "${{argument#*=}}.mindir";; esac; done
}}
for argument in "$@"; do echo "$argument" >> "{calls}"; done
case "{mode}" in
  good) write "$@"
        echo "CONVERT RESULT SUCCESS:0";;
  lying) write "$@"
        echo "[ERROR] LITE(1,2,tool):2023 [config_parser/config_file_parser.cc:206] SetDynParams] Do not support"
        echo "CONVERT RESULT SUCCESS:0";;
  silent) echo "CONVERT RESULT SUCCESS:0";;
  failing) echo "[ERROR] LITE(1,2,converter_lite):2023 [a/b.cc:1] Parse] unknown operator Foo"; exit 3;;
  dying) echo "[WARNING] ME(1,2,python):2023 [a/b.cc:1] Open] Open libnuma.so failed!"
         echo "CONVERT RESULT SUCCESS:0"; kill -SEGV $$;;
  ending) echo "cannot read the model"; echo "[WARNING] something"; exit 3;;
esac
"""


@pytest.fixture
def fake_converter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a converter_lite on PATH that behaves as told; return the file its arguments are written to."""
    calls, mindir = tmp_path / "calls", tmp_path / "ready.mindir"
    mindir.write_bytes(b"\x0a\x01a" + b"\x3a\x02gg" + b"\x62\x01z" + b"\x62\x01b")

    def install(mode: str) -> Path:
        tool = tmp_path / "bin" / "converter_lite"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(FAKE_CONVERTER.format(calls=calls, mindir=mindir, mode=mode))
        tool.chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", str(tool.parent), prepend=":")
        return calls

    from scaling_tasks.compilers import lite_toolchain
    from scaling_tasks.engines import lite_python

    for module in (lite_toolchain, lite_python):
        module._find.cache_clear()
    yield install
    for module in (lite_toolchain, lite_python):
        module._find.cache_clear()


def test_the_official_converter_is_driven_with_current_flags(fake_converter, tmp_path: Path):
    calls = fake_converter("good")
    (job,) = jobs([1, 3, 16, -1], [(32,), (64,)], image_case(tmp_path).model)
    (path,) = run_job(job, tmp_path / "w", log=tmp_path / "l.log", timeout=60).artefact.files
    arguments = calls.read_text().splitlines()
    assert path.name == "m_dynamic_hw.mindir"
    assert path.read_bytes().endswith(b"\x62\x01b\x62\x01z")  # primitives sorted
    assert "--optimize=ascend_oriented:310P3" in arguments
    assert "--fmk=ONNX" in arguments
    assert any(argument.startswith("--configFile=") for argument in arguments)
    assert not [argument for argument in arguments if argument.startswith(("--NoFusion", "--device"))]
    assert list(LiteBackend().identity(OPTIONS)) == ["converter_lite", "onnx"]


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("lying", "refuses the configuration: Do not support"),
        ("silent", "wrote no file"),
        ("failing", "MindSpore Lite failed: unknown operator Foo"),
        ("dying", "MindSpore Lite was killed by SIGSEGV. Log"),
        ("ending", "MindSpore Lite ended with status 3 (cannot read the model)"),
    ],
)
def test_the_converters_false_successes_are_caught(fake_converter, tmp_path: Path, mode: str, message: str):
    fake_converter(mode)
    (job,) = jobs([1, 3, 16, -1], [(32,), (64,)], image_case(tmp_path).model)
    assert message in failure(job, tmp_path)


@pytest.mark.parametrize(("soc", "flag"), [("Ascend310P3", "310P3"), ("Ascend910B4", "910b"), ("Ascend310", "310")])
def test_the_chip_follows_the_optimisation(fake_converter, tmp_path: Path, soc: str, flag: str):
    calls = fake_converter("good")
    (job,) = jobs([1, 3, 16, 32], [], image_case(tmp_path).model)
    job = CompileJob(job.model, job.signature, job.unit, {**job.options, "soc_version": soc})
    run_job(job, tmp_path / "w", log=tmp_path / "l.log", timeout=60)
    assert f"--optimize=ascend_oriented:{flag}" in calls.read_text().splitlines()


@pytest.mark.parametrize(
    "own",
    [{"gears": "jiont"}, {"precision_mode": "fp8"}, {"precison_mode": "enforce_fp16"}],
)
def test_wrong_options_are_named(own):
    ((key, value),) = own.items()
    with pytest.raises(CompileError) as caught:
        LiteBackend().check(name_dimensions({"x": [1, 3, -1, -1]}), {**OPTIONS, "options": own})
    assert key in str(caught.value)
    assert "Did you mean" in str(caught.value) or value in str(caught.value)


def test_a_wrong_device_is_named():
    with pytest.raises(CompileError, match=r"compile.device: 'gpu' is no device"):
        LiteBackend().check(name_dimensions({"x": [1, 3, -1, -1]}), {**OPTIONS, "device": "gpu"})


def test_every_set_of_varying_sides_gives_a_form_the_parser_documents():
    # N alone, or exactly two sides: nothing else may reach [ascend_context].
    for dims in itertools.product([1, -1], [32, -1], [64, -1]):
        shape = [dims[0], 3, dims[1], dims[2]]
        count = sum(dim == -1 for dim in dims)
        buckets = [(2,) * count, (4,) * count] if count else []
        for job in jobs(shape, buckets):
            lines = dict(line.split(" = ") for line in ascend_config(job).splitlines() if " = " in line)
            written = lines["input_shape"].partition(":")[2]
            assert written.count("-1") in (0, 1, 2)
            if written.count("-1") == 1:
                assert written.startswith("[-1,")
