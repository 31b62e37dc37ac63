"""Stage ``measure``: the latency of each bucket on this machine, which the next run's plan may be made from."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import TOOLCHAIN, ActionRequest
from scaling_tasks.actions.results import places_of
from scaling_tasks.errors import PlanError, VerificationFailed
from scaling_tasks.execution.contract import Subject
from scaling_tasks.machine import host
from scaling_tasks.own_code import code_of
from scaling_tasks.stages.compile import identity_of, toolchain, worker_limits
from scaling_tasks.stages.inputs import platform
from scaling_tasks.stages.manifest import bundle_files
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target

__all__ = ["STAGE", "work"]

_LATENCY, _KNOWN = "latency.json", "known/latency.json"


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    bundle = {f"bundle/{name}": file for name, file in bundle_files(made).items()}
    inputs = {name: file.digest for name, file in bundle.items()}
    return ActionRequest(
        Action("measure", code_of(), inputs, {}, toolchain(target), platform(target, host()), (_LATENCY,)),
        lambda: places_of(bundle),
        f"{__name__}:work",
        Subject(target.name, "the engine", VerificationFailed),
        # What is timed gets the machine that it will have.
        lambda: worker_limits(target, all_cores=True),
        # What was measured before is kept, and so is no part of the key.
        carried={_KNOWN: target.latency} if target.latency.exists() else {},
        hints=lambda: {"options": target.result_options},
        # Another clone on this machine plans by the same latencies; what is added to those measured before is its own.
        stored=not target.latency.exists(),
    )


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Measure the buckets that the table does not have yet, in a process of its own; return how many it has."""
    from scaling_tasks.planning.latency_table import LatencyTable
    from scaling_tasks.runtime.bundle import read_manifest
    from scaling_tasks.verification.latency import measure_bundle

    known = None
    with contextlib.suppress(PlanError):
        known = LatencyTable.load(inputs / _KNOWN)
    bundle = inputs / "bundle"
    table = measure_bundle(bundle, read_manifest(bundle), known)
    (outputs / _LATENCY).write_text(table.to_json(), encoding="utf-8")
    return {"measured": len(table.seconds), TOOLCHAIN: identity_of(parameters["options"])}


STAGE = Stage(
    name="measure",
    doc="measure each bucket's latency for the next plan",
    after=("bundle",),
    applies=lambda target: target.spec.auto_scaling.cost == "measured" and not target.cannot_run,
    request=_request,
    place=lambda target, unit, name: target.directory / name,
    products=lambda target: (target.latency,),
    # What was measured outlives a `clean`: measuring anew would change the next plan.
    lasting=True,
)
