"""OpenVINO: one static IR per bucket, whose weights are the same bytes for every bucket."""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.compilers.base import BackendBase, backend_options, check_choice
from scaling_tasks.compilers.contract import Artefact, CompileJob, Engine, Tolerance
from scaling_tasks.compilers.environment import thread_count
from scaling_tasks.compilers.shared import shared_name
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.compilers.contract import Tensors

__all__ = ["OpenVinoBackend"]

_LAST_LINE = 400  # Bytes; more than a file name can have.
_PRECISIONS = ("FP32", "FP16")
_INFERENCE_PRECISIONS = ("f32", "bf16", "f16")


class OpenVinoBackend(BackendBase):
    """Reads the ONNX, reshapes it to the bucket and saves the IR (``.xml`` and ``.bin``).

    Options: ``precision``, in which weights are stored: ``FP32`` (default) or ``FP16``; ``inference_precision``, in
    which a CPU computes: ``f32`` (default), ``bf16`` or ``f16``, which OpenVINO ignores where the processor has no
    instructions for it; ``device``, on which artefacts are loaded: ``CPU`` (default) or any OpenVINO device name;
    ``blob`` (default false): also store what OpenVINO's plug-in makes of the IR, which loads in about half the time,
    without a second copy of the weights.

    The IR is byte-deterministic. Reshaping leaves the weights alone, so that all buckets have one ``.bin`` file, called
    after its content; the last line of each ``.xml`` says which.
    """

    name = "openvino"
    tolerance = Tolerance(absolute=1e-4, relative=1e-3)
    option_names = ("precision", "inference_precision", "device", "blob")

    def tolerance_for(self, options: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance for floats, or what rounding weights or computing in half precision costs."""
        if _inference_precision(options) == "bf16":  # Eight bits of mantissa: 0.4 % at every step.
            return Tolerance(absolute=1e-1, relative=1e-1)
        if _inference_precision(options) == "f16":
            return Tolerance(absolute=1e-2, relative=1e-2)
        return Tolerance(absolute=1e-2, relative=1e-2) if _precision(options) == "FP16" else self.tolerance

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse unknown options and precisions."""
        super().check(signature, options)
        check_choice(_precision(options), _PRECISIONS, where="compile.options.precision", kind="precision")
        where = "compile.options.inference_precision"
        check_choice(_inference_precision(options), _INFERENCE_PRECISIONS, where=where, kind="precision")

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return OpenVINO's version, read from its metadata without importing it."""
        try:
            return {"openvino": importlib.metadata.version("openvino")}
        except importlib.metadata.PackageNotFoundError as cause:
            raise CompileError(
                "OpenVINO is not installed", where="compile.backend", fix="Run `pip install openvino`."
            ) from cause

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Reshape and save."""
        import openvino

        (values,) = job.unit.values()
        try:
            model = openvino.Core().read_model(job.model)
            model.reshape({name: list(shape) for name, shape in job.signature.shapes(values).items()})
        except RuntimeError as cause:
            raise CompileError(_last_line(cause), where=str(job.model)) from cause
        _name_tensors(model)
        xml = workdir / f"{job.unit.stem}.xml"
        openvino.save_model(model, xml, compress_to_fp16=_precision(job.options) == "FP16")
        weights = xml.with_suffix(".bin")  # Empty or missing where the model has none.
        files = (xml, _call_after_content(xml, weights)) if weights.is_file() and weights.stat().st_size else (xml,)
        return Artefact((*files, _export(xml, job.options)) if _has_blob(job.options) else files)

    def load(self, path: Path, options: Mapping[str, Any]) -> Engine:
        """Compile the IR for the device."""
        return _OpenVinoEngine(path, options)


class _OpenVinoEngine:
    """An IR compiled for a device, with one inference request."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        import openvino

        core = openvino.Core()
        try:
            compiled = _import(core, path, options) or _compiled(core, path, options)
        except RuntimeError as cause:
            raise CompileError(f"does not load ({_last_line(cause)})", where=str(path)) from cause
        self._request = compiled.create_infer_request()
        self._outputs = tuple(port.get_any_name() for port in compiled.outputs)

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run at the bucket's shape."""
        results = self._request.infer(dict(inputs), share_inputs=True)
        return {name: results[index] for index, name in enumerate(self._outputs)}

    def close(self) -> None:
        """Release the request and with it the compiled model."""
        self._request = None


def _compiled(core: Any, path: Path, options: Mapping[str, Any]) -> Any:
    weights = _weights(path)
    model = core.read_model(path, weights) if weights else core.read_model(path)
    return core.compile_model(model, _device(options), _properties(options))


def _call_after_content(xml: Path, weights: Path) -> Path:
    """Give the weights a name that is the same for all buckets that have them, and note it in the IR."""
    named = weights.rename(shared_name(weights))
    with xml.open("ab") as file:
        file.write(f"<!-- weights: {named.name} -->\n".encode())
    return named


def _weights(xml: Path) -> Path | None:
    """Return the file that holds the weights of an IR, None where it has none."""
    with xml.open("rb") as file:
        file.seek(max(0, xml.stat().st_size - _LAST_LINE))
        named = re.search(rb"<!-- weights: ([^/\n]+) -->\n$", file.read())
    weights = xml.with_name(named[1].decode()) if named else xml.with_suffix(".bin")
    return weights if named or weights.is_file() else None


def _export(xml: Path, options: Mapping[str, Any]) -> Path:
    """Write the plug-in's form of the IR beside it; its weights stay in the ``.bin``."""
    import openvino

    exported = _compiled(openvino.Core(), xml, options).export_model()
    blob = xml.with_suffix(".blob")
    blob.write_bytes(exported if isinstance(exported, bytes) else exported.getvalue())
    return blob


def _import(core: Any, path: Path, options: Mapping[str, Any]) -> Any:
    """Return the compiled model out of the blob; None where there is none or it is of another OpenVINO."""
    blob = path.with_suffix(".blob")
    if not (_has_blob(options) and blob.is_file()):
        return None
    properties = _properties(options)
    if weights := _weights(path):
        properties["WEIGHTS_PATH"] = str(weights)
    with contextlib.suppress(RuntimeError):
        return core.import_model(blob.read_bytes(), _device(options), properties)
    return None


def _has_blob(options: Mapping[str, Any]) -> bool:
    return bool(backend_options(options).get("blob", False))


def _device(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("device", "CPU"))


def _properties(options: Mapping[str, Any]) -> dict[str, Any]:
    device = _device(options)
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        # Newer processors would silently compute in bfloat16.
        properties["INFERENCE_PRECISION_HINT"] = _inference_precision(options)
        # Fused subgraphs give wrong answers where an attention's length equals its number of heads: PP-OCRv4's
        # recogniser, eight heads, at width 64 (OpenVINO 2026.4: 0.1 off). They gain nothing measurable on that model.
        properties["SNIPPETS_MODE"] = "DISABLE"
        if threads := thread_count():
            properties["INFERENCE_NUM_THREADS"] = threads
            # Each compiled model would take the same first cores, and engines that run side by side would share them.
            properties["ENABLE_CPU_PINNING"] = False
    if _has_blob(options):
        properties["CACHE_MODE"] = "OPTIMIZE_SIZE"
    return properties


def _precision(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("precision", "FP32")).upper()


def _inference_precision(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("inference_precision", "f32")).lower()


def _name_tensors(model: Any) -> None:
    """Keep only the names of inputs and outputs, one each.

    A port may carry several, and the plug-in gives an output also the names of what it turns out to be the same as.
    The runtime would report an arbitrary one of them.
    """
    outputs = [port.node.friendly_name.split("/sink_port_")[0] for port in model.outputs]
    for node in model.get_ops():
        for port in node.outputs():
            port.get_tensor().set_names(set())
    for port in model.inputs:
        port.get_tensor().set_names({port.node.friendly_name})
    for port, name in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})


def _last_line(cause: Exception) -> str:
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1] if lines else type(cause).__name__
