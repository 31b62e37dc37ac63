"""What a run would do with the stages of one target that follow its plan, whether that plan exists yet or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scaling_tasks.doit_plugin.changes import key_reasons
from scaling_tasks.doit_plugin.creators import STAGES
from scaling_tasks.doit_plugin.forecast import FAIL, KEPT, LEFT_OUT, MAY_RUN, RESTORE, RUN, Forecast, Known
from scaling_tasks.doit_plugin.optional import missing_toolchain
from scaling_tasks.doit_plugin.tasks import PER_UNIT
from scaling_tasks.doit_plugin.uptodate import KEY, plain_json
from scaling_tasks.errors import ScalingTasksError

if TYPE_CHECKING:
    from scaling_tasks.pipeline.history import CompileHistory
    from scaling_tasks.pipeline.target import Target
    from scaling_tasks.pipeline.units import UnitsDocument
    from scaling_tasks.store.store import Store

__all__ = ["planned_stages"]


def planned_stages(known: Known, target: Target) -> Iterator[Forecast]:
    """Yield the forecasts of all that follows the target's plan."""
    buckets = known.rows[f"buckets:{target.name}"]
    replanned = not buckets.idle
    plan_changes = False
    if target.compiles:
        if reason := missing_toolchain(target):
            yield Forecast(f"compile:{target.name}:toolchain", LEFT_OUT, (reason,))
            return
        try:
            document = _document(known, target, replanned)
        except ScalingTasksError as error:
            yield _unknown(target, error, replanned)
            return
        units = _Units(known, target, document)
        rows = list(units.rows())
        yield from rows
    if replanned:
        plan_changes = _plan_changes(known, target)
    yield from _whole(known, target, rows if target.compiles else [], plan_changes)


def _document(known: Known, target: Target, replanned: bool) -> UnitsDocument:
    from scaling_tasks.pipeline.units import read_units

    return known.foresight(target).units if replanned else read_units(target.units)


def _unknown(target: Target, error: ScalingTasksError, replanned: bool) -> Forecast:
    said = f"its units are known only when buckets:{target.name} has run ({error})" if replanned else str(error)
    return Forecast(f"compile:{target.name}", RUN if replanned else FAIL, (said,), needs=(f"buckets:{target.name}",))


def _plan_changes(known: Known, target: Target) -> bool:
    try:
        return known.foresight(target).buckets_change
    except ScalingTasksError:
        return True


class _Units:
    """The compile and verify tasks of one target."""

    def __init__(self, known: Known, target: Target, document: UnitsDocument) -> None:
        self._known = known
        self._target = target
        self._document = document
        self._store, self._history = _store_and_history()

    def rows(self) -> Iterator[Forecast]:
        for unit in self._document.units:
            compiled = self._compile(unit.name)
            yield compiled
            yield self._verify(unit.name, compiled)

    def _compile(self, unit: str) -> Forecast:
        from scaling_tasks.pipeline import artefacts
        from scaling_tasks.pipeline.keys import compile_components

        name = f"compile:{self._target.name}:{unit}"
        needs = (f"buckets:{self._target.name}",)
        try:
            components = plain_json(compile_components(self._target, self._document, unit))
        except ScalingTasksError as error:
            return Forecast(name, FAIL, (str(error),), needs=needs)
        old = self._known.state.get_values(name).get(KEY)
        if old == components and artefacts.intact(self._target, unit):
            return Forecast(name, KEPT, needs=needs)
        sentences, changes = key_reasons(old, components)
        reasons = tuple(sentences) or ("it has not run here",)
        if self._store.contains(components):
            return Forecast(name, RESTORE, reasons, changes, needs=needs)
        seconds = self._history.expected_seconds(components)
        return Forecast(name, RUN, reasons, changes, seconds, needs)

    def _verify(self, unit: str, compiled: Forecast) -> Forecast:
        from doit.task import dict_to_task

        name = f"verify:{self._target.name}:{unit}"
        task = self._known.tasks.get(name)
        if task is None:
            task = dict_to_task({"name": name, **PER_UNIT["verify"](self._target, unit)})
        if compiled.action == RUN:
            return Forecast(name, RUN, (f"{compiled.name} would run",), needs=(compiled.name,))
        if not self._target.artefact_record(unit).exists() or (compiled.action == RESTORE and compiled.changes):
            return Forecast(name, RUN, (f"{compiled.name} comes from the store",), needs=(compiled.name,))
        row = self._known.status(task)
        # What is restored under an unchanged key is what was verified.
        return replace(row, action=KEPT, reasons=()) if row.action == MAY_RUN else row


def _store_and_history() -> tuple[Store, CompileHistory]:
    from scaling_tasks.pipeline.history import CompileHistory
    from scaling_tasks.pipeline.storage import open_store

    store = open_store()
    return store, CompileHistory(store.records())


def _whole(known: Known, target: Target, units: list[Forecast], plan_changes: bool) -> Iterator[Forecast]:
    """Yield the stages that concern all units: each runs by itself, or because of what comes before it."""
    causes = [row.name for row in units if row.name.startswith("compile:") and row.action == RUN]
    causes += [row.name for row in units if row.name.startswith("compile:") and row.action == RESTORE and row.changes]
    if plan_changes:
        causes.insert(0, f"buckets:{target.name}")
    checks = [row.name for row in units if row.name.startswith("verify:") and not row.idle]
    needs = tuple(row.name for row in units) or (f"buckets:{target.name}",)
    for stage in STAGES[STAGES.index("bundle") :]:
        task = known.tasks.get(f"{stage}:{target.name}")
        if task is None or not task.actions:
            continue
        row = _whole_row(known, task, causes, checks if stage == "report" else [], needs)
        yield row
        if stage == "bundle":
            causes = [*causes, *([row.name] if row.action == RUN else [])]
            needs = (row.name,)
        elif not row.idle:
            checks = [*checks, row.name]


def _whole_row(known: Known, task: Any, causes: list[str], checks: list[str], needs: tuple[str, ...]) -> Forecast:
    row = known.status(task)
    if row.action == FAIL or causes:
        return Forecast(task.name, RUN, (_because(causes),), row.changes, None, needs)
    if row.action != RUN and checks:
        return Forecast(task.name, MAY_RUN, (f"{checks[0]} may change what it shows",), needs=needs)
    action = KEPT if row.action == MAY_RUN else row.action
    return Forecast(task.name, action, () if action == KEPT else row.reasons, row.changes, None, needs)


def _because(causes: list[str]) -> str:
    if not causes:
        return "what it is made from does not exist yet"
    others = f" and {len(causes) - 2} more" if len(causes) > 2 else ""
    return f"{', '.join(causes[:2])}{others} change{'s' if len(causes) == 1 else ''} what it is made from"
