"""Having parts of a data set measured where a target's work is done: each an action, named by what its files are."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from scaling_tasks.action import Action
from scaling_tasks.actions.perform import Workshop
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.errors import DatasetError, NobodyFitsError, ScalingTasksError
from scaling_tasks.execution.contract import Limits, Subject
from scaling_tasks.files import digest_bytes, remove_whole, write_if_changed
from scaling_tasks.known_digests import STATE
from scaling_tasks.own_code import code_of
from scaling_tasks.samples import part_work
from scaling_tasks.samples.container import CODE
from scaling_tasks.samples.parts import DOCUMENT, RESULT, Part
from scaling_tasks.stages.target import Target

__all__ = ["PartsElsewhere"]

_AT_ONCE = 64
"""Parts that are on their way; the threads of it only wait."""
# A shard may be as large as a disk. Who does not want it any more ends it.
_LIMITS = Limits(timeout=2_000_000.0, threads=1, credentials=True)

_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class PartsElsewhere:
    """An ``Elsewhere`` of samples: has parts measured by the workshop's executor, or takes them from its store.

    Args:
        target: Whose data set it is.
        workshop: Where and with what.
    """

    def __init__(self, target: Target, workshop: Workshop) -> None:
        self._target, self._workshop = target, workshop
        self._directory = target.scan_cache.parent / "parts"
        self._pieces: list[tuple[str, str, float, float]] = []
        self._causes: list[ScalingTasksError] = []
        self._asked = 0

    def __call__(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Path | None]]:
        """Yield each part as it is done, with its result, which lies there until all are; None where there is none.

        Raises:
            ExecutorError: Nobody is there.
            CacheError: Something cannot be written.
        """
        self._asked += len(parts)
        try:
            numbered = [(number, len(parts), part) for number, part in enumerate(parts, 1)]
            yield from _at_once(self._measured, numbered, _AT_ONCE)
        finally:
            with suppress(OSError):
                remove_whole(self._directory, below=STATE)

    def told(self) -> dict[str, Any]:
        """Return who did what, and what is to be warned of."""
        workers = sorted({worker for worker, *_ in self._pieces})
        told: dict[str, Any] = {"pieces": [list(piece) for piece in self._pieces]} if workers else {}
        if workers:
            named = ", ".join(workers[:3])
            told["worker"] = f"{named} and {len(workers) - 3} more" if len(workers) > 3 else named
        if self._causes:
            first = self._causes[0]
            many = f"{len(self._causes)} of {self._asked} parts of the data set were"
            said = f"{first.what}{f' ({first.where})' if first.where else ''}"
            told["warnings"] = [f"{'it was' if self._asked == 1 else many} read on this machine: {said}"]
        return told

    def _measured(self, numbered: tuple[int, int, Part]) -> tuple[Part, Path | None]:
        number, count, part = numbered
        name = f"scan of {self._target.name} {number} of {count}"
        text = part.document().encode()
        document = self._directory / f"{digest_bytes(text)}.json"
        write_if_changed(document, text, below=STATE, derived=True)
        request = _request(part, document, name)
        own = self._directory / request.action.key
        try:
            told = self._workshop.perform(
                request,
                lambda file: (own / file, STATE),
                record=own / "result.json",
                log=self._target.log("scan"),
                purpose=name,
            )
        except (NobodyFitsError, DatasetError) as error:
            # What is wrong with the data, if that is it, is told by whoever reads it here.
            self._causes.append(error)
            return part, None
        self._pieces += [(told["worker"], *span) for span in told.get("spans", ())]
        return part, own / RESULT


def _request(part: Part, document: Path, name: str) -> ActionRequest:
    reads = part_work.tools(document.parent, part.parameters)
    return ActionRequest(
        Action(
            "scan",
            code_of(*CODE),
            {DOCUMENT: digest_bytes(document.read_bytes())},
            part.parameters,
            reads["toolchain"],
            reads["platform"],
            (RESULT,),
        ),
        lambda: {DOCUMENT: document},
        f"{part_work.__name__}:{part_work.measure_part.__name__}",
        Subject(name, "the reader", DatasetError),
        lambda: _LIMITS,
        hints=lambda: {"listed": part.listed},
        tools=f"{part_work.__name__}:{part_work.tools.__name__}",
    )


def _at_once(call: Callable[[_Item], _Found], items: Sequence[_Item], most: int) -> Iterator[_Found]:
    """Yield what a function gives for each item as it comes; what is not begun when this is closed never is.

    Not a pool of threads: the interpreter waits for those before it leaves, and these may wait for a worker.
    """
    waiting: queue.SimpleQueue[_Item] = queue.SimpleQueue()
    done: queue.SimpleQueue[Callable[[], _Found]] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)

    def serve() -> None:
        with suppress(queue.Empty):
            while True:
                done.put(_outcome(call, waiting.get_nowait()))

    for _ in range(min(most, len(items))):
        threading.Thread(target=serve, name="scan", daemon=True).start()
    try:
        for _ in items:
            yield done.get()()
    finally:
        with suppress(queue.Empty):
            while True:
                waiting.get_nowait()


def _outcome(call: Callable[[_Item], _Found], item: _Item) -> Callable[[], _Found]:
    """Return what gives what a function gave, or raises what it raised."""
    try:
        found = call(item)
    except BaseException as error:
        raised = error

        def again() -> _Found:
            raise raised

        return again
    return lambda: found
