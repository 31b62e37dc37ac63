"""OpenVINO: one static IR per bucket, whose weights are the same bytes for every bucket, or one IR for all buckets."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.base import BackendBase, backend_options, check_choice
from scaling_tasks.compilers.choices import wrong_choice
from scaling_tasks.compilers.contract import Artefact, CompileJob, Tolerance
from scaling_tasks.compilers.options import Annotated, Options, option
from scaling_tasks.compilers.shared import shared_name
from scaling_tasks.engines.openvino import blob_origin, compiled_model, has_blob, inference_precision, last_line
from scaling_tasks.errors import CompileError
from scaling_tasks.machine import processor, version_of
from scaling_tasks.shapes.signature import Signature

__all__ = ["OpenVinoBackend"]

_PRECISIONS = ("FP32", "FP16")
_INFERENCE_PRECISIONS = ("f32", "bf16", "f16")
_DEVICES = ("CPU", "GPU", "NPU", "AUTO", "MULTI", "HETERO", "BATCH")


class OpenVinoOptions(Options, frozen=True):
    """How OpenVINO stores weights and computes."""

    precision: Annotated[str, option("of the stored weights", *_PRECISIONS, *map(str.lower, _PRECISIONS))] = "FP32"
    inference_precision: Annotated[str, option("in which a CPU computes", *_INFERENCE_PRECISIONS)] = "f32"
    device: Annotated[str, option("on which artefacts are loaded: CPU, GPU, NPU, …")] = "CPU"
    blob: Annotated[bool, option("store what the plug-in makes of the model too, which loads faster")] = False
    dynamic: Annotated[bool, option("one IR for all buckets: ready sooner, in less memory, slower at small sizes")] = (
        False
    )


class OpenVinoBackend(BackendBase):
    """Reads the ONNX, reshapes it to the bucket and saves the IR (``.xml`` and ``.bin``).

    Options: ``precision``, in which weights are stored: ``FP32`` (default) or ``FP16``; ``inference_precision``, in
    which a CPU computes: ``f32`` (default), ``bf16`` or ``f16``, which OpenVINO ignores where the processor has no
    instructions for it; ``device``, on which artefacts are loaded: ``CPU`` (default) or any OpenVINO device name;
    ``blob`` (default false): also store what OpenVINO's plug-in makes of the IR, which loads in a third of the time,
    without a second copy of most weights. It suits the processor that compiles: on another, and with another OpenVINO,
    the IR beside it is loaded, and no results are shared with machines that have another. ``dynamic`` (default false):
    one IR that takes the sizes of all buckets, and so one engine, which holds the weights once and keeps what it
    prepares for each size.

    The IR is byte-deterministic. Reshaping leaves the weights alone, so that all buckets have one ``.bin`` file, called
    after its content; the last line of each ``.xml`` says which.
    """

    name = engine = "openvino"
    tolerance = Tolerance(absolute=1e-4, relative=1e-3)
    options_type = OpenVinoOptions

    def tolerance_for(self, options: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance for floats, or what rounding weights or computing in half precision costs."""
        if inference_precision(options) == "bf16":  # Eight bits of mantissa: 0.4 % at every step.
            return Tolerance(absolute=1e-1, relative=1e-1)
        if inference_precision(options) == "f16":
            return Tolerance(absolute=1e-2, relative=1e-2)
        return Tolerance(absolute=1e-2, relative=1e-2) if _precision(options) == "FP16" else self.tolerance

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse unknown options, precisions and devices."""
        super().check(signature, options)
        check_choice(_precision(options), _PRECISIONS, where="compile.options.precision", kind="precision")
        where = "compile.options.inference_precision"
        check_choice(inference_precision(options), _INFERENCE_PRECISIONS, where=where, kind="precision")
        _check_device(str(backend_options(options).get("device", "CPU")))

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return OpenVINO's version, read from its metadata without importing it, and the processor that blobs suit."""
        try:
            version = {"openvino": version_of("openvino")}
        except importlib.metadata.PackageNotFoundError as cause:
            raise CompileError(
                "OpenVINO is not installed", where="compile.backend", fix="Run `pip install openvino`."
            ) from cause
        return version | (processor() if has_blob(options) else {})

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Reshape and save."""
        import openvino

        from scaling_tasks.compilers.openvino_operators import readable_model

        shapes = [job.signature.shapes(values) for values in job.unit.values()]
        try:
            model = openvino.Core().read_model(readable_model(job, workdir))
            model.reshape({name: _span([shape[name] for shape in shapes]) for name in shapes[0]})
        except RuntimeError as cause:
            raise CompileError(last_line(cause), where=str(job.model)) from cause
        _name_tensors(model)
        _break_ties_as_onnx(model)
        xml = workdir / f"{job.unit.stem}.xml"
        openvino.save_model(model, xml, compress_to_fp16=_precision(job.options) == "FP16")
        weights = xml.with_suffix(".bin")  # Empty or missing where the model has none.
        files = (xml, _call_after_content(xml, weights)) if weights.is_file() and weights.stat().st_size else (xml,)
        return Artefact((*files, _export(xml, job.options)) if has_blob(job.options) else files)


def _check_device(device: str) -> None:
    """Refuse a device that OpenVINO has no plug-in for, here or on any machine.

    A device is written ``GPU.1``, a choice ``AUTO:GPU,-CPU``, with a batch ``BATCH:GPU(4)``.

    Raises:
        CompileError: Naming the devices there are.
    """
    for name in re.split("[:,]", device):
        plain = re.sub(r"\(\d+\)$|\.\w+$", "", name.removeprefix("-"))
        if plain not in _DEVICES and plain not in _registered():
            raise wrong_choice(name, _DEVICES, where="compile.options.device", kind="device of OpenVINO")


def _registered() -> list[str]:
    """Return the devices that the installation has been given plug-ins for, see OpenVINO's ``plugins.xml``."""
    found = importlib.util.find_spec("openvino")
    places = [Path(place) for place in (found.submodule_search_locations if found else None) or ()]
    texts = (file.read_text("utf-8", "replace") for place in places for file in sorted(place.rglob("plugins.xml")))
    return [name for text in texts for name in re.findall(r'<plugin\b[^>]*\bname="([^"]+)"', text)]


def _span(shapes: Sequence[Sequence[int]]) -> list[int | tuple[int, int]]:
    """Return each axis' size, or the least and the most where the shapes differ in it."""
    return [low if (low := min(sizes)) == (high := max(sizes)) else (low, high) for sizes in zip(*shapes, strict=True)]


def _call_after_content(xml: Path, weights: Path) -> Path:
    """Give the weights a name that is the same for all buckets that have them, and note it in the IR."""
    named = weights.rename(shared_name(weights))
    with xml.open("ab") as file:
        file.write(f"<!-- weights: {named.name} -->\n".encode())
    return named


def _export(xml: Path, options: Mapping[str, Any]) -> Path:
    """Write the plug-in's form of the IR beside it; its weights stay in the ``.bin``."""
    import openvino

    core = openvino.Core()
    exported = compiled_model(core, xml, options).export_model()
    blob = xml.with_suffix(".blob")
    content = exported if isinstance(exported, bytes) else exported.getvalue()
    blob.write_bytes(blob_origin(core, options) + content)
    return blob


def _precision(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("precision", "FP32")).upper()


def _break_ties_as_onnx(model: Any) -> None:
    """Let every sorted TopK, in branches and loops too, take the first of equal values, as ONNX's operator does.

    OpenVINO's reader leaves to the device which of them it takes.
    """
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind == "TopK" and node.get_attributes()["sort"] == "value":
            node.set_attribute("stable", True)
        elif kind == "If":
            _break_ties_as_onnx(node.get_then_body())
            _break_ties_as_onnx(node.get_else_body())
        elif kind in ("Loop", "TensorIterator"):
            _break_ties_as_onnx(node.get_function())


def _name_tensors(model: Any) -> None:
    """Keep only the ONNX names: a port may carry several, of which the runtime would report an arbitrary one."""
    for port in model.inputs:
        port.get_tensor().set_names({port.node.friendly_name})
    for port in model.outputs:
        port.get_tensor().set_names({port.node.friendly_name.split("/sink_port_")[0]})
