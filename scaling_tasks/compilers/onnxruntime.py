"""onnxruntime: the shape fixed and the graph optimised offline, the weights in one file shared by all buckets."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.base import BackendBase, backend_options, check_choice, is_dynamic
from scaling_tasks.compilers.contract import Artefact, CompileJob, Tolerance
from scaling_tasks.compilers.options import Annotated, Options, option
from scaling_tasks.compilers.shared import made_once, shared_name
from scaling_tasks.errors import CompileError
from scaling_tasks.machine import processor, version_of
from scaling_tasks.shapes.signature import Signature

__all__ = ["OnnxRuntimeBackend", "optimise"]

_SHARED = ("dynamic.weights", "dynamic.onnx")
# Names the constants that it adds the same each time, so that a second one, when the result is loaded, finds them taken
# (onnxruntime 1.32: "Attempt to replace the existing tensor").
_LEFT_TO_LOADING = ["MatMulAddFusion"]
_LEVELS = {"basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}


class OnnxRuntimeOptions(Options, frozen=True):
    """What onnxruntime may do to the graph."""

    optimization: Annotated[str, option("how far the graph is optimised offline", *_LEVELS)] = "basic"
    dynamic: Annotated[bool, option("one model for all buckets: ready sooner, in less memory")] = False


class OnnxRuntimeBackend(BackendBase):
    """Fixes the dimensions and lets onnxruntime fold constants and fuse nodes offline.

    Option ``optimization``: ``basic`` (default; standard ONNX operators, portable), ``extended`` (onnxruntime's own
    fused operators, portable between CPUs) or ``all`` (layouts for the CPU that compiles). ``dynamic`` (default false):
    the dimensions stay open, and one session with the weights once serves all buckets.
    """

    name = engine = "onnxruntime"
    tolerance = Tolerance(absolute=1e-4, relative=1e-3)
    options_type = OnnxRuntimeOptions

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse unknown options and levels."""
        super().check(signature, options)
        check_choice(_level(options), tuple(_LEVELS), where="compile.options.optimization", kind="level")

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return the versions of onnxruntime and onnx, and the machine where its layout enters the result."""
        found = {name: _version(name) for name in ("onnxruntime", "onnx")}
        return found | (processor() if _level(options) == "all" else {})

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Fix, optimise, and move the weights that all buckets share into a file of their own.

        What the dynamic model is optimised to is the same for every bucket, and made once: its weights are those to
        share. At level ``basic`` it is also what each bucket starts from; what the higher levels make of a dynamic
        model could hide from them what they would make of a static one.
        """
        from scaling_tasks.compilers.weights import share_weights
        from scaling_tasks.onnx_model.fixing import write_fixed_model

        level = _level(job.options)
        dynamic = workdir / "dynamic.onnx"
        made_once(job, workdir, _SHARED, lambda: _optimise_dynamic(job.model, workdir, _LEVELS[level]))
        stem, weights = workdir / job.unit.stem, shared_name(workdir / _SHARED[0])
        if is_dynamic(job.options):
            return Artefact(share_weights(dynamic, dynamic, Path(f"{stem}.onnx"), weights))
        (values,) = job.unit.values()
        source, place = (dynamic, workdir) if level == "basic" else (job.model, _apart(workdir))
        fixed = write_fixed_model(source, job.signature.shapes(values), place / f"{stem.name}.fixed.onnx")
        optimised = optimise(fixed, place / f"{stem.name}.optimised.onnx", _LEVELS[level], without=_LEFT_TO_LOADING)
        return Artefact(share_weights(optimised, dynamic, Path(f"{stem}.onnx"), weights))


def optimise(source: Path, target: Path, level: str, *, without: Sequence[str] = ()) -> Path:
    """Write what onnxruntime makes of the model at ``source``, without some of its optimisations.

    Raises:
        CompileError: onnxruntime refuses the model.
    """
    import onnxruntime

    from scaling_tasks.engines.onnxruntime import session_options

    options = session_options()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(
            str(source), options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
        )
    except Exception as cause:
        raise CompileError(f"onnxruntime refuses it ({str(cause).splitlines()[0]})", where=str(source)) from cause
    return target


def _optimise_dynamic(model: Path, workdir: Path, level: str) -> None:
    """Write the optimised dynamic model with its weights beside it."""
    from scaling_tasks.compilers.weights import move_weights
    from scaling_tasks.onnx_model.fixing import link_external_data

    weights, target = (workdir / name for name in _SHARED)
    place = _apart(workdir)
    # onnxruntime leaves weights in the model's side files, and names them as if they lay beside what it writes.
    link_external_data(model, place)
    whole = optimise(model, place / "dynamic.whole.onnx", level, without=_LEFT_TO_LOADING)
    move_weights(whole, target, weights)
    whole.unlink()


def _apart(workdir: Path) -> Path:
    """Return a directory for links to the model's side files, whose names are the user's and could be any of ours."""
    place = workdir / "source"
    place.mkdir(exist_ok=True)
    return place


def _level(options: Mapping[str, Any]) -> str:
    return str(backend_options(options).get("optimization", "basic"))


def _version(package: str) -> str:
    try:
        return version_of(package)
    except importlib.metadata.PackageNotFoundError as cause:
        raise CompileError(
            f"{package} is not installed", where="compile.backend", fix=f"Run `pip install {package}`."
        ) from cause
