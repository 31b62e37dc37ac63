"""Having an action's result in its place: out of the store where it was made before, else by doing the work."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.actions.publication import while_it_stays
from scaling_tasks.actions.request import TOOLCHAIN, ActionRequest
from scaling_tasks.actions.results import AwaitedError, Result, ResultFile, write_result
from scaling_tasks.actions.told import told
from scaling_tasks.errors import CacheError, ScalingTasksError, of_disk, one_line
from scaling_tasks.execution.contract import Done, Executor, Limits, Origin, Work
from scaling_tasks.execution.file_locks import exclusive, taken_if_free
from scaling_tasks.files import copy_digest, publish, remove_whole
from scaling_tasks.known_digests import KnownDigests
from scaling_tasks.names import InnerName, inner_name
from scaling_tasks.paths import directory_of, entries, inside
from scaling_tasks.store.blobs import LostContentError, place_copy
from scaling_tasks.store.records import Record, StoredFile
from scaling_tasks.store.store import Store

__all__ = ["Place", "Workshop", "do_here", "renamed"]

_VALUES = "values"
# For what has no limits where it is done in this process.
_ENOUGH = Limits(timeout=2_000_000.0)
_FAILED = "failed"
Place = Callable[[str], tuple[Path, Path]]
"""Where an output of a given name belongs, and what that lies below: no link leads out of there."""


Awaited = Callable[[str], bool]
"""Whether an output of a given name is put in its place only when something reads it."""


@dataclass(frozen=True)
class Workshop:
    """Where and with what actions are done.

    Attributes:
        state: The directory for work, locks and what is known.
        store: Where results are looked up and kept.
        executor: Who does what needs a process of its own.
        known: Digests of files that did not change.
    """

    state: Path
    store: Store
    executor: Executor
    known: KnownDigests

    def perform(
        self,
        request: ActionRequest,
        place: Place,
        *,
        record: Path,
        log: Path,
        purpose: str,
        awaited: Awaited = lambda name: False,
    ) -> dict[str, Any]:
        """Have the action's result in place and its record written.

        Args:
            request: What to have.
            place: Where its files belong.
            record: Where it is noted what it made.
            log: Where to find what the work printed.
            purpose: What is done, for whoever has to wait for it.
            awaited: Which outputs stay in a remote store, where only that has them, until something reads them.

        Returns:
            What the action had to tell, with ``outcome`` (``done`` or ``restored``), the ``seconds`` that it takes or
            took, its ``bytes``, and where another machine did it the ``worker`` and the ``spans`` of its work.

        Raises:
            AwaitedError: An input cannot be had any more: what made it must be done again, and nothing be awaited.
            ScalingTasksError: An input changed meanwhile, or the work failed.
        """
        action = request.action
        lock = self.state / "locks" / action.key
        with exclusive(lock, purpose, below=self.state), self._claimed(request, purpose):
            found, files = self._restored(request, place, awaited)
            outcome = "done" if found is None else "restored"
            warnings: list[str] = []
            maker: dict[str, Any] = {}
            if found is None:
                with self._workdir(action.key) as workdir:
                    found, warnings, maker = self._do(request, workdir, log, purpose)
                    files = self._placed(found, place, workdir / "outputs")
            values = told(found.details.get(_VALUES, {}))
            write_result(record, Result.of(action.text, files, values), below=self.state)
        warnings = [*values.pop("warnings", ()), *warnings]
        facts = {"outcome": outcome, "seconds": found.details.get("seconds", 0.0), "bytes": found.size, **maker}
        return {**values, **facts, **({"warnings": warnings} if warnings else {})}

    @contextlib.contextmanager
    def _claimed(self, request: ActionRequest, purpose: str) -> Iterator[None]:
        """Keep other repositories that share the store from doing the same at the same time.

        Where the store cannot be written or its disk knows no locks, the same work may be done twice.
        """
        path = self.store.root / "locks" / request.action.key
        with contextlib.ExitStack() as held:
            if request.stored and not path.is_relative_to(self.state):
                with contextlib.suppress(OSError):
                    held.enter_context(exclusive(path, purpose, below=self.store.root))
                    held.callback(remove_whole, path, below=self.store.root)  # Whoever waits for it notices.
            yield

    def _restored(
        self, request: ActionRequest, place: Place, awaited: Awaited
    ) -> tuple[Record | None, tuple[ResultFile, ...]]:
        """Return what the store has, its files in their places; None where it does not have all of it any more."""
        found = self._look_up(request)
        if found is None:
            return None, ()
        left = {file for file in found.files if awaited(file.name) and not self.store.has(file)}
        self.store.expect(f for f in found.files if f not in left and not self._is_placed(f, place(f.name)[0]))
        try:
            return found, self._placed(found, place, None, left)
        except LostContentError:
            self.store.lose(found)
            return None, ()

    def _look_up(self, request: ActionRequest) -> Record | None:
        """Return what the store has, unless it names what is none of the action's outputs, or tells what none does."""
        found = self.store.get(request.action.components) if request.stored else None
        if found is None or not all(request.action.makes(file.name) for file in found.files):
            return None
        try:
            told(found.details.get(_VALUES, {}))
        except ValueError:
            return None
        return found

    @contextlib.contextmanager
    def _workdir(self, key: str) -> Iterator[Path]:
        """Give a directory that the holder of the key's lock owns; where the work fails it stays for a look at it."""
        _sweep(self.state.absolute())
        workdir = self.state / "work" / key
        remove_whole(workdir, below=self.state)
        with directory_of(workdir, self.state, make=True) as (directory, name):
            os.mkdir(name, dir_fd=directory)
        try:
            yield workdir
        except ScalingTasksError:
            with contextlib.suppress(OSError):
                (workdir / _FAILED).touch()
            raise
        remove_whole(workdir, below=self.state)

    def _do(
        self, request: ActionRequest, workdir: Path, log: Path, name: str
    ) -> tuple[Record, list[str], dict[str, Any]]:
        """Return what was made, what is to be warned of, and who made it."""
        request = self._with_awaited(request)
        work = _prepared(request, workdir, name if self.executor.elsewhere else None)
        done = self._run(request, work, workdir, log)
        outputs = work.outputs
        try:
            values = told(done.values)
        except ValueError as cause:
            what = f"what it told is not to be used ({one_line(cause)})"
            raise request.subject.error(what, where=request.subject.name) from cause
        if values.pop(TOOLCHAIN, request.action.toolchain) != request.action.toolchain:
            raise request.subject.error(
                "its toolchain changed while it was at work", where=request.subject.name, fix="Build again."
            )
        names = _made(request, values.pop("files", None) or _names(outputs))
        details = {"seconds": round(done.seconds, 3), "peak_memory_bytes": done.peak_memory_bytes, _VALUES: values}
        components, files = request.action.components, {name: outputs / name for name in names}
        maker = {"worker": done.worker, "spans": [list(span) for span in done.spans]} if done.worker else {}
        warnings = list(done.warnings)
        if not request.stored:
            return Record.of(components, files, details), warnings, maker
        try:
            return self.store.put(components, files, details), warnings, maker
        except CacheError as error:
            # What was made is good, whether it can be kept or not.
            return Record.of(components, files, details), [*warnings, f"not stored: {error}"], maker

    def _with_awaited(self, request: ActionRequest) -> ActionRequest:
        """Return the request with inputs that are not in their places taken from the store.

        Raises:
            AwaitedError: The store does not have one.
        """
        sources = request.sources()
        absent = {name: path for name, path in sources.items() if not path.exists()}
        if not absent or self.store.remote is None:
            return request
        for name, path in absent.items():
            content = self.store.obtain(request.action.inputs[name])
            if content is None:
                raise AwaitedError("cannot be read (it is not there)", where=str(path))
            absent[name] = content
        return msgspec.structs.replace(request, sources=lambda: {**sources, **absent})

    def _run(self, request: ActionRequest, work: Work, workdir: Path, log: Path) -> Done:
        if request.limits is None and work.origin is None:
            started = time.monotonic()
            return Done(_done_here(request, work), time.monotonic() - started, 0)
        own_log = workdir / "log"
        own_log.touch()
        _show(own_log, log, self.state)
        try:
            limits = request.limits() if request.limits else _ENOUGH
            return self.executor.submit(work, limits, request.subject, job_file=workdir / "job.json", log=own_log)
        except ScalingTasksError as error:
            raise renamed(error, {**_homes(request, work), own_log: log}) from error

    def _placed(
        self, record: Record, place: Place, made: Path | None, left: Collection[StoredFile] = ()
    ) -> tuple[ResultFile, ...]:
        """Put a record's files where they belong, but those left: from where they were made, else from the store."""
        placed = []
        for file in record.files:
            target, below = place(file.name)
            absent = not self._is_placed(file, target)
            awaited = absent and file in left
            if absent and not awaited:
                with contextlib.nullcontext() if below == self.state else while_it_stays(below, self.state):
                    if made is None:
                        self.store.place(file, target, below=below)
                    else:
                        place_copy(made / file.name, target, file.digest, file.size, below=below)
                    self.known.made(target, file.digest)
            placed.append(ResultFile(file.name, file.digest, file.size, target.as_posix(), awaited))
        return tuple(placed)

    def _is_placed(self, file: StoredFile, target: Path) -> bool:
        return self.known.holds(target, file.digest, file.size)


@functools.cache
def _sweep(state: Path) -> None:
    """Remove, once in the life of this process, the work directories of processes that were killed."""
    for workdir in entries(state / "work", state):
        with contextlib.suppress(OSError), taken_if_free(state / "locks" / workdir.name, below=state) as held:
            if held and not (workdir / _FAILED).exists():
                remove_whole(workdir, below=state)


def do_here(request: ActionRequest, workdir: Path) -> Path:
    """Do an action's work in this process and a new directory, keeping nothing; return the directory of its outputs.

    Raises:
        ScalingTasksError: An input is not there or changed meanwhile, or the work failed.
    """
    work = _prepared(request, workdir)
    _done_here(request, work)
    return work.outputs


def renamed(error: ScalingTasksError, names: Mapping[Path, Path]) -> ScalingTasksError:
    """Return the error with files called by the names that a user knows them by."""
    texts = [error.what, error.where, error.fix]
    for place, home in names.items():
        texts = [text.replace(str(place.resolve()), str(home)).replace(str(place), str(home)) for text in texts]
    return type(error)(texts[0], where=texts[1], fix=texts[2])


def _done_here(request: ActionRequest, work: Work) -> dict[str, Any]:
    module, _, function = work.function.partition(":")
    try:
        values: dict[str, Any] = getattr(import_module(module), function)(work.inputs, work.outputs, work.parameters)
    except ScalingTasksError as error:
        raise renamed(error, _homes(request, work)) from error
    return values


def _homes(request: ActionRequest, work: Work) -> dict[Path, Path]:
    """Return where the inputs come from, by where they lie for the work."""
    return {work.inputs / name: path for name, path in {**request.sources(), **request.carried}.items()}


def _prepared(request: ActionRequest, workdir: Path, name: str | None = None) -> Work:
    """Fill a new directory with exactly the action's inputs, and make sure that they are those it names.

    Args:
        request: What is to be done.
        workdir: The directory.
        name: What it is called for people where it may be done on another machine.

    Raises:
        ScalingTasksError: One is not there, or not what it was when the action was made.
    """
    inputs, outputs = workdir / "inputs", workdir / "outputs"
    for directory in (inputs, outputs):
        directory.mkdir(parents=True)
    digests, sources = {}, request.sources()
    for file, source in {**sources, **request.carried}.items():
        try:
            target = inside(inputs, file)
            target.parent.mkdir(parents=True, exist_ok=True)
            digests[file] = copy_digest(source, target)
        except OSError as cause:
            raise of_disk(cause, request.subject.error, where=source, what="cannot be copied") from cause
        if file in sources and digests[file] != request.action.inputs[file]:
            raise request.subject.error(
                "it changed while it was being built from", where=str(source), fix="Build again."
            )
    scratch = {parameter: directory.absolute() for parameter, directory in request.scratch().items()}
    hints = {**request.hints(), **{parameter: str(directory) for parameter, directory in scratch.items()}}
    origin = None
    if name is not None and request.tools:
        action = request.action
        expected = {"toolchain": action.toolchain, "platform": action.platform}
        names = {parameter: directory.name for parameter, directory in scratch.items()}
        origin = Origin(name, action.key, digests, request.tools, expected, names, request.at_home)
    return Work(request.function, inputs, outputs, {**request.action.parameters, **hints}, origin)


def _made(request: ActionRequest, names: Iterable[str]) -> list[InnerName]:
    """Return the names of what work has made.

    Raises:
        ScalingTasksError: One is none of its action's outputs.
    """
    try:
        found = [inner_name(name) for name in names]
    except (ValueError, TypeError) as cause:
        raise request.subject.error(f"it made a file that has no name ({cause})", where=request.subject.name) from cause
    if wrong := [name for name in found if not request.action.makes(name)]:
        raise request.subject.error(f"it made {wrong[0]!r}, which is none of its outputs", where=request.subject.name)
    return found


def _names(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def _show(own: Path, log: Path, state: Path) -> None:
    """Let the log be found under its usual name from now on, though it lies in the action's own directory."""
    with contextlib.suppress(OSError), publish(log, below=state, derived=True) as temporary:
        os.link(own, temporary)
