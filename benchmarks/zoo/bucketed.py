"""One bucket of a model, compiled by a backend and served by the runtime, beside the same without cleaning."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.zoo.judging import Answer
from benchmarks.zoo.model import Arrays, Sizes, ZooModel
from scaling_tasks.analysis.analyse import Analysis, analyse_model
from scaling_tasks.analysis.preparation import prepare
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.engines.threads import limited_threads
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.reading import signature_of
from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

__all__ = [
    "analyse",
    "answer_of",
    "at_bucket",
    "backend_options",
    "compile_bucket",
    "compile_plain",
    "run_once",
    "serve",
    "time_both",
    "without_outputs",
]

_SECONDS = 300.0
_PAIRS, _PATIENCE = 41, 4.0
_FIXED_LENGTHS = ("lite", "nncase")
_OPTIONS: Mapping[str, Mapping[str, Any]] = {"lite": {"device": "cpu"}, "nncase": {"options": {"target": "cpu"}}}


def analyse(model: ZooModel, proto: onnx.ModelProto) -> Analysis:
    """Return the analysis of a model of the zoo."""
    return analyse_model(
        proto, input_shape=model.input_shape, fixed_inputs=model.fixed_inputs, bucket_limits=model.bucket
    )


def without_outputs(proto: onnx.ModelProto, names: set[str]) -> onnx.ModelProto:
    """Return a model that does not give the outputs of these names, so that the others can be judged alone."""
    kept = onnx.ModelProto()
    kept.CopyFrom(proto)
    del kept.graph.output[:]
    kept.graph.output.extend(value for value in proto.graph.output if value.name not in names)
    return kept


def compile_bucket(
    backend: str, model: ZooModel, proto: onnx.ModelProto, analysis: Analysis, folder: Path, *, plain: bool = False
) -> tuple[Path, ...]:
    """Compile a model at its bucket in a process of its own; return the artefact's files.

    Args:
        backend: Its name.
        model: The model.
        proto: What is compiled of it.
        analysis: Of the model.
        folder: Where the work is done.
        plain: Whether ``proto`` takes the model's own inputs only.

    Raises:
        CompileError: The backend refuses it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    inputs = (*analysis.inputs.inputs, *(() if plain else analysis.behaviour.tensors()))
    static = Signature(tuple(TensorSpec(each.name, each.shape(model.bucket), each.dtype) for each in inputs))
    options = backend_options(backend)
    if model.longest and backend in _FIXED_LENGTHS:
        options["options"] = {**options.get("options", {}), "longest": dict(model.longest)}
    unit = Unit("static", "zoo_static", (), ((),))
    job = CompileJob(path, static, unit, options, behaviour=replace(analysis.behaviour, size_inputs=()))
    made = folder / "artefact"
    made.mkdir()
    result = run_job(job, made, log=folder / "compile.log", timeout=_SECONDS, threads=1)
    return tuple(made / file for file in result.artefact.files)


def load(backend: str, path: Path) -> Engine:
    """Load an artefact that is to use one thread."""
    with limited_threads(1):
        return load_engine(get_backend(backend).engine, path, backend_options(backend))


@contextlib.contextmanager
def serve(
    analysis: Analysis, proto: onnx.ModelProto, backend: str, bucket: Sizes, files: Sequence[Path]
) -> Iterator[BucketedModel]:
    """Serve requests from one compiled bucket of a cleaned model, with the project's own runtime."""
    variables = analysis.inputs.variables
    unit = Unit("bucket", "zoo", variables, (tuple(bucket[name] for name in variables),))
    manifest = make_manifest(
        "zoo",
        backend,
        backend_options(backend),
        ModelSignature(analysis.inputs, signature_of(proto, {}, where="zoo").outputs),
        analysis.behaviour,
        [(unit, [ArtefactFile(file.name, digest_file(file)) for file in files])],
        {},
        engine=get_backend(backend).engine,
    )
    with BucketedModel(files[0].parent, manifest, lambda path, options: load(backend, path)) as model:
        yield model


def answer_of(served: BucketedModel) -> Answer:
    """Return a function that serves one request."""
    names = {tensor.name for tensor in served.manifest.signature.inputs.inputs}

    def answer(inputs: Arrays, sizes: Sizes) -> Mapping[str, NDArray[Any]]:
        return served.run({name: array for name, array in inputs.items() if name in names})

    return answer


def compile_plain(
    backend: str, model: ZooModel, proto: onnx.ModelProto, analysis: Analysis, folder: Path
) -> tuple[Path, ...]:
    """Compile the model as it is, inputs that are always the same folded, at the bucket.

    Raises:
        CompileError: The backend refuses it.
    """
    plain = prepare(proto, model.input_shape, model.fixed_inputs).model
    return compile_bucket(backend, model, plain, analysis, folder, plain=True)


def run_once(backend: str, file: Path, inputs: Arrays) -> Arrays:
    """Load an artefact, run it, and let go of it.

    Raises:
        EngineError: It does not load or does not take the inputs.
    """
    with contextlib.closing(load(backend, file)) as engine:
        return {name: np.array(array) for name, array in engine.run(inputs).items()}


def at_bucket(model: ZooModel, proto: onnx.ModelProto, analysis: Analysis) -> tuple[Arrays, Arrays]:
    """Return the inputs of a request as large as the bucket, and what the cleaned model is told beside them."""
    bucket = model.bucket
    drawn = model.draw(bucket, 0, proto)
    told = analysis.behaviour.feeds_of_one_size(bucket, bucket)
    return {tensor.name: drawn[tensor.name] for tensor in analysis.inputs.inputs}, told


def time_both(backend: str, plain: Path, cleaned: Path, given: Arrays, told: Arrays) -> tuple[float, float]:
    """Return what the plain artefact takes in seconds, and how many times as long the cleaned one takes.

    The second is the median over pairs measured in turns.
    """
    with contextlib.closing(load(backend, plain)) as one, contextlib.closing(load(backend, cleaned)) as other:
        return _paired(lambda: one.run(given), lambda: other.run({**given, **told}))


def _paired(plain: Callable[[], Any], cleaned: Callable[[], Any]) -> tuple[float, float]:
    for warm in (plain, cleaned) * 2:
        warm()
    times: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(times) < _PAIRS and (len(times) < 5 or time.perf_counter() - started < _PATIENCE):
        order = (plain, cleaned) if len(times) % 2 else (cleaned, plain)
        taken = {call: _seconds(call) for call in order}
        times.append((taken[plain], taken[cleaned]))
    one, other = np.array(times).T
    return float(np.median(one)), float(np.median(other / one))


def _seconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def backend_options(backend: str) -> dict[str, Any]:
    """Return the ``compile`` section that a backend is given."""
    return {"backend": backend, **_OPTIONS.get(backend, {})}
