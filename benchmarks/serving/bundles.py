"""Building the bundles that are compared: recognition on OpenVINO for given shapes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import scaling_tasks as st
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.onnx_model.relations import derive_relations
from scaling_tasks.runtime.bundle import read_manifest
from scaling_tasks.runtime.manifest import MANIFEST, ArtefactFile, make_manifest
from scaling_tasks.verification.latency import LatencyTable, measure_bundle

Shape = tuple[int, int]


def planned_widths(widths: st.ShapeHistogram, buckets: int, **options: Any) -> list[int]:
    """Return the widths of a plan in multiples of 8."""
    plan = st.plan_buckets(widths, max_buckets=buckets, **{"interval": 8, **options})
    return [int(width) for width in plan.buckets[:, 0]]


def build_bundle(
    model: Path, shapes: Sequence[Shape], directory: Path, costs: Mapping[tuple[int, ...], float] | None = None
) -> Path:
    """Compile (N, W) shapes into a bundle, unless ``directory`` holds just that already."""
    backend, signature = get_backend("openvino"), read_signature(model, {"x": [-1, 3, 48, -1]})
    options = {"backend": "openvino", "options": {}}
    directory.mkdir(parents=True, exist_ok=True)
    artefacts = []
    for unit in backend.units(model.stem, signature.inputs, shapes, options):
        if not (directory / f"{unit.stem}.xml").exists():
            workdir = directory / "work"
            workdir.mkdir(exist_ok=True)
            for path in reversed(backend.compile(CompileJob(model, signature.inputs, unit, options), workdir).files):
                shutil.move(path, directory / path.name)
        files = [
            ArtefactFile(f"{unit.stem}{end}", digest_file(directory / f"{unit.stem}{end}")) for end in (".xml", ".bin")
        ]
        artefacts.append((unit, files))
    relations = derive_relations(model, signature, shapes)
    manifest = make_manifest(model.stem, "openvino", options, signature, relations, artefacts, costs or {})
    (directory / MANIFEST).write_text(manifest.to_json())
    return directory


def build_measured(model: Path, shapes: Sequence[Shape], directory: Path) -> Path:
    """Build a bundle whose costs are its measured latencies."""
    manifest = read_manifest(build_bundle(model, shapes, directory))
    path = directory / "latency.json"
    table = measure_bundle(directory, manifest, LatencyTable.load(path) if path.exists() else None)
    path.write_text(table.to_json())
    return build_bundle(model, shapes, directory, {shape: table.seconds[shape] for shape in shapes})


def with_batches(widths: Sequence[int], counts: Sequence[int]) -> list[Shape]:
    """Return every count at every width."""
    return [(int(count), int(width)) for count, width in itertools.product(counts, np.unique(widths))]
