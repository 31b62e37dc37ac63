"""A backend in one file: the model with its shape fixed, compressed; run by onnxruntime.

A package registers it in its metadata, and ``compile: {backend: zipped}`` then finds it::

    [options.entry_points]
    scaling_tasks.compilers =
        zipped = zipped_backend:ZippedBackend
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.base import BackendBase, backend_options
from scaling_tasks.compilers.contract import Artefact, CompileJob
from scaling_tasks.errors import CompileError
from scaling_tasks.onnx_model.fixing import write_fixed_model
from scaling_tasks.onnx_model.reading import whole_model


class ZippedBackend(BackendBase):
    """Options: ``level``, how hard to compress (1 to 9)."""

    name = "zipped"
    option_names = ("level",)

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Whatever changes the artefact: the tool's version."""
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Runs in a process of its own: it may print, abort or hang, and writes below ``workdir`` only."""
        (values,) = job.unit.values()
        fixed = write_fixed_model(job.model, job.signature.shapes(values), workdir / "fixed.onnx")
        target = workdir / f"{job.unit.stem}.onnx.z"
        target.write_bytes(zlib.compress(whole_model(fixed), int(backend_options(job.options).get("level", 6))))
        return Artefact((target,))

    def load(self, path: Path, options: Mapping[str, Any]) -> Engine:
        """Called once after compiling, as proof that the artefact loads, and by whoever runs it."""
        return Engine(path)


class Engine:
    """Runs at exactly the shape that was compiled."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        try:
            model = zlib.decompress(path.read_bytes())
        except zlib.error as cause:
            raise CompileError(f"does not load ({cause})", where=str(path)) from cause
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the outputs by name."""
        names = [output.name for output in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def close(self) -> None:
        """Release what the engine holds."""
        del self._session
