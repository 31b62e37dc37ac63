"""What earlier plans of a target left in its state that the present one has not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scaling_tasks.actions.results import read_result_if_there
from scaling_tasks.stages.compile import shared_name
from scaling_tasks.stages.target import Target

__all__ = ["leftovers"]

_PER_UNIT = ("compile", "verify")


def leftovers(target: Target, units: Sequence[str]) -> list[Path]:
    """Return records, documents and artefacts of units that the plan no longer has, and what only those shared."""
    kept: set[Path] = set()
    shared: set[str] = set()
    for record in [target.result("manifest"), *(target.result("compile", unit) for unit in units)]:
        if result := read_result_if_there(record):
            kept |= {file.path for file in result.files}
            shared.add(shared_name(result.components))
    found = [
        path
        for stage in _PER_UNIT
        for path in sorted(target.result(stage, "x").parent.glob("*.json"))
        if path.stem not in units
    ]
    found += [path for path in sorted((target.state / "verification").glob("*.json")) if path.stem not in units]
    found += [path for path in sorted((target.state / "artefacts").glob("[!.]*")) if path not in kept]
    return found + [path for path in sorted((target.state / "shared").glob("*")) if path.name not in shared]
