"""Work as a file: what is handed to the worker process, and what it hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.execution.contract import Work
from scaling_tasks.files import publish

__all__ = ["JobFile", "Outcome", "read_job", "read_outcome", "write_job", "write_outcome"]

_JOB, _OUTCOME, _VERSION = "job", "outcome", 1


@dataclass(frozen=True)
class JobFile:
    """Work with what it may use.

    Attributes:
        work: What to do.
        outcome: Where the worker writes what came of it.
        memory: Largest resident size of the whole process tree in bytes, None for no limit.
        tools: Who tells the tools that are found, and what that must be, see ``contract.Origin``.
    """

    work: Work
    outcome: Path
    memory: int | None
    tools: tuple[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of it: values, or an error as ``(what, where, fix)``, or other tools than those expected."""

    values: Mapping[str, Any] = field(default_factory=dict)
    error: tuple[str, str, str] | None = None
    other: Mapping[str, Any] | None = None


def write_job(path: Path, job: JobFile) -> None:
    """Publish a job at ``path``."""
    payload = {
        "function": job.work.function,
        "inputs": str(job.work.inputs.resolve()),
        "outputs": str(job.work.outputs.resolve()),
        "parameters": dict(job.work.parameters),
        "outcome": str(job.outcome.resolve()),
        "memory": job.memory,
        "tools": [job.work.origin.tools, job.work.origin.expected] if job.work.origin else None,
    }
    _publish_text(path, document_text(_JOB, _VERSION, payload))


def read_job(path: Path) -> JobFile:
    """Read what ``write_job`` wrote.

    Raises:
        ScalingTasksError: The file is missing or no job.
    """
    return read_document(path, _JOB, _VERSION, error=ScalingTasksError, build=_job)


def _job(payload: Mapping[str, Any]) -> JobFile:
    places = Path(payload["inputs"]), Path(payload["outputs"])
    work = Work(payload["function"], *places, payload["parameters"])
    tools = payload["tools"]
    return JobFile(work, Path(payload["outcome"]), payload["memory"], (tools[0], tools[1]) if tools else None)


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Publish an outcome at ``path``."""
    payload = {"values": dict(outcome.values), "error": outcome.error, "other": outcome.other}
    _publish_text(path, document_text(_OUTCOME, _VERSION, payload))


def read_outcome(path: Path) -> Outcome | None:
    """Return the outcome at ``path``; None where the worker did not live to write one."""
    if not path.exists():
        return None
    return read_document(path, _OUTCOME, _VERSION, error=ScalingTasksError, build=_outcome)


def _outcome(payload: Mapping[str, Any]) -> Outcome:
    return msgspec.convert(payload, Outcome)


def _publish_text(path: Path, text: str) -> None:
    with publish(path, below=path.parent) as temporary:
        temporary.write_text(text, encoding="utf-8")
