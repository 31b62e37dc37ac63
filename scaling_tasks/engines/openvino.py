"""OpenVINO: an IR, or an ONNX model, compiled for a device."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.engines.contract import backend_options
from scaling_tasks.engines.openvino_numbers import first_beyond, most_kept
from scaling_tasks.engines.packages import PackageEngine
from scaling_tasks.engines.threads import thread_count
from scaling_tasks.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.engines.contract import Tensors

__all__ = [
    "ENGINE",
    "OpenVinoEngine",
    "blob_origin",
    "compiled_model",
    "has_blob",
    "inference_precision",
    "last_line",
]

_LOG = logging.getLogger(__name__)
_LAST_LINE = 400  # Bytes; more than a file name can have.
_TYPES = threading.Lock()


class OpenVinoEngine:
    """An IR compiled for a device, with one inference request."""

    def __init__(self, path: Path, options: Mapping[str, Any]) -> None:
        import openvino

        _fill_tables()
        core = openvino.Core()
        try:
            model = _read(core, path)
            # The plug-in gives an output also the names of what it turns out to be the same as; these are its own.
            self._outputs = tuple(port.get_any_name() for port in model.outputs)
            self._inputs = tuple(port.get_any_name() for port in model.inputs)
            self._most = most_kept(model)
            compiled = _import(core, path, options) or _compile(core, model, options)
        except RuntimeError as cause:
            raise EngineError(f"does not load ({last_line(cause)})", where=str(path)) from cause
        self._path, self._request = path, compiled.create_infer_request()

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run at the bucket's shape.

        Raises:
            EngineError: An input is missing; OpenVINO would take what happens to be in memory. Or one holds whole
                numbers that OpenVINO would take for others, see ``openvino_numbers``.
        """
        if len(inputs) < len(self._inputs):
            wanted, found = ", ".join(self._inputs), ", ".join(inputs)
            raise EngineError(f"inputs are {wanted}, not {found}", where=str(self._path))
        if beyond := first_beyond(self._most, inputs):
            what = f"input {beyond[0]!r} holds numbers beyond {beyond[1]}, which OpenVINO would take for others"
            raise EngineError(what, where=str(self._path), fix="Choose the backend `onnxruntime`.")
        results = self._request.infer(dict(inputs), share_inputs=True)
        return {name: results[index] for index, name in enumerate(self._outputs)}

    def close(self) -> None:
        """Release the request and with it the compiled model."""
        self._request = None


ENGINE = PackageEngine("openvino", OpenVinoEngine)


def _fill_tables() -> None:
    """Have OpenVINO fill its tables of element types, which it does when they are first needed.

    Two threads whose first requests come at once would wait for each other for ever: one fills a table and needs
    Python's lock for that, the other holds that lock and waits for the table (2026.4).
    """
    import numpy as np
    import openvino

    with _TYPES:
        openvino.Type.f32.to_dtype()
        openvino.Tensor(np.zeros(1, np.float32))


def compiled_model(core: Any, path: Path, options: Mapping[str, Any]) -> Any:
    """Return what an OpenVINO core makes of a file for the options' device."""
    return _compile(core, _read(core, path), options)


def _compile(core: Any, model: Any, options: Mapping[str, Any]) -> Any:
    """Compile a model, which may be changed on the way."""
    # Not above: listing tasks looks backends up, and must not load numpy.
    from scaling_tasks.engines.openvino_ends import clean_ends, keeps_channels_last

    device = _device(options)
    if keeps_channels_last(core, device) and not model.is_dynamic():
        clean_ends(model)
    return core.compile_model(model, device, _properties(options))


def _read(core: Any, path: Path) -> Any:
    weights = _weights(path)
    return core.read_model(path, weights) if weights else core.read_model(path)


def _weights(xml: Path) -> Path | None:
    """Return the file that holds the weights of an IR, whose last line names it; None where it has none."""
    with xml.open("rb") as file:
        file.seek(max(0, xml.stat().st_size - _LAST_LINE))
        named = re.search(rb"<!-- weights: ([^/\n]+) -->\n$", file.read())
    weights = xml.with_name(named[1].decode()) if named else xml.with_suffix(".bin")
    return weights if named or weights.is_file() else None


def _import(core: Any, path: Path, options: Mapping[str, Any]) -> Any:
    """Return the compiled model out of the blob; None where there is none or it is of another OpenVINO or processor."""
    blob = path.with_suffix(".blob")
    if not (has_blob(options) and blob.is_file()):
        return None
    properties = _properties(options)
    if weights := _weights(path):
        properties["WEIGHTS_PATH"] = str(weights)
    origin, _, content = blob.read_bytes().partition(b"\n")
    here = blob_origin(core, options)
    if origin + b"\n" != here:
        _LOG.warning(
            "%s is not loaded: it is of %s, and here is %s", blob, origin.decode(errors="replace"), here.decode()
        )
        return None
    try:
        return core.import_model(content, _device(options), properties)
    except RuntimeError as cause:
        _LOG.warning("%s is not loaded: %s", blob, last_line(cause))
        return None


def blob_origin(core: Any, options: Mapping[str, Any]) -> bytes:
    """Return the first line of a blob: which OpenVINO made it, and for which device and processor."""
    import openvino

    device = _device(options)
    made = {"openvino": openvino.__version__, "device": device, "name": core.get_property(device, "FULL_DEVICE_NAME")}
    return json.dumps(made, sort_keys=True).encode() + b"\n"


def has_blob(options: Mapping[str, Any]) -> bool:
    """Return whether what the plug-in makes of an IR is stored beside it."""
    return bool(backend_options(options).get("blob", False))


def inference_precision(options: Mapping[str, Any]) -> str:
    """Return the precision in which a CPU computes."""
    return str(backend_options(options).get("inference_precision", "f32")).lower()


def _device(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("device", "CPU"))


def _properties(options: Mapping[str, Any]) -> dict[str, Any]:
    device = _device(options)
    properties: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        # Newer processors would silently compute in bfloat16.
        properties["INFERENCE_PRECISION_HINT"] = inference_precision(options)
        # Fused subgraphs give wrong answers where an attention's length equals its number of heads: PP-OCRv4's
        # recogniser, eight heads, at width 64 (OpenVINO 2026.4: 0.1 off). They gain nothing measurable on that model.
        properties["SNIPPETS_MODE"] = "DISABLE"
        if threads := thread_count():
            properties["INFERENCE_NUM_THREADS"] = threads
            # Each compiled model would take the same first cores, and engines that run side by side would share them.
            properties["ENABLE_CPU_PINNING"] = False
    if has_blob(options):
        properties["CACHE_MODE"] = "OPTIMIZE_SIZE"
    return properties


def last_line(cause: Exception) -> str:
    """Return the last line of an OpenVINO error, which says what is wrong; those before say where in its source."""
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[-1] if lines else type(cause).__name__
