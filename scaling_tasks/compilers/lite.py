"""MindSpore Lite: static MindIR per bucket for the CPU, gears in one MindIR for Ascend."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.compilers import lite_converter
from scaling_tasks.compilers.base import BackendBase, backend_options, check_choice, is_dynamic
from scaling_tasks.compilers.contract import Artefact, CompileJob, Limits, Tolerance
from scaling_tasks.compilers.fixed_lengths import LONGEST, told_lengths
from scaling_tasks.compilers.gears import MOST_GEARS, gear_units
from scaling_tasks.compilers.lite_config import PRECISION_MODES, ascend_config
from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.compilers.mindir import check_mindir, sort_primitives
from scaling_tasks.compilers.options import UNSET, Annotated, Options, UnsetType, option
from scaling_tasks.compilers.tools import run_tool
from scaling_tasks.engines import lite_loader
from scaling_tasks.engines.lite_python import tool_environment
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.process_trees import status_text
from scaling_tasks.machine import versions
from scaling_tasks.onnx_model.tflite import write_fixed_tflite
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.shapes.unit import Unit

__all__ = ["LiteBackend"]

_FRAMEWORKS = {".onnx": "ONNX", ".tflite": "TFLITE"}
_SUCCESS = "CONVERT RESULT SUCCESS"
_NO_ERRORS = (
    r"IsConvNode\] prim is nullptr",
    r"CheckPattern\] activation type is not sigmoid",
    r"DetermineCertainVarInputFormat\] cannot get the real var input",
)
_PARSER = re.compile(r"config_file_parser|config_infos|INPUT ILLEGAL|INPUT INVALID")
_LOST = re.compile(r"InferSubgraph\] InferShape failed, name: (.*), type: (\w+)")
_UNKNOWN = re.compile(r"not support onnx data type|FindBackendKernel return nullptr")
_OTHERWISE = "Export the model without this operator, or choose another backend."
_NO_CANN = re.compile(r"acl_pass_plugin|create acl pass|libascendcl|libge_|libgraph\.so")


class LiteOptions(Options, frozen=True):
    """What MindSpore Lite makes, for the CPU or for Ascend."""

    dynamic: Annotated[bool, option("CPU: one MindIR for all sizes")] = False
    weight_fp16: Annotated[bool, option("CPU: store weights in half precision")] = False
    longest: LONGEST | UnsetType = UNSET
    gears: Annotated[str, option("Ascend: which gears share an artefact", "per_batch", "joint")] = "per_batch"
    precision_mode: Annotated[str, option("Ascend: how precisely it computes", *PRECISION_MODES)] | UnsetType = UNSET
    insert_op_conf: Annotated[str, option("Ascend: path of an AIPP file")] | UnsetType = UNSET


class LiteBackend(BackendBase):
    """Converts with MindSpore Lite, wherever it is found.

    ``device: cpu`` makes one static MindIR per bucket. Options: ``dynamic`` (true: one MindIR that takes any size) and
    ``weight_fp16``. ``longest`` says how long a result can get of which data decides the length.

    ``device: ascend`` makes MindOCR's artefacts with gears. Options: ``gears`` (``per_batch``, default, or ``joint``:
    N and sizes in one artefact), ``precision_mode`` and ``insert_op_conf`` (an AIPP file).
    """

    name = engine = "lite"
    tolerance = Tolerance(absolute=1e-4, relative=1e-3)
    options_type = LiteOptions
    file_options = ("insert_op_conf",)
    # The converter prints SUCCESS after errors in its configuration. What is left out here are optimisers that look
    # for something else before what they join, and find none: they leave it as it is.
    error_pattern = rf"\[ERROR\](?!.*({'|'.join(_NO_ERRORS)}))|^INPUT (ILLEGAL|INVALID)"

    def chip_settings(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the device, and for Ascend the chip."""
        return ("device", "soc_version") if _device(options) == "ascend" else ("device",)

    def limits(self, options: Mapping[str, Any]) -> Limits:
        """Return one bucket per unit for the CPU, or all in one, and 100 gears for Ascend."""
        return Limits(most_buckets=MOST_GEARS) if _device(options) == "ascend" else super().limits(options)

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse unknown options and values."""
        super().check(signature, options)
        own = backend_options(options)
        check_choice(_device(options), ("ascend", "cpu"), where="compile.device", kind="device")
        check_choice(_gears(options), ("per_batch", "joint"), where="compile.options.gears", kind="way to group gears")
        if "precision_mode" in own:
            where = "compile.options.precision_mode"
            check_choice(own["precision_mode"], PRECISION_MODES, where=where, kind="precision mode")
        halves = [each for each in signature.inputs if each.dtype in ("float16", "float64")]
        if _device(options) == "cpu" and halves:
            raise CompileError(
                f"MindSpore Lite takes the input {halves[0].name!r} of {halves[0].dtype} for one of float32",
                where="compile.backend",
                fix="Export the model in float32, or choose another backend.",
            )
        if "insert_op_conf" in own and len(signature.inputs) > 1 and signature.variables:
            raise CompileError(
                "excludes gears of several inputs, which a model needs that is told exact sizes",
                where="compile.options.insert_op_conf",
                fix="Leave it out, or accept padding with `runtime: {padding: accept}`.",
            )

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return the version of the package, or the digest of the converter, and of what prepares models for it."""
        tools = ("onnx", "onnxruntime", "flatbuffers") if _device(options) == "cpu" else ("onnx",)
        return find_toolchain(_device(options)).identity() | versions(*tools)

    def input_files(self, options: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return the AIPP file."""
        given = backend_options(options).get("insert_op_conf")
        return () if given is None else (Path(given),)

    def units(
        self, model_stem: str, signature: Signature, buckets: Sequence[Sequence[int]], options: Mapping[str, Any]
    ) -> tuple[Unit, ...]:
        """Return one unit per bucket for the CPU, MindOCR's artefacts for Ascend."""
        if _device(options) == "ascend":
            return gear_units(model_stem, signature, buckets, joint=_gears(options) == "joint")
        return super().units(model_stem, signature, buckets, options)

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Convert with the converter that was found, or under the Python, in which a CPU's artefact is loaded too."""
        device = _device(job.options)
        toolchain = find_toolchain(device)
        loads = device == "cpu" and toolchain.converter is None
        request = _request(job, workdir) | {"load": lite_loader.__file__ if loads else ""}
        path = workdir / f"{job.unit.stem}.mindir"

        def load(line: str) -> str:
            # An empty line ends the process; what is wrong then is said below.
            return f"{path if _finish(path) else ''}\n" if line.endswith(lite_converter.CONVERTED) else ""

        if toolchain.converter is not None:
            command = converter_command(toolchain.converter, request)
        else:
            request_file = workdir / "request.json"
            request_file.write_text(json.dumps(request), encoding="utf-8")
            command = [str(toolchain.python), lite_converter.__file__, "convert", str(request_file)]
        status, output = run_tool(command, environment=tool_environment(device), reply=load)
        _refuse(status, output, job)
        if not (path.is_file() if loads else _finish(path)):
            raise CompileError("MindSpore Lite ended without error but wrote no file", where=str(path))
        return told_lengths(Artefact((path,)))

    def accept(self, artefact: Artefact, options: Mapping[str, Any]) -> None:
        """Check that it is whole: for the CPU it was loaded, and an Ascend artefact loads on an NPU only."""
        check_mindir(artefact.files[0])


def converter_command(converter: Path, request: Mapping[str, Any]) -> list[str]:
    """Return the ``converter_lite`` call that equals a request to the worker; current flags only."""
    command = [
        str(converter),
        f"--fmk={request['framework']}",
        f"--modelFile={request['model']}",
        f"--outputFile={request['output']}",
        "--saveType=MINDIR",
        f"--optimize={request['optimize']}",
    ]
    if request["input_shape"]:
        shapes = (f"{name}:{','.join(map(str, dims))}" for name, dims in request["input_shape"].items())
        command.append(f"--inputShape={';'.join(shapes)}")
    if request["config_file"]:
        command.append(f"--configFile={request['config_file']}")
    if request.get("weight_fp16"):
        command.append("--fp16=on")
    return command


def _request(job: CompileJob, workdir: Path) -> dict[str, Any]:
    # Not above: listing tasks looks backends up, and must not load numpy.
    from scaling_tasks.compilers.lite_rewrite import importable_model, static_model

    framework = _FRAMEWORKS.get(job.model.suffix)
    if framework is None:
        raise CompileError("is neither .onnx nor .tflite", where=str(job.model), fix="Check `model`.")
    static = _device(job.options) == "cpu" and len(job.unit.buckets) == 1 and not is_dynamic(job.options)
    folded = static and framework == "ONNX"
    request: dict[str, Any] = {
        "model": str(static_model(job, workdir) if folded else importable_model(job, workdir)),
        "framework": framework,
        "output": str(workdir / job.unit.stem),
        "weight_fp16": bool(backend_options(job.options).get("weight_fp16", False)),
        "input_shape": {},
        "config_file": "",
        "optimize": "general",
    }
    if _device(job.options) == "ascend":
        config = workdir / f"{job.unit.stem}.config.txt"
        config.write_text(ascend_config(job), encoding="utf-8")
        return request | {"optimize": _ascend_optimize(job.options), "config_file": str(config)}
    if static and not folded:
        (values,) = job.unit.values()
        shapes = job.signature.shapes(values)
        # The importer looks at the shapes in the file, which stand for one where the signature is open.
        fixed = write_fixed_tflite(job.model, shapes, workdir / f"{job.unit.stem}.fixed.tflite")
        request |= {"model": str(fixed), "input_shape": {name: list(shape) for name, shape in shapes.items()}}
    return request


def _finish(path: Path) -> bool:
    """Bring what the converter wrote into its final form; return whether it wrote anything.

    Raises:
        CompileError: The file is no whole MindIR.
    """
    if not path.is_file():
        return False
    path.chmod(0o644)
    sort_primitives(path)
    return True


def _ascend_optimize(options: Mapping[str, Any]) -> str:
    """Return the optimisation with the chip after the colon; all chips of the 910B series are called ``910b``."""
    chip = str(options.get("soc_version", "")).removeprefix("Ascend")
    if chip.lower().startswith("910b"):
        chip = "910b"
    return f"ascend_oriented:{chip}" if chip else "ascend_oriented"


def _refuse(status: int, output: str, job: CompileJob) -> None:
    """Raise what the converter's output says, most telling first."""
    errors = [line for line in output.splitlines() if re.search(LiteBackend.error_pattern, line)]
    if refused := [line for line in errors if _PARSER.search(line)]:
        raise CompileError(f"MindSpore Lite refuses the configuration: {_message(refused[0])}", where=job.unit.stem)
    if _device(job.options) == "ascend" and any(_NO_CANN.search(line) for line in errors):
        raise CompileError(
            "this machine has no CANN, which MindSpore Lite needs to compile for Ascend",
            where="compile.device",
            fix="Build on a machine with CANN, or set `compile.device: cpu`.",
        )
    if lost := _LOST.search(output):
        raise CompileError(
            f"MindSpore Lite finds no shape for what the {lost[2]} {lost[1]!r} gives, or for what it takes",
            where=str(job.model),
            fix=_OTHERWISE,
        )
    if errors:
        unknown = any(_UNKNOWN.search(line) for line in errors)
        fix = _OTHERWISE if unknown else "Export the model otherwise, or choose another backend."
        raise CompileError(f"MindSpore Lite failed: {_message(errors[0])}", where=str(job.model), fix=fix)
    if status != 0:
        raise CompileError(f"MindSpore Lite {status_text(status)}{_last_words(output)}", where=str(job.model))


def _last_words(output: str) -> str:
    """Return the last line that says why, if any does: after warnings and its own word of success it just died."""
    lines = [line for line in output.splitlines() if line.strip() and "[WARNING]" not in line]
    last = lines[-1].strip() if lines else ""
    said = last and not last.startswith(_SUCCESS) and f"{last}\n" != lite_converter.CONVERTED
    return f" ({last})" if said else ""


def _message(line: str) -> str:
    """Return a log line without its time stamp, process id and source position."""
    found = re.search(r"\[ERROR\][^\[]*\[[^\]]*\]\s*\w+\]\s*(.*)", line)
    return (found[1] if found else line).strip().rstrip(".")


def _device(options: Mapping[str, Any]) -> str:
    return str(options.get("device", "ascend"))


def _gears(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("gears", "per_batch"))
