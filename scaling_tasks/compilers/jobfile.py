"""The job as a file: what the isolation hands to the worker process, and what the worker hands back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.contract import CompileJob, Unit
from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import CompileError
from scaling_tasks.files import publish
from scaling_tasks.shapes.signature import Signature, TensorSpec, parse_dims

__all__ = ["JobFile", "Outcome", "read_job", "read_outcome", "write_job", "write_outcome"]

_JOB, _OUTCOME, _VERSION = "compile-job", "compile-outcome", 2


@dataclass(frozen=True)
class JobFile:
    """A job with where it works and what it may use.

    Attributes:
        job: What to compile; ``job.options["backend"]`` names the compiler.
        workdir: Where the artefact is written.
        outcome: Where the worker writes what came of it.
        memory: Largest resident size of the whole process tree in bytes, None for no limit.
    """

    job: CompileJob
    workdir: Path
    outcome: Path
    memory: int | None


@dataclass(frozen=True)
class Outcome:
    """What came of a job: the artefact's files, or an error as ``(what, where, fix)``."""

    files: tuple[Path, ...] = ()
    error: tuple[str, str, str] | None = None


def write_job(path: Path, spec: JobFile) -> None:
    """Publish a job at ``path``."""
    job = spec.job
    payload: dict[str, Any] = {
        "model": str(job.model.resolve()),
        "inputs": [[tensor.name, list(tensor.dims), tensor.dtype] for tensor in job.signature.inputs],
        "unit": [job.unit.name, job.unit.stem, list(job.unit.variables), [list(bucket) for bucket in job.unit.buckets]],
        "options": dict(job.options),
        "shared": None if job.shared is None else str(job.shared.resolve()),
        "workdir": str(spec.workdir.resolve()),
        "outcome": str(spec.outcome.resolve()),
        "memory": spec.memory,
    }
    _publish_text(path, document_text(_JOB, _VERSION, payload))


def read_job(path: Path) -> JobFile:
    """Read what ``write_job`` wrote.

    Raises:
        CompileError: The file is missing or no job.
    """
    payload = read_document(path, _JOB, _VERSION, error=CompileError)
    try:
        return _job(payload)
    except (LookupError, TypeError, ValueError) as cause:
        raise CompileError("is no job", where=str(path), fix="Delete it and build again.") from cause


def _job(payload: dict[str, Any]) -> JobFile:
    signature = Signature(tuple(TensorSpec(name, parse_dims(dims), dtype) for name, dims, dtype in payload["inputs"]))
    name, stem, variables, buckets = payload["unit"]
    unit = Unit(name, stem, tuple(variables), tuple(tuple(bucket) for bucket in buckets))
    shared = None if payload["shared"] is None else Path(payload["shared"])
    job = CompileJob(Path(payload["model"]), signature, unit, payload["options"], shared)
    return JobFile(job, Path(payload["workdir"]), Path(payload["outcome"]), payload["memory"])


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Publish an outcome at ``path``."""
    payload: dict[str, Any] = {"files": [str(file) for file in outcome.files], "error": outcome.error}
    _publish_text(path, document_text(_OUTCOME, _VERSION, payload))


def read_outcome(path: Path) -> Outcome | None:
    """Return the outcome at ``path``; None where the worker did not live to write one."""
    if not path.exists():
        return None
    payload = read_document(path, _OUTCOME, _VERSION, error=CompileError)
    error = payload["error"]
    return Outcome(tuple(Path(file) for file in payload["files"]), tuple(error) if error else None)


def _publish_text(path: Path, text: str) -> None:
    with publish(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
