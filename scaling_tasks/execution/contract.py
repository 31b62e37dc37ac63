"""What is handed to an executor, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from scaling_tasks.errors import ScalingTasksError

__all__ = ["Done", "Executor", "Limits", "Subject", "Work"]


@dataclass(frozen=True)
class Work:
    """A function of a directory of inputs and of parameters, to a directory of outputs.

    Attributes:
        function: ``module:function``, called as ``function(inputs, outputs, parameters)``; returns plain JSON values.
        inputs: The directory that holds what the work may read.
        outputs: The directory that it fills.
        parameters: Plain JSON values.
    """

    function: str
    inputs: Path
    outputs: Path
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Limits:
    """What the work may use.

    Attributes:
        timeout: Longest time in seconds.
        memory: Largest resident size of the process tree in bytes, None for no limit.
        environment: Variables beside those that every worker gets.
    """

    timeout: float
    memory: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def _no_errors(log: str) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Subject:
    """How a failure is told.

    Attributes:
        name: What the work is about, shown in front.
        tool: Who did it: ``the compiler``, ``the engine``.
        error: The exception to raise.
        errors_in_log: Returns the lines of what was printed that mean failure, whatever the exit status says.
    """

    name: str
    tool: str
    error: type[ScalingTasksError]
    errors_in_log: Callable[[str], tuple[str, ...]] = _no_errors


@dataclass(frozen=True)
class Done:
    """Work that succeeded.

    Attributes:
        values: What the function returned.
        seconds: Wall-clock time.
        peak_memory_bytes: Largest resident size of any of its processes.
    """

    values: Mapping[str, Any]
    seconds: float
    peak_memory_bytes: int


class Executor(Protocol):
    """Somewhere to have work done."""

    def submit(self, work: Work, limits: Limits, subject: Subject, *, job_file: Path, log: Path) -> Done:
        """Have work done and wait for it.

        Args:
            work: What to do.
            limits: What it may use.
            subject: How a failure is told.
            job_file: Where the job is kept, so that it can be repeated alone.
            log: Where everything goes that is printed; replaced.

        Raises:
            ScalingTasksError: ``subject.error``, with the last error line, the log and the command that repeats it.
        """
        ...
