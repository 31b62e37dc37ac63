"""What was found of one model: the analysis' verdicts, and how far each backend's answers are from the original's."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.zoo.bucketed import (
    analyse,
    answer_of,
    at_bucket,
    compile_bucket,
    compile_plain,
    run_once,
    serve,
    time_both,
    without_outputs,
)
from benchmarks.zoo.judging import (
    Differences,
    apart,
    differences,
    open_session,
    plain_answer,
    rounding,
    while_patient,
)
from benchmarks.zoo.model import Arrays, ZooModel
from scaling_tasks.analysis.analyse import Analysis
from scaling_tasks.errors import CompileError, EngineError, ScalingTasksError
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.shapes.behaviour import Verdict

__all__ = [
    "LEAST_SIZES",
    "LEAST_TOLERANCE",
    "ROUNDINGS",
    "Cell",
    "Row",
    "compare",
    "judge",
    "mixed_batches",
    "tolerance",
]

LEAST_TOLERANCE = 1e-5
"""Of the largest value: a hundred units in the last place of a float32."""

LEAST_SIZES = 6
"""Sizes at which every backend is asked, however slow it is."""

ROUNDINGS = 10.0
"""How many times the model's own rounding is still rounding."""


@dataclass(frozen=True)
class Cell:
    """What one backend gave.

    Attributes:
        backend: Its name.
        worst: The largest difference over sizes and outputs, relative to the output's largest value.
        passed: Whether each output is within the tolerance.
        sizes: At how many random sizes it was asked.
        itself: How far the plain model is at the bucket, where nothing is padded: what the backend does on its own.
        seconds: What the plain model takes at the bucket, one thread.
        cost: How many times as long the cleaned one takes; 0 where the plain one does not run.
        problem: Why there is no answer.
        plain_too: Whether the backend refuses the plain model as well, or gives it other shapes.
    """

    backend: str
    worst: float = float("inf")
    passed: bool = False
    sizes: int = 0
    itself: float = 0.0
    seconds: float = 0.0
    cost: float = 0.0
    problem: str = ""
    plain_too: bool = False


@dataclass(frozen=True)
class Row:
    """What was found of one model.

    Attributes:
        model: The model.
        verdicts: The analysis' verdicts; empty where it failed.
        rows: The variable that counts independent rows.
        places: How many tensors are cleaned.
        zeros: How far zeros at the end lead astray, per output.
        rounding: How far the original is from itself, per output.
        cells: One per backend, none where all outputs are refused.
        problem: Why there is no analysis.
    """

    model: ZooModel
    verdicts: tuple[Verdict, ...] = ()
    rows: str | None = None
    places: int = 0
    zeros: Differences = field(default_factory=dict)
    rounding: Differences = field(default_factory=dict)
    cells: tuple[Cell, ...] = ()
    problem: str = ""

    @property
    def refused(self) -> tuple[Verdict, ...]:
        """The verdicts that are refusals."""
        return tuple(each for each in self.verdicts if each.kind == "refused")


def judge(model: ZooModel, sizes: int) -> Row:
    """Analyse a model, and see what padding with zeros does to it, and rounding, at as many random sizes."""
    proto = model.build()
    original = open_session(proto, threads=1)
    seeds = range(sizes)
    zeros = differences(model, proto, plain_answer(model, proto, original, original), original, seeds)
    own: Differences = {}
    try:
        analysis = analyse(model, proto)
        own = rounding(model, proto, original, seeds, analysis.behaviour.rows)
        verdicts = analysis.behaviour.verdicts
        places = _what_is_left(model, proto, analysis)[1].places
    except ScalingTasksError as error:
        return Row(model, zeros=zeros, rounding=own, problem=str(error))
    return Row(model, verdicts, analysis.behaviour.rows, places, zeros, own)


def compare(row: Row, backend: str, sizes: int, patience: float) -> Cell | None:
    """Compare a backend at as many random sizes, or as many as ``patience`` seconds allow; None if all is refused."""
    proto = row.model.build()
    proto, analysis = _what_is_left(row.model, proto, analyse(row.model, proto))
    if analysis.behaviour.refusals:
        return None
    return _cell(row.model, proto, analysis, backend, row.rounding, range(sizes), patience)


def _what_is_left(model: ZooModel, proto: onnx.ModelProto, analysis: Analysis) -> tuple[onnx.ModelProto, Analysis]:
    """Return the model without the outputs that are refused, and its analysis; as it is where all are or none."""
    refused = {verdict.output for verdict in analysis.behaviour.refusals}
    if not refused or len(refused) == len(proto.graph.output):
        return proto, analysis
    rest = without_outputs(proto, refused)
    return rest, analyse(model, rest)


def _cell(
    model: ZooModel,
    proto: onnx.ModelProto,
    analysis: Analysis,
    backend: str,
    own: Differences,
    seeds: range,
    patience: float,
) -> Cell:
    original = open_session(proto, threads=1)
    given, told = at_bucket(model, proto, analysis)
    with tempfile.TemporaryDirectory() as folder:
        plain: Path | None = None
        problem, answer = "", {}
        try:
            plain = compile_plain(backend, model, proto, analysis, Path(folder, "plain"))[0]
            answer = run_once(backend, plain, given)
        except (CompileError, EngineError) as error:
            problem = str(error)
        exact = original(model.draw(model.bucket, 0, proto))
        itself = {name: 0.0 if problem else apart(answer.get(name), array) for name, array in exact.items()}
        alike = not problem and np.isfinite(list(itself.values())).all()
        try:
            files = compile_bucket(backend, model, analysis.cleaned, analysis, Path(folder, "cleaned"))
            with serve(analysis, proto, backend, model.bucket, files) as served:
                done: list[int] = []
                asked = while_patient(seeds, patience, LEAST_SIZES, done)
                found = differences(model, proto, answer_of(served), original, asked)
                for name, gap in mixed_batches(model, proto, served, original, done).items():
                    found[name] = max(found[name], gap)
            seconds, cost = time_both(backend, plain, files[0], given, told) if plain and not problem else (0.0, 0.0)
        except Exception as error:  # A mistake of the runtime is a finding of its own and must not end the run.
            return Cell(backend, problem=problem or f"{type(error).__name__}: {error}", plain_too=not alike)
    # A plain bucket that cannot even be compared excuses nothing.
    excused = {name: 2 * gap if np.isfinite(gap) else 0.0 for name, gap in itself.items()}
    passed = all(gap <= max(tolerance(own[name]), excused[name]) for name, gap in found.items())
    return Cell(backend, max(found.values()), passed, len(done), max(itself.values()), seconds, cost)


def tolerance(own: float) -> float:
    """Return up to where a difference is rounding, for an output whose own rounding is ``own``."""
    return max(LEAST_TOLERANCE, ROUNDINGS * own)


def mixed_batches(
    model: ZooModel,
    proto: onnx.ModelProto,
    served: BucketedModel,
    original: Callable[[Arrays], Arrays],
    seeds: Iterable[int],
) -> Differences:
    """Return how far requests of different sizes are from the original that were put together in batches."""
    behaviour = served.manifest.behaviour
    if behaviour.rows is None:
        return {}
    requests = []
    for seed in seeds:
        sizes = {**model.draw_sizes(seed), behaviour.rows: 1}
        requests.append(model.draw(sizes, seed, proto))
    names = {tensor.name for tensor in served.manifest.signature.inputs.inputs}
    answers: list[Any] = served.run_many([{name: each[name] for name in names} for each in requests])
    worst: Differences = {}
    for request, answer in zip(requests, answers, strict=True):
        for name, expected in original(request).items():
            worst[name] = max(worst.get(name, 0.0), apart(answer[name], expected))
    return worst
