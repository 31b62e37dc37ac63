"""A bundle whose engines are a few lines of numpy: strict about shapes as a static compiler, exactly predictable."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from scaling_tasks.files import digest_file
from scaling_tasks.runtime.manifest import ArtefactFile, Manifest, make_manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.behaviour import Behaviour, plain_layouts
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

SIGNATURE = ModelSignature(
    Signature((TensorSpec("x", ("N", 3, "W"), "float32"),)),
    (TensorSpec("y", ("N", "y_1"), "float32"), TensorSpec("top", ("N",), "float32")),
)
LAYOUTS = plain_layouts({"y": ("N", ("//", ("+", "W", 3), 4)), "top": ("N",)})


def expected(x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """What the model gives: sums of every fourth column, and the first element."""
    return {"y": x.sum(axis=1)[:, ::4], "top": x[:, 0, 0].copy()}


class FakeEngine:
    """Runs at its bucket only, and by one thread at a time."""

    def __init__(self, log: EngineLog, shape: tuple[int, ...]) -> None:
        self.log, self.shape, self.closed, self.busy = log, shape, False, threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        assert not self.closed
        assert self.busy.acquire(blocking=False), "two threads in one engine"
        try:
            x = inputs["x"]
            assert x.shape == self.shape, (x.shape, self.shape)
            assert x.flags.c_contiguous
            self.log.runs.append(self.shape)
            self.log.last = x.copy()
            if self.log.failures:
                raise self.log.failures.pop()
            return expected(x)
        finally:
            self.busy.release()

    def close(self) -> None:
        self.closed = True
        self.log.closed += 1


class EngineLog:
    """What the engines of one bundle did."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, ...]] = []
        self.loaded: list[str] = []
        self.closed = 0
        self.failures: list[Exception] = []
        self.last: NDArray[Any] | None = None

    def load(self, path: Path, options: Mapping[str, Any]) -> FakeEngine:
        self.loaded.append(path.name)
        count, width = (int(part) for part in path.read_text().split("x"))
        return FakeEngine(self, (count, 3, width))


class DynamicEngine:
    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return expected(inputs["x"])

    def close(self) -> None:
        pass


def write_bundle(directory: Path, buckets: Sequence[tuple[int, int]], **policies: Any) -> Manifest:
    """Write one artefact file per bucket and return the manifest."""
    directory.mkdir(parents=True, exist_ok=True)
    artefacts = []
    for count, width in buckets:
        path = directory / f"m_N{count}_W{width}.bin"
        path.write_text(f"{count}x{width}")
        unit = Unit(f"N{count}_W{width}", path.stem, ("N", "W"), ((count, width),))
        artefacts.append((unit, [ArtefactFile(path.name, digest_file(path))]))
    costs, outputs = policies.pop("costs", {}), policies.pop("outputs", ("y", "top"))
    signature = ModelSignature(SIGNATURE.inputs, tuple(out for out in SIGNATURE.outputs if out.name in outputs))
    behaviour = Behaviour({name: LAYOUTS[name] for name in outputs}, rows="N")
    manifest = make_manifest("m", "fake", {}, signature, behaviour, artefacts, costs, **policies)
    (directory / "manifest.json").write_text(manifest.to_json())
    return manifest


Opener = Callable[..., tuple[BucketedModel, EngineLog]]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Build and open a bundle of fake engines."""

    def build(
        buckets: Sequence[tuple[int, int]] = ((1, 32), (1, 64), (4, 32), (4, 64)),
        *,
        loading: Mapping[str, Any] | None = None,
        **policies: Any,
    ) -> tuple[BucketedModel, EngineLog]:
        manifest, log = write_bundle(tmp_path, buckets, **policies), EngineLog()
        dynamic = (lambda path, options: DynamicEngine()) if manifest.fallback else None
        return BucketedModel(tmp_path, manifest, log.load, fallback_loader=dynamic, **(loading or {})), log

    return build


@pytest.fixture
def answer() -> Callable[[NDArray[Any]], dict[str, NDArray[Any]]]:
    """The exact result of the fake model."""
    return expected
