"""Writing a target's compiler commands as a script, for a machine that has the toolchain."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scaling_tasks.builds.graph import place_all
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.errors import CompileError
from scaling_tasks.stages.analysis import DOCUMENT, prepared_name, read_analysis
from scaling_tasks.stages.stage import Built
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import read_units

__all__ = ["export_target", "verdict_of"]


def export_target(target: Target) -> Path:
    """Write ``<target>/compile.sh`` and return its path; what it makes is taken over with ``options: {adopt: …}``.

    Raises:
        PlanError: The target is not planned yet.
        CompileError: Its backend has no commands to export.
    """
    from scaling_tasks.compilers.atc_export import export_commands

    if target.options.get("backend") != "atc":
        raise CompileError(
            "only targets of the backend 'atc' have commands to export", where=target.config or target.name
        )
    document = read_units(target.units)
    place_all(target, ("analysis",))
    model, inputs = Built(target).result("analysis").file(prepared_name(target)).path, document.compiled_inputs
    jobs = [CompileJob(model, inputs, unit, target.options) for unit in document.units]
    script = target.directory / "compile.sh"
    export_commands(jobs, script)
    return script


def verdict_of(target: Target) -> str:
    """Return in words what the answers of a planned target are worth.

    Raises:
        ScalingTasksError: The target is not planned yet.
    """
    found = read_analysis(Built(target).result("analysis").file(DOCUMENT).path)
    return msgspec.structs.replace(found, behaviour=read_units(target.units).behaviour).line
