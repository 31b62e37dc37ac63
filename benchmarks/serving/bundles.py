"""Building the bundles that are compared: recognition on OpenVINO for given shapes."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import scaling_tasks as st
from benchmarks.serving.crops import INPUTS, Work
from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.engines.threads import limited_threads
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.planning.measured import MeasuredCost
from scaling_tasks.planning.planner import plan_requests
from scaling_tasks.planning.request.options import make_options
from scaling_tasks.runtime.bundle import read_manifest
from scaling_tasks.runtime.manifest import MANIFEST, ArtefactFile, make_manifest
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.verification.latency import measure_bundle

BATCHES = (1, 2, 4, 8)
Shape = tuple[int, int]


def planned_widths(widths: st.ShapeHistogram, buckets: int, **options: Any) -> list[int]:
    """Return the widths of a plan in multiples of 8."""
    plan = st.plan_buckets(widths, max_buckets=buckets, **{"interval": 8, **options})
    return [int(width) for width in plan.buckets[:, 0]]


def build_bundle(
    model: Path,
    shapes: Sequence[Shape],
    directory: Path,
    precision: str,
    costs: Mapping[tuple[int, ...], float] | None = None,
    *,
    exact: bool = True,
) -> Path:
    """Compile (N, W) shapes into a bundle, unless ``directory`` holds just that already.

    Padding is cleaned, so that answers are as at the exact width, unless ``exact`` is false.
    """
    backend, signature = get_backend("openvino"), read_signature(model, INPUTS)
    options = {"backend": "openvino", "options": {"inference_precision": precision}}
    directory.mkdir(parents=True, exist_ok=True)
    analysis = analyse_model(model, input_shape=INPUTS)
    behaviour = analysis.behaviour if exact else analysis.behaviour.accepted()
    compiled, inputs = model, signature.inputs
    if exact:
        compiled = directory / "cleaned.onnx"
        compiled.write_bytes(analysis.cleaned.SerializeToString())
        inputs = Signature((*inputs.inputs, *behaviour.tensors()))
    artefacts = []
    for unit in backend.units(model.stem, signature.inputs, shapes, options):
        record = directory / f"{unit.stem}.files"
        if not record.exists():
            workdir = directory / "work"
            workdir.mkdir(exist_ok=True)
            files = backend.compile(CompileJob(compiled, inputs, unit, options), workdir).files
            for path in files:
                shutil.move(path, directory / path.name)
            record.write_text("\n".join(path.name for path in files))
        names = record.read_text().splitlines()
        artefacts.append((unit, [ArtefactFile(name, digest_file(directory / name)) for name in names]))
    manifest = make_manifest(model.stem, "openvino", options, signature, behaviour, artefacts, costs or {})
    (directory / MANIFEST).write_text(manifest.to_json())
    return directory


def measured_shapes(
    work: Work, model: Path, directory: Path, precision: str, buckets: int
) -> tuple[list[Shape], MeasuredCost]:
    """Return the (N, W) buckets planned together for requests of a page each, from latencies measured here.

    Measured are 8 widths in batches of 1, 2, 4 and 8, with one thread as they are served; the planner completes the
    table to all other shapes.
    """
    seeds = with_batches(planned_widths(work.widths, 8), BATCHES)
    manifest = read_manifest(build_bundle(model, seeds, directory, precision))
    path = directory / "latency.json"
    with limited_threads(1):
        table = measure_bundle(directory, manifest, LatencyTable.load(path) if path.exists() else None)
    path.write_text(table.to_json())
    cost = MeasuredCost.read(path, ("N", "W"))
    options = make_options(buckets, {"interval": {"W": 8}, "choices": {"N": BATCHES}})
    plan = plan_requests(work.requests, ("N", "W"), buckets, cost, options)
    return [(int(count), int(width)) for count, width in plan.buckets], cost


def build_measured(work: Work, model: Path, directory: Path, precision: str, buckets: int) -> Path:
    """Build the bundle of ``measured_shapes``; its costs are what the table says."""
    shapes, cost = measured_shapes(work, model, directory / "seeds", precision, buckets)
    costs = dict(zip(shapes, cost(np.asarray(shapes)).tolist(), strict=True))
    return build_bundle(model, shapes, directory / "bundle", precision, costs)


def with_batches(widths: Sequence[int], counts: Sequence[int]) -> list[Shape]:
    """Return every count at every width."""
    return [(int(count), int(width)) for count, width in itertools.product(counts, np.unique(widths))]
