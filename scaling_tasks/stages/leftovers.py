"""What earlier plans of a target left in its state that the present one has not."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from scaling_tasks.actions.results import read_result_if_there
from scaling_tasks.errors import CacheError
from scaling_tasks.known_digests import STATE
from scaling_tasks.paths import entries
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
            with contextlib.suppress(CacheError):
                shared.add(shared_name(result.components))
    documents = [*(target.result(stage, "x").parent for stage in _PER_UNIT), target.state / "verification"]
    found = [path for place in documents for path in entries(place, STATE) if _of_no_unit(path, units)]
    artefacts = entries(target.state / "artefacts", STATE)
    found += [path for path in artefacts if path not in kept and not path.name.startswith(".")]
    return found + [path for path in entries(target.state / "shared", STATE) if path.name not in shared]


def _of_no_unit(path: Path, units: Sequence[str]) -> bool:
    return path.suffix == ".json" and not path.name.startswith(".") and path.stem not in units
