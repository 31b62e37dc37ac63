"""What is handed to an executor, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.names import Digest

__all__ = ["Done", "Executor", "Limits", "Origin", "Span", "Subject", "Work"]

Span = tuple[str, float, float]
"""What was done, since when by the clock of whoever asked for it (seconds since 1970), and for how many seconds."""


class Origin(msgspec.Struct, frozen=True):
    """What of an action must be known to do it on another machine.

    Attributes:
        name: What is done, for people.
        key: The action's key: work with the same key is the same.
        inputs: SHA-256 of every file in the work's directory of inputs, by its name.
        tools: ``module:function``, called as ``function(inputs, parameters)``; tells the ``toolchain`` and the
            ``platform`` that are found where it is called.
        expected: What it must tell.
        scratch: Names of directories of shared work, by the parameter that holds the directory.
        at_home: Whether work for which nobody else has these tools is done on this machine.
    """

    name: str
    key: Digest
    inputs: Mapping[str, Digest]
    tools: str
    expected: Mapping[str, Mapping[str, str]]
    scratch: Mapping[str, str] = {}
    at_home: bool = False


class Work(msgspec.Struct, frozen=True):
    """A function of a directory of inputs and of parameters, to a directory of outputs.

    Attributes:
        function: ``module:function``, called as ``function(inputs, outputs, parameters)``; returns plain JSON values.
        inputs: The directory that holds what the work may read.
        outputs: The directory that it fills.
        parameters: Plain JSON values.
        origin: What else must be known to do it elsewhere; None for work that is bound to this machine.
    """

    function: str
    inputs: Path
    outputs: Path
    parameters: Mapping[str, Any]
    origin: Origin | None = None


class Limits(msgspec.Struct, frozen=True):
    """What the work may use.

    Attributes:
        timeout: Longest time in seconds.
        memory: Largest resident size of the process tree in bytes, None for no limit.
        threads: How many threads compilers and engines may start; as many as they like where None.
        share: Whether that is this machine's share of its cores, which another machine replaces by its own.
        resources: What a worker elsewhere must have, by Dask's names.
        credentials: Whether it may use what the environment says for reading data, such as ``AWS_PROFILE``: for work
            that runs nobody's compiler and nobody's code.
    """

    timeout: float
    memory: int | None = None
    threads: int | None = None
    share: bool = False
    resources: Mapping[str, float] = {}
    credentials: bool = False


def _no_errors(log: str) -> tuple[str, ...]:
    return ()


class Subject(msgspec.Struct, frozen=True):
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


class Done(msgspec.Struct, frozen=True):
    """Work that succeeded.

    Attributes:
        values: What the function returned.
        seconds: Wall-clock time.
        peak_memory_bytes: Largest resident size of any of its processes.
        worker: Who did it, empty where this machine did.
        spans: What it did when.
        warnings: What is to be told besides.
    """

    values: Mapping[str, Any]
    seconds: float
    peak_memory_bytes: int
    worker: str = ""
    spans: tuple[Span, ...] = ()
    warnings: tuple[str, ...] = ()


class Executor(Protocol):
    """Somewhere to have work done."""

    @property
    def elsewhere(self) -> bool:
        """Whether that may be another machine, so that work which needs no process of its own may go there too."""
        ...

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
