"""What a build would do with a target: its graph walked without doing anything, or writing anything here."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.actions.perform import do_here, renamed
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.actions.results import Result, ResultFile, read_result_if_there
from scaling_tasks.builds.graph import stages_of
from scaling_tasks.builds.history import CompileHistory
from scaling_tasks.builds.look_ahead import look_up_units
from scaling_tasks.builds.mistakes import notes
from scaling_tasks.builds.workshop import open_store
from scaling_tasks.errors import CacheError, ScalingTasksError
from scaling_tasks.files import digest_file
from scaling_tasks.known_digests import known_digests
from scaling_tasks.names import Digest, inner_name
from scaling_tasks.stages.analysis import DOCUMENT, STAGE, read_analysis
from scaling_tasks.stages.lock import LOCK, built_section, read_lock
from scaling_tasks.stages.stage import Built, Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

__all__ = [
    "FAIL",
    "KEPT",
    "LEFT_OUT",
    "MAY_RUN",
    "RESTORE",
    "RUN",
    "Change",
    "Forecast",
    "Forecaster",
    "compared_with_lock",
]

RUN, RESTORE, MAY_RUN, KEPT, LEFT_OUT, FAIL = "run", "restore", "may run", "up to date", "left out", "fail"

_WITHOUT_TOOLCHAIN = ("scan", "statistics", "buckets", "lock")


@dataclass(frozen=True)
class Change:
    """One component of a key that is not what it was.

    Attributes:
        component: Where it stands in the key, such as ``parameters.options.device``.
        old: What it was, None where it was not there.
        new: What it is now, None where it is no longer there.
    """

    component: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Forecast:
    """What a build would do with one task.

    Attributes:
        name: The task's name.
        action: ``run``; ``restore`` (its result comes from the store); ``may run`` (if what it waits for changes);
            ``up to date``; ``left out`` (optional and without toolchain); ``fail`` (an input is missing).
        reasons: Why, one sentence each.
        changes: The components of its key that changed.
        seconds: How long it will take, where it is a compile and there is a history to go by.
        needs: Names of the tasks that come before it.
        verdict: Of the target's answers in words, at the task of its analysis.
        locked: Where it has not run here: the key that ``scaling.lock`` names in its place, and its own action's text.
    """

    name: str
    action: str
    reasons: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    seconds: float | None = None
    needs: tuple[str, ...] = ()
    verdict: str = ""
    locked: tuple[Digest, str] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing will be done."""
        return self.action in (KEPT, LEFT_OUT)

    def to_payload(self) -> dict[str, Any]:
        """Return the forecast as plain JSON values."""
        return {
            "name": self.name,
            "action": self.action,
            "reasons": list(self.reasons),
            "changes": [vars(each) for each in self.changes],
            "seconds": self.seconds,
        }


def compared_with_lock(row: Forecast) -> Forecast:
    """Return the forecast with what is otherwise than in the action that the lock names, whoever has done that."""
    if row.locked is None:
        return row
    key, text = row.locked
    theirs = open_store().components(key)
    changes = tuple(_differences(theirs, json.loads(text))) if theirs is not None else ()
    if not changes:
        return row
    said = f"it is not the one that {LOCK} names: {', '.join(change.component for change in changes)} changed"
    return replace(row, reasons=(*row.reasons, said), changes=changes)


class Forecaster:
    """Looks at one target after the other."""

    def __init__(self) -> None:
        self._store = open_store()

    def forecasts(self, target: Target, left_out: str | None) -> list[Forecast]:
        """Return the forecast of every task of a target, in order.

        Args:
            target: Whose tasks.
            left_out: Why nothing of it is compiled here, None where it is.
        """
        with tempfile.TemporaryDirectory(prefix="scaling-tasks-") as directory:
            walk = _Walk(target, left_out, Path(directory), self)
            rows, analysis = list(walk.rows()), f"{STAGE.name}:{target.name}"
            return [replace(row, verdict=walk.verdict()) if row.name == analysis else row for row in rows]

    def look_up(self, stage: Stage, target: Target, made: Made) -> None:
        """Look in the remote store for all units of a stage at once."""
        look_up_units(self._store, stage, target, made)

    def stored(self, components: Mapping[str, Any], *, read: bool) -> tuple[ResultFile, ...] | None:
        """Return the files that the store has of an action, where they lie in it; None where it has none.

        Args:
            components: The action.
            read: Whether its documents are fetched from a remote store, because the stages to come are told by them.
        """
        self._store.look_up([components])
        record = self._store.peek(components)
        if record is None:
            return None
        documents = [each for each in record.files if read and each.name.endswith(".json")]
        self._store.expect(documents)
        places = {
            each: self._store.here(each) if each in documents else self._store.path(each) for each in record.files
        }
        return tuple(ResultFile(each.name, each.digest, each.size, place.as_posix()) for each, place in places.items())

    @cached_property
    def history(self) -> CompileHistory:
        """How long compiles took before; all that the store holds is read for it."""
        return CompileHistory(self._store.records())


class _UnknownError(ScalingTasksError):
    """What a stage will make is known only when it has run; ``what`` is the name of its task."""


class _Walk:
    """Walks a target's graph; for the stages to come it is what has been made."""

    def __init__(self, target: Target, left_out: str | None, scratch: Path, known: Forecaster) -> None:
        self._target, self._left_out, self._scratch, self._known = target, left_out, scratch, known
        self._results: dict[tuple[str, str | None], Result] = {}
        self._names: dict[str, dict[str | None, str]] = {}  # Of the tasks seen, by stage and unit.
        self._homes: dict[Path, Path] = {}  # Where files belong that are made in the scratch directory for now.

    def rows(self) -> Iterator[Forecast]:
        """Yield the forecast of each task."""
        for stage in stages_of(self._target):
            if self._left_out is None or stage.name in _WITHOUT_TOOLCHAIN:
                yield from self._stage(stage)
            elif stage.name == "compile":
                yield Forecast(self._name("compile", "toolchain"), LEFT_OUT, (self._left_out,))

    def verdict(self) -> str:
        """Return the target's verdict within its planned buckets, else that of the model; empty where none is known."""
        with contextlib.suppress(ScalingTasksError):
            found = read_analysis(self.result(STAGE.name).file(DOCUMENT).path)
            with contextlib.suppress(ScalingTasksError):
                found = msgspec.structs.replace(found, behaviour=planned_units(self).behaviour)
            return found.line
        return ""

    def result(self, stage: str, unit: str | None = None) -> Result:
        """Return what a stage has made or would make.

        Raises:
            ScalingTasksError: That is known only when it has run.
        """
        if (stage, unit) not in self._results:
            raise _UnknownError(self._name(stage, unit))
        return self._results[stage, unit]

    def _stage(self, stage: Stage) -> Iterator[Forecast]:
        units: list[str | None] = [None]
        if stage.per_unit:
            try:
                units = [unit.name for unit in planned_units(self).units]
            except ScalingTasksError:
                said = f"its units are known only when buckets:{self._target.name} has run"
                self._names[stage.name] = {None: self._name(stage.name, None)}
                yield Forecast(self._name(stage.name, None), RUN, (said,), needs=self._needs(stage, None))
                return
            self._known.look_up(stage, self._target, self)
        self._names[stage.name] = {unit: self._name(stage.name, unit) for unit in units}
        yield from (self._look(stage, unit) for unit in units)

    def _look(self, stage: Stage, unit: str | None) -> Forecast:
        name, needs = self._name(stage.name, unit), self._needs(stage, unit)
        if stage.request is None:
            return self._look_at_deed(stage, name, needs)
        try:
            request = stage.request(self._target, self, unit)
        except _UnknownError as error:
            return Forecast(name, RUN, (f"{error.what} changes what it is made from",), needs=needs)
        except ScalingTasksError as error:
            return Forecast(name, FAIL, (str(renamed(error, self._homes)),), needs=needs)
        recorded = read_result_if_there(self._target.record(stage.name, unit))
        if recorded is not None and recorded.key == request.action.key and recorded.intact(known_digests()):
            self._results[stage.name, unit] = recorded
            return Forecast(name, KEPT, needs=needs)
        components = request.action.components
        reasons, changes = _why(recorded, components)
        if stage.name == "buckets":
            reasons = (*reasons, *notes(self._target))
        if request.stored and (files := self._known.stored(components, read=not stage.per_unit)) is not None:
            self._results[stage.name, unit] = Result.of(request.action.text, files, {})
            return Forecast(name, RESTORE, reasons, changes, needs=needs)
        try:
            self._foresee(stage, unit, request)
        except ScalingTasksError as error:
            reasons = (*reasons, f"it will fail: {renamed(error, self._homes)}")
        seconds = self._known.history.expected_seconds(components) if stage.name == "compile" else None
        locked = self._locked(unit, request) if recorded is None and stage.name == "compile" else None
        return Forecast(name, RUN, reasons, changes, seconds, needs, locked=locked)

    def _locked(self, unit: str | None, request: ActionRequest) -> tuple[Digest, str] | None:
        section = read_lock().get(self._target.name, {})
        key: Digest | None = section.get("units", {}).get(unit, {}).get("key")
        return (key, request.action.text) if key not in (None, request.action.key) else None

    def _look_at_deed(self, stage: Stage, name: str, needs: tuple[str, ...]) -> Forecast:
        """Tell of a stage that is no action: the scan, and the lock."""
        current = stage.current is not None and stage.current(self._target)
        if stage.name == "scan":
            with contextlib.suppress(ScalingTasksError, OSError):
                self._results["scan", None] = Built(self._target).result("scan") if current else self._rescanned()
            return Forecast(name, KEPT) if current else Forecast(name, RUN, ("the data set is not what was scanned",))
        if self._left_out is not None:
            return Forecast(name, KEPT, needs=needs)
        try:
            said = read_lock().get(self._target.name) == built_section(self._target, self)
        except _UnknownError as error:
            return Forecast(name, RUN, (f"{error.what} changes what it says",), needs=needs)
        except ScalingTasksError as error:
            return Forecast(name, FAIL, (str(error),), needs=needs)
        return Forecast(name, KEPT if said else RUN, () if said else ("it says something else",), needs=needs)

    def _foresee(self, stage: Stage, unit: str | None, request: ActionRequest) -> None:
        """Find out what a stage would make, where that takes no compiler and no engine."""
        if stage.do is not None:
            places = request.sources()
            files = tuple(
                ResultFile(inner_name(name), digest, 0, places[name].as_posix())
                for name, digest in request.action.inputs.items()
            )
            self._results[stage.name, unit] = Result.of(request.action.text, files, {})
        elif request.limits is None:
            made = sorted(do_here(request, self._scratch / f"{stage.name}-{unit}").iterdir())
            self._homes |= {path: stage.place(self._target, unit, path.name) for path in made}
            files = tuple(_made(path) for path in made)
            self._results[stage.name, unit] = Result.of(request.action.text, files, {})

    def _rescanned(self) -> Result:
        from scaling_tasks.samples.places import summary_path
        from scaling_tasks.samples.scan import scan

        cache = self._scratch / "cache"
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(self._target.scan_cache, cache)
        scan(self._target.dataset, cache)
        summary = summary_path(cache)
        return Result.of("{}", (_made(summary),), {})

    def _needs(self, stage: Stage, unit: str | None) -> tuple[str, ...]:
        """Return the tasks seen that a stage follows: of those of units, for one unit its own, else all."""
        before = [names for name, names in self._names.items() if name in stage.after]
        if unit is None:
            return tuple(name for names in before for name in names.values())
        return tuple(names[each] for names in before for each in (None, unit) if each in names)

    def _name(self, stage: str, unit: str | None) -> str:
        return f"{stage}:{self._target.name}" + (f":{unit}" if unit else "")


def _made(path: Path) -> ResultFile:
    return ResultFile(inner_name(path.name), digest_file(path), path.stat().st_size, path.as_posix())


def _why(recorded: Result | None, components: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Change, ...]]:
    """Return in words and as changes how a key differs from the one recorded."""
    if recorded is None:
        return ("it has not run here",), ()
    try:
        changes = tuple(_differences(recorded.components, components))
    except CacheError:
        return ("what was noted of it is damaged",), ()
    if not changes:
        return ("its files are not what it made",), ()
    return (f"{', '.join(change.component for change in changes)} changed",), changes


def _differences(old: Any, new: Any, where: str = "") -> Iterator[Change]:
    """Yield the innermost differences between two JSON values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{where}[{index}]")
    elif old != new:
        yield Change(where, old, new)
