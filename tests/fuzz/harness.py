"""Runs the cases of a reader in processes of their own, so that nothing a case does can end or fill this one."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.case import OUTCOMES, Outcome, Workplace, limit_memory
from tests.fuzz.reader import Reader

__all__ = ["FAILURES", "Result", "run_reader", "table"]

FAILURES = OUTCOMES[3:]
_BROKEN = "broken"
_WALL_SECONDS = 60  # without a word from the process: it waits for something, or is deep in a library


@dataclass
class Result:
    """What the cases of one reader came to.

    Attributes:
        name: The reader's.
        counts: Cases per outcome.
        failed: The cases to look at: number, outcome.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, Outcome]] = field(default_factory=list)

    def note(self, number: int, outcome: Outcome) -> None:
        """Count one case."""
        self.counts[outcome.kind] += 1
        if outcome.kind in FAILURES:
            self.failed.append((number, outcome))


def run_reader(reader: Reader, seed: int, numbers: Sequence[int]) -> Result:
    """Run some cases of a reader."""
    result = Result(reader.name)
    pending = list(numbers)
    while pending:
        done = _run_process(reader, seed, pending, result)
        pending = pending[done:]
    return result


def _run_process(reader: Reader, seed: int, numbers: Sequence[int], result: Result) -> int:
    """Run cases until one takes the process with it; return how many are settled."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-"))
    receiving, sending = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(receiving)
        _work(reader, seed, numbers, root, sending)
    os.close(sending)
    settled, buffer = 0, b""
    why = ""
    while settled < len(numbers):
        ready, _, _ = select.select([receiving], [], [], _WALL_SECONDS)
        block = os.read(receiving, 1 << 16) if ready else b""
        if not block:
            why = "hangs" if not ready else ""
            break
        *lines, buffer = (buffer + block).split(b"\n")
        for line in lines:
            outcome = Outcome(*json.loads(line))
            if outcome.kind == _BROKEN:
                raise RuntimeError(f"{reader.name}: its valid files cannot be read\n{outcome.detail}")
            result.note(numbers[settled], outcome)
            settled += 1
    os.close(receiving)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL if settled < len(numbers) else 0)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(root, ignore_errors=True)
    if settled < len(numbers):
        kind = why or "exceptions"
        result.note(numbers[settled], Outcome(kind, f"the process ended with {os.waitstatus_to_exitcode(status)}"))
        settled += 1
    return settled


def _work(reader: Reader, seed: int, numbers: Sequence[int], root: Path, sending: int) -> None:
    """Run cases and send what each came to; never returns."""

    def send(kind: str, detail: str) -> None:
        os.write(sending, json.dumps([kind, detail[-4000:]]).encode() + b"\n")

    try:
        # What libraries write would hide the table.
        silence = os.open(os.devnull, os.O_WRONLY)
        for descriptor in (1, 2):
            os.dup2(silence, descriptor)
        os.chdir(root)
        try:
            place = Workplace(reader, root)
        except Exception:
            send(_BROKEN, traceback.format_exc())
            raise
        limit_memory(reader.memory)
        for number in numbers:
            outcome = place.run(seed, number)
            send(outcome.kind, outcome.detail)
    finally:
        os._exit(0)


def table(results: Sequence[Result]) -> str:
    """Return the counts of all readers as a table."""
    rows = [["reader", "cases", *OUTCOMES]]
    rows += [[one.name, str(one.counts.total()), *(str(one.counts[kind]) for kind in OUTCOMES)] for one in results]
    total = sum((one.counts for one in results), Counter[str]())
    rows.append(["total", str(total.total()), *(str(total[kind]) for kind in OUTCOMES)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        row[0].ljust(widths[0])
        + "".join("  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        for row in rows
    )
