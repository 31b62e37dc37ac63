"""Running a compile in a process of its own, and accepting its artefact only when it loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.compilers.contract import Artefact, CompileJob
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.contract import Limits, Subject, Work
from scaling_tasks.shapes.signature import Signature, TensorSpec, parse_dims
from scaling_tasks.shapes.unit import Unit

if TYPE_CHECKING:
    from scaling_tasks.shapes.behaviour import Behaviour

__all__ = [
    "CompileResult",
    "compile_parameters",
    "compile_subject",
    "located_options",
    "renamed_files",
    "run_job",
    "work",
]


class CompileResult(msgspec.Struct, frozen=True):
    """What an accepted compile gave.

    Attributes:
        artefact: Its files, below the work directory.
        seconds: Wall-clock time of the worker process.
        peak_memory_bytes: Largest resident size of any process of the compile.
    """

    artefact: Artefact
    seconds: float
    peak_memory_bytes: int


def run_job(
    job: CompileJob,
    workdir: Path,
    *,
    log: Path,
    timeout: float,
    memory: int | None = None,
    threads: int | None = None,
) -> CompileResult:
    """Compile in a worker process and accept the result.

    Accepted is a result whose worker ended with status 0, whose log holds no error by the backend's rule, whose files
    exist, and which loads (in the worker). Everything the compiler prints goes to ``log``; the job is kept beside it.

    Args:
        job: What to compile.
        workdir: Where the artefact is written; should be new and empty.
        log: The log file, replaced.
        timeout: Longest time in seconds.
        memory: Largest resident size of the process tree in bytes.
        threads: How many threads the compiler may use; as many as it likes where None.

    Raises:
        CompileError: With the last error line, the log's path and the command that runs the job alone.
    """
    from scaling_tasks.execution.local import LocalExecutor

    parameters = {
        **compile_parameters(job.signature, job.unit, located_options(job.options, Path()), job.behaviour),
        "model": str(job.model.resolve()),
        "shared": None if job.shared is None else str(job.shared.resolve()),
    }
    whole = Work("scaling_tasks.compilers.isolation:work", job.model.parent, workdir, parameters)
    limits = Limits(timeout, memory, threads)
    done = LocalExecutor().submit(
        whole, limits, compile_subject(job.unit, job.options), job_file=log.with_suffix(".job.json"), log=log
    )
    files = tuple(workdir / name for name in done.values["files"])
    return CompileResult(Artefact(files), done.seconds, done.peak_memory_bytes)


def compile_subject(unit: Unit, options: Mapping[str, Any]) -> Subject:
    """Return how the failure of a compile is told."""
    return Subject(unit.stem, "the compiler", CompileError, get_backend(str(options["backend"])).errors_in_log)


def compile_parameters(
    signature: Signature, unit: Unit, options: Mapping[str, Any], behaviour: Behaviour | None
) -> dict[str, Any]:
    """Return as plain values what a compile depends on besides its input files and toolchain."""
    return {
        "inputs": [[tensor.name, list(tensor.dims), tensor.dtype] for tensor in signature.inputs],
        "unit": [unit.name, unit.stem, list(unit.variables), [list(bucket) for bucket in unit.buckets]],
        "options": dict(options),
        "size_inputs": [spec.to_payload() for spec in behaviour.size_inputs] if behaviour else [],
        "rows": behaviour.rows if behaviour else None,
        "data_lengths": list(behaviour.data_lengths) if behaviour else [],
    }


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compile and load, in a process of its own; return the names of the artefact's ``files``.

    Raises:
        CompileError: The compiler failed, or its artefact is not there or does not load.
    """
    job = _job(inputs, parameters)
    backend = get_backend(str(job.options["backend"]))
    artefact = backend.compile(job, outputs)
    for file in artefact.files:
        if not file.is_file() or file.stat().st_size == 0:
            raise CompileError("the compiler ended without error but wrote no such file", where=str(file))
        file.chmod(0o644)  # MindSpore Lite leaves 0400, which nothing could replace later.
    backend.accept(artefact, job.options)
    return {"files": [file.relative_to(outputs).as_posix() for file in artefact.files]}


def _job(inputs: Path, parameters: Mapping[str, Any]) -> CompileJob:
    signature = Signature(
        tuple(TensorSpec(name, parse_dims(dims), dtype) for name, dims, dtype in parameters["inputs"])
    )
    name, stem, variables, buckets = parameters["unit"]
    unit = Unit(name, stem, tuple(variables), tuple(tuple(bucket) for bucket in buckets))
    shared = parameters.get("shared")
    return CompileJob(
        inputs / parameters["model"],
        signature,
        unit,
        located_options(parameters["options"], inputs),
        None if shared is None else Path(shared),
        _behaviour(parameters),
    )


def _behaviour(parameters: Mapping[str, Any]) -> Behaviour | None:
    if not parameters["size_inputs"] and not parameters["data_lengths"]:
        return None
    from scaling_tasks.shapes.behaviour import Behaviour
    from scaling_tasks.shapes.size_inputs import SizeInput

    told = tuple(SizeInput.from_payload(each) for each in parameters["size_inputs"])
    lengths = tuple(parameters["data_lengths"])
    return Behaviour({}, rows=parameters["rows"], size_inputs=told, data_lengths=lengths)


def located_options(options: Mapping[str, Any], inputs: Path) -> dict[str, Any]:
    """Return the ``compile`` section with the files that it names found in an action's directory."""
    return renamed_files(options, lambda path: str((inputs / path).absolute()), inputs)


def renamed_files(options: Mapping[str, Any], rename: Callable[[str], str], root: Path) -> dict[str, Any]:
    """Return the ``compile`` section with what it names of files and directories below ``root`` called otherwise."""
    own = dict(options.get("options") or {})
    for option in get_backend(str(options["backend"])).file_options:
        if own.get(option) is not None and (root / str(own[option])).exists():
            own[option] = rename(str(own[option]))
    return {**options, "options": own}
