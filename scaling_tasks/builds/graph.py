"""The stages of a target, in the order of their work: the one list that everything else walks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.actions.results import AwaitedError, read_result_if_there
from scaling_tasks.known_digests import known_digests
from scaling_tasks.stages import (
    analysis,
    buckets,
    bundle,
    lock,
    manifest,
    measure,
    metric,
    padding,
    report,
    scan,
    statistics,
    verify,
)
from scaling_tasks.stages import (
    compile as compiling,
)
from scaling_tasks.stages.stage import Built, Stage
from scaling_tasks.stages.target import Target

if TYPE_CHECKING:
    from scaling_tasks.actions.perform import Workshop

__all__ = ["STAGES", "is_current", "place_all", "run_stage", "stages_of"]

STAGES: dict[str, Stage] = {
    each.name: each
    for each in (
        scan.STAGE,
        statistics.STAGE,
        analysis.STAGE,
        buckets.STAGE,
        compiling.STAGE,
        verify.STAGE,
        manifest.STAGE,
        padding.STAGE,
        metric.STAGE,
        bundle.STAGE,
        measure.STAGE,
        report.STAGE,
        lock.STAGE,
    )
}


def stages_of(target: Target) -> list[Stage]:
    """Return the stages that a target goes through, each after those that it follows."""
    return [stage for stage in STAGES.values() if stage.applies(target)]


def run_stage(name: str, target: Target, unit: str | None = None, *, others: bool = True) -> dict[str, Any]:
    """Have a stage's result in its place.

    Args:
        name: The stage's name.
        target: Whose.
        unit: Of which unit, for a stage that works on units.
        others: Whether the target's other units will be asked for as well, so that they are looked up at once.

    Returns:
        What it had to tell.

    Raises:
        ScalingTasksError: It failed.
    """
    from scaling_tasks.builds.look_ahead import expect_units
    from scaling_tasks.builds.mistakes import refuse_mistakes
    from scaling_tasks.builds.pruning import note_target
    from scaling_tasks.builds.workshop import open_workshop

    refuse_mistakes(target)
    stage = STAGES[name]
    if stage.do is not None or stage.request is None:
        return stage.do(target, lambda: open_workshop(target.spec.executor)) if stage.do is not None else {}
    note_target(target)
    workshop = open_workshop(target.spec.executor)
    if stage.per_unit and others:
        expect_units(workshop.store, stage, target)
    try:
        told = _perform(workshop, stage, target, unit)
    except AwaitedError:
        place_all(target, stage.after)
        told = _perform(workshop, stage, target, unit)
    product = next(iter(stage.products(target)), None)
    verb = {"outcome": stage.verb} if told["outcome"] == "done" else {}
    return {**told, **verb, **({"path": product.as_posix()} if product else {})}


def place_all(target: Target, stages: Iterable[str]) -> None:
    """Have all files of these stages in their places, those too that nothing has read yet.

    Raises:
        ScalingTasksError: One failed.
    """
    from scaling_tasks.builds.workshop import open_workshop

    workshop = open_workshop(target.spec.executor)
    for stage in (STAGES[name] for name in stages):
        if stage.applies(target) and not stage.per_unit and stage.request is not None and stage.do is None:
            _perform(workshop, msgspec.structs.replace(stage, awaited=lambda target, name: False), target, None)


def _perform(workshop: Workshop, stage: Stage, target: Target, unit: str | None) -> dict[str, Any]:
    assert stage.request is not None
    return workshop.perform(
        stage.request(target, Built(target), unit),
        lambda file: target.rooted(stage.place(target, unit, file)),
        record=target.result(stage.name, unit),
        log=target.log(stage.name, unit),
        purpose=f"{stage.name} of {target.name}{f' {unit}' if unit else ''}",
        awaited=lambda file: stage.awaited(target, file),
    )


def is_current(name: str, target: Target, unit: str | None = None) -> str | None:
    """Return the key of a stage's result where it is the one to have and its files are intact; None where it is not.

    Raises:
        ScalingTasksError: What the key is made of is not there.
    """
    stage = STAGES[name]
    if stage.request is None:
        return "current" if stage.current is not None and stage.current(target) else None
    recorded = read_result_if_there(target.record(name, unit))
    if recorded is None:
        return None
    action = stage.request(target, Built(target), unit).action
    return action.key if recorded.key == action.key and recorded.intact(known_digests()) else None
