"""The components of each task's key: everything that its result depends on and doit does not watch as a file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from scaling_tasks.config.load import section
from scaling_tasks.config.specs import VerifySpec
from scaling_tasks.files import digest_bytes, digest_file
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import UnitsDocument, read_units

__all__ = ["compile_components", "components", "result_options", "shared_components"]

# Raised when a stage's code changes what it makes from the same inputs.
_VERSIONS = {
    "statistics": 1,
    "analysis": 1,
    "buckets": 2,
    "compile": 1,
    "verify": 2,
    "bundle": 2,
    "padding": 2,
    "metric": 1,
    "measure": 1,
    "report": 1,
}

# What bounds a compile but does not change its result.
_NOT_IN_RESULT = ("timeout", "memory", "threads", "optional")


def components(stage: str, target: Target, unit: str | None = None) -> dict[str, Any]:
    """Return the key's components as plain values.

    Raises:
        PlanError: The plan that the stage works from is not there.
        CompileError: The toolchain is missing.
    """
    from scaling_tasks.onnx_model.digest import digest_model

    spec = target.spec
    parts: dict[str, Any] = {"stage": stage, "version": _VERSIONS[stage]}
    if stage in ("statistics", "buckets"):
        parts["input_shape"] = spec.input_shape
        parts["auto_scaling"] = section(spec.auto_scaling)
        parts["dataset"] = section(spec.dataset)
    if stage == "analysis":
        # Weights may lie in files of their own, which doit does not watch.
        parts["model"] = digest_model(target.model)
        parts["input_shape"] = spec.input_shape
        parts["inputs"] = spec.inputs
        parts["fixed"] = spec.shape_bucket.shape_bucket_fix_var_map if spec.shape_bucket else {}
        parts["exact"] = spec.runtime.exact
    if stage == "buckets":
        parts["shape_bucket"] = section(spec.shape_bucket)
        parts["compile"] = result_options(target)
        # Not a file that doit could watch: it comes out of this very plan's bundle.
        parts["latency"] = _digest(target.latency) if spec.auto_scaling.cost == "measured" else None
    if unit is not None:
        document = read_units(target.units)
        if stage == "compile":
            return compile_components(target, document, unit)
        parts["model"] = document.model_digest
        parts["tolerance"] = [spec.verify.absolute, spec.verify.relative]
    if stage == "bundle":
        parts["compile"] = result_options(target)
        parts["runtime"] = section(spec.runtime)
    if stage == "padding":
        parts["tolerance"] = spec.verify.padding_tolerance
        parts["compare"] = spec.verify.compare_padding
        samples = spec.verify.samples
        parts["samples"] = None if samples is None else [samples, _digest(Path(samples))]
    if stage == "metric":
        parts["metric"] = _metric_components(spec.verify)
    return parts


def _metric_components(verify: VerifySpec) -> dict[str, Any]:
    """Return what a score depends on besides the bundle, as far as is known: the module and the labels."""
    module = Path((verify.metric or "").partition(":")[0].replace(".", "/") + ".py")
    return {
        "function": verify.metric,
        "code": _digest(module),
        "drop": verify.drop,
        "labels": _digest(Path(verify.dataset or "")),
    }


def _digest(path: Path) -> str | None:
    """Return the digest of a file, or of a directory's names, sizes and times; None where there is neither."""
    if not path.is_dir():
        return digest_file(path) if path.is_file() else None
    lines = []
    for file in sorted(path.rglob("*")):
        if file.is_file():
            with contextlib.suppress(FileNotFoundError):  # Removed this moment.
                status = file.stat()
                lines.append(f"{file.relative_to(path).as_posix()} {status.st_size} {status.st_mtime_ns}\n")
    return digest_bytes("".join(lines).encode())


def compile_components(target: Target, document: UnitsDocument, unit_name: str) -> dict[str, Any]:
    """Return the key of one unit's artefact, under which the store keeps it.

    It holds no path and no target name, so that equal work is shared by targets, branches and checkouts.
    """
    from scaling_tasks.compilers.registry import get_backend

    unit = document.unit(unit_name)
    backend = get_backend(target.options["backend"])
    return {
        "stage": "compile",
        "version": _VERSIONS["compile"],
        "model": document.model_digest,
        "inputs": {tensor.name: list(tensor.dims) for tensor in document.compiled_inputs.inputs},
        "stem": unit.stem,
        "variables": list(unit.variables),
        "buckets": [list(bucket) for bucket in unit.buckets],
        "options": result_options(target),
        "toolchain": backend.identity(target.options),
    }


def shared_components(compile_key: dict[str, Any]) -> dict[str, Any]:
    """Return what of a unit's key all units of its target have in common."""
    return {name: value for name, value in compile_key.items() if name not in ("stem", "variables", "buckets")}


def result_options(target: Target) -> dict[str, Any]:
    """Return the compile section without what bounds a compile but does not change its result."""
    return {key: value for key, value in target.options.items() if key not in _NOT_IN_RESULT}
