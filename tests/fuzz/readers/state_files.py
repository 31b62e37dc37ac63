"""What the tool keeps for itself beside its documents: journals of digests and of the store, and what was measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from scaling_tasks.files import read_regular
from scaling_tasks.known_digests import KnownDigests, _checksum
from scaling_tasks.planning.latency_table import LatencyTable
from scaling_tasks.planning.measured import MeasuredCost
from scaling_tasks.stages import lock
from scaling_tasks.store.activity import Journal
from tests.fuzz.mutations import json_document, json_line
from tests.fuzz.reader import Reader, anything

_OLD = 1_500_000_000  # seconds: what was written just now is looked at again


@contextmanager
def at(directory: Path) -> Iterator[None]:
    """Have a directory be the repository."""
    previous = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(previous)


def _digests(directory: Path) -> list[Path]:
    known = KnownDigests(directory / "digests.jsonl")
    for number in range(8):
        path = directory / f"model{number}.onnx"
        path.write_bytes(bytes([number]) * 100)
        os.utime(path, (_OLD, _OLD))
        known.made(path, known.digest(path))
        known.note(f"external {number}", [f"weights{number}"])
    return [directory / "digests.jsonl"]


def _known(directory: Path) -> Any:
    known = KnownDigests(directory / "digests.jsonl")
    found = [known.digest(directory / f"model{number}.onnx") for number in range(8)]
    return found, [known.fact(f"external {number}") for number in range(8)]


def _forged(directory: Path) -> Any:
    """Read a journal in which the checksum of each line is made right: what it says of files holds or does not."""
    path = directory / "digests.jsonl"
    with suppress(OSError):
        lines = [line[16:] for line in read_regular(path, 1 << 24).split(b"\n")]
        path.write_bytes(b"".join(_checksum(line).encode() + line + b"\n" for line in lines))
    return _known(directory)[0]


def _some_facts_forgotten(valid: Any, found: Any) -> bool:
    pairs = zip(valid[1], found[1], strict=True)
    return bool(valid[0] == found[0]) and all(there in (known, None) for known, there in pairs)


def _journal(directory: Path) -> list[Path]:
    journal = Journal(directory / "journal.jsonl")
    for seconds in (1.5, 2.0, 3.25):
        journal.add(hits=1, bytes_restored=100, seconds_saved=seconds)
        journal.add(misses=1)
    return [directory / "journal.jsonl"]


def _activity(directory: Path) -> Any:
    return Journal(directory / "journal.jsonl").activity()


def _lock(directory: Path) -> list[Path]:
    unit = {"key": "ab" * 32, "buckets": "1x32x320", "files": {"m.xml": "cd" * 32}}
    section = {
        "settings": {"compile": "ef" * 32},
        "plan": "01" * 32,
        "toolchain": {"openvino": "1"},
        "units": {"W8": unit},
    }
    with at(directory):
        lock._write({"net": section, "other": section})
    return [directory / "scaling.lock"]


def _locked(directory: Path) -> Any:
    with at(directory):
        sections = lock.read_lock()
        return sections, [
            list(lock.differences(lock._without_artefacts(each), {"units": {}})) for each in sections.values()
        ]


def _latencies(directory: Path) -> list[Path]:
    path = directory / "latency.json"
    table = LatencyTable(("N", "W"), "openvino", 2, {(1, 32): 0.001, (1, 64): 0.002, (4, 64): 0.0075})
    path.write_text(table.to_json())
    return [path]


def _cost(directory: Path) -> Any:
    table = LatencyTable.load(directory / "latency.json").to_json()
    return table, MeasuredCost.read(directory / "latency.json", ("W", "N")).describe()


def _json_entry(content: bytes, chance: Random) -> bytes:
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    lines[place] = lines[place][:16] + json_document(lines[place][16:], chance)
    return b"\n".join(lines)


READERS = (
    Reader("known digests", _digests, _known, allowed=_some_facts_forgotten, refuses=False, mutators=(json_line,) * 3),
    Reader("known digests, forged", _digests, _forged, allowed=anything, refuses=False, mutators=(_json_entry,) * 3),
    Reader("store journal", _journal, _activity, allowed=anything, refuses=False, mutators=(json_line,) * 3),
    Reader("lock", _lock, _locked, allowed=anything, mutators=(json_document,) * 3),
    Reader("latencies", _latencies, _cost, allowed=anything, mutators=(json_document,) * 3),
)
