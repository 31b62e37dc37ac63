"""Stage ``compile``: one unit to its artefact, from the store where the same work was done before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.config.environment import knobs
from scaling_tasks.documents import canonical_json
from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.files import digest_bytes
from scaling_tasks.pipeline.artefacts import artefacts_by_digest, write_record
from scaling_tasks.pipeline.keys import compile_components, shared_components
from scaling_tasks.pipeline.storage import open_store
from scaling_tasks.pipeline.target import STATE, Target
from scaling_tasks.pipeline.units import UnitsDocument, read_units

if TYPE_CHECKING:
    from scaling_tasks.store.store import Record, Store

__all__ = ["run"]


def run(target: Target, unit: str) -> dict[str, Any]:
    """Make the unit's artefact and its record.

    Returns:
        ``outcome`` (``compiled`` or ``restored``), the ``seconds`` that compiling takes or took, and the artefact's
        ``bytes``.

    Raises:
        CompileError: The toolchain is missing, or the compiler failed.
        CacheError: The store cannot be written.
    """
    document = read_units(target.units)
    components = compile_components(target, document, unit)
    key = digest_bytes(canonical_json(components).encode())
    store = open_store()
    with exclusive(STATE / "locks" / key, f"compiling {target.name} {unit}"):
        record = store.get(components)
        outcome = "restored" if record else "compiled"
        if record is None:
            record = _compile(target, document, unit, components, key, store)
        # One after the other: of units that end together, each would miss what the other could share with it.
        with exclusive(target.state / "placing.lock", moment=True):
            files = store.restore(record, target.directory, artefacts_by_digest(target, document))
            write_record(target, unit, key, files)
    return {"outcome": outcome, "seconds": record.details.get("seconds", 0.0), "bytes": record.size}


def _compile(
    target: Target, document: UnitsDocument, unit: str, components: dict[str, Any], key: str, store: Store
) -> Record:
    from scaling_tasks.compilers.contract import CompileJob
    from scaling_tasks.compilers.isolation import run_job

    shared = _shared_directory(target, components)
    job = CompileJob(
        target.prepared_model.resolve(), document.compiled_inputs, document.unit(unit), target.options, shared
    )
    # Whoever holds the key's lock owns this directory, so that what a killed run left in it can be told and removed.
    workdir = STATE / "work" / key
    shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True)
    try:
        options = target.options
        threads = options["threads"] or knobs().threads
        limits = {"timeout": options["timeout"], "memory": options["memory"], "threads": threads}
        result = run_job(job, workdir, log=target.log(unit), **limits)
        files = {path.name: path for path in result.artefact.files}
        details = {"seconds": round(result.seconds, 3), "peak_memory_bytes": result.peak_memory_bytes}
        return store.put(components, files, details)
    finally:
        shutil.rmtree(workdir, ignore_errors=True)


def _shared_directory(target: Target, components: dict[str, Any]) -> Path:
    """Return where the target's units leave what they have in common; what an earlier model or option left goes."""
    mine = target.state / "shared" / digest_bytes(canonical_json(shared_components(components)).encode())
    for other in mine.parent.glob("*"):
        if other != mine:  # Nobody misses it: compilers have links of their own to what they took.
            shutil.rmtree(other, ignore_errors=True)
    return mine
