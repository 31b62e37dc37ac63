"""What earlier runs found of a model, so that a run of hours that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

from benchmarks.zoo.bucketed import backend_options
from benchmarks.zoo.model import ZooModel
from benchmarks.zoo.verdict import Cell, Row, compare, judge
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.files import digest_bytes, publish
from scaling_tasks.machine import versions
from scaling_tasks.shapes.behaviour import Verdict

__all__ = ["Findings"]

_ROOT = Path(__file__).parents[2]
_CODE = ("benchmarks/zoo", "scaling_tasks")


class Findings:
    """Judges models, or says what an earlier run of the same code found.

    Args:
        directory: Where findings are kept.
        sizes: Random sizes per model.
        patience: Seconds after which a backend is asked no more of them.
    """

    def __init__(self, directory: Path, sizes: int, patience: float) -> None:
        self._directory, self._sizes, self._patience = directory, sizes, patience

    def row(self, model: ZooModel, backends: list[str]) -> Row:
        """Return what is found of a model with each of the backends."""
        model_key = digest_bytes(model.build().SerializeToString(deterministic=True))
        key = {"code": code(), "model": model_key, "name": model.name, "sizes": self._sizes}
        kept = self._kept(key)
        if kept is None:
            row = judge(model, self._sizes)
            found = {each.name: getattr(row, each.name) for each in dataclasses.fields(row)}
            del found["model"], found["cells"]
            self._keep(key, {**found, "verdicts": [dataclasses.asdict(each) for each in row.verdicts]})
        else:
            row = Row(model, **{**kept, "verdicts": tuple(Verdict(**each) for each in kept["verdicts"])})
        if row.problem:
            return row
        cells = (self._cell(row, backend, key) for backend in backends)
        return dataclasses.replace(row, cells=tuple(cell for cell in cells if cell is not None))

    def _cell(self, row: Row, backend: str, key: dict[str, Any]) -> Cell | None:
        toolchain = get_backend(backend).identity(backend_options(backend))
        key = {**key, "backend": backend, "toolchain": toolchain, "patience": self._patience}
        kept = self._kept(key)
        if kept is None:
            cell = compare(row, backend, self._sizes, self._patience)
            self._keep(key, {"cell": cell and dataclasses.asdict(cell)})
            return cell
        return Cell(**kept["cell"]) if kept["cell"] else None

    def _kept(self, key: dict[str, Any]) -> dict[str, Any] | None:
        try:
            return dict(json.loads(self._file(key).read_bytes()))
        except (OSError, ValueError):
            return None

    def _keep(self, key: dict[str, Any], found: dict[str, Any]) -> None:
        with publish(self._file(key), below=self._directory) as temporary:
            temporary.write_text(json.dumps(found), encoding="utf-8")  # Python's own JSON, which has infinity.

    def _file(self, key: dict[str, Any]) -> Path:
        return self._directory / f"{digest_bytes(json.dumps(key, sort_keys=True).encode())}.json"


@functools.cache
def code() -> str:
    """Return a digest of all code that a finding may depend on, and of what runs the originals."""
    files = sorted(path for place in _CODE for path in (_ROOT / place).rglob("*.py"))
    content = b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in files)
    return digest_bytes(content + repr(versions("onnx", "onnxruntime", "numpy")).encode())
