"""How long compiles will take, and who may do what at once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling_tasks.action import key_of
from scaling_tasks.actions.perform import _sweep
from scaling_tasks.builds.history import CompileHistory
from scaling_tasks.execution.file_locks import exclusive, is_free, when_waiting
from scaling_tasks.store.records import Record


def components(stem: str, bucket: int, *, model: str = "m", backend: str = "openvino") -> dict[str, Any]:
    return {
        "stage": "compile",
        "inputs": {"model/net.onnx": model},
        "parameters": {"unit": [stem, stem, ["W"], [[bucket]]], "options": {"backend": backend}},
    }


def record(seconds: object, *arguments: Any, **options: Any) -> Record:
    parts = components(*arguments, **options)
    return Record(key_of(parts), parts, (), {"seconds": seconds})


HISTORY = CompileHistory(
    [
        record(10.0, "a_W32", 32),
        record(20.0, "a_W64", 64),
        record(90.0, "a_W96", 96),
        record(12.0, "a_W32", 32, model="newer"),
        record(500.0, "b_W32", 32, model="other"),
        record(1.0, "a_W32", 32, backend="lite"),
        record("unknown", "a_W32", 32),
    ]
)


@pytest.mark.parametrize(
    ("wanted", "seconds"),
    [
        (components("a_W32", 32, model="newest"), 12.0),
        (components("a_W128", 128), 20.0),
        (components("c_W32", 32, model="new"), 20.0),
        (components("a_W32", 32, backend="lite"), 1.0),
        (components("a_W32", 32, backend="atc"), None),
    ],
    ids=["same unit, last time", "same model, median", "same backend, median", "own backend", "nothing known"],
)
def test_the_nearest_history_counts(wanted: dict[str, Any], seconds: float | None) -> None:
    assert HISTORY.expected_seconds(wanted) == seconds


def test_a_lock_excludes_threads_and_is_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "locks/key"
    inside: list[int] = []
    together: list[int] = []

    def work(number: int) -> None:
        with exclusive(path, below=path.parent):
            inside.append(number)
            together.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 8
    assert is_free(path, below=path.parent)


HOLD = """
import sys
from pathlib import Path
from scaling_tasks.execution.file_locks import exclusive
path = Path(sys.argv[1])
with exclusive(path, below=path.parent):
    print('held', flush=True)
    if sys.stdin.readline() == 'remove\\n':
        path.unlink()
"""


@contextlib.contextmanager
def waiting_for_another(path: Path, answer: str) -> Iterator[list[str]]:
    """Hold the lock after another process has; it gets ``answer`` when this one says that it waits."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert not is_free(path, below=path.parent)
    told: list[str] = []

    def let_go(line: str) -> None:
        told.append(line.replace(f"process {holder.pid} ", "process <pid> "))
        holder.communicate(f"{answer}\n")

    when_waiting(let_go)
    try:
        with exclusive(path, "compiling net W32", below=path.parent):
            yield told
    finally:
        when_waiting(None)


def test_who_waits_is_told_for_whom(tmp_path: Path) -> None:
    with waiting_for_another(tmp_path / "key", "leave") as told:
        assert len(told) == 1
    assert told[0].startswith("waiting for process <pid> (")
    assert told[0].endswith("which is compiling net W32")


def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path: Path) -> None:
    with waiting_for_another(tmp_path / "key", "remove"):
        assert (tmp_path / "key").exists()
        assert not is_free(tmp_path / "key", below=tmp_path)


def test_what_killed_processes_left_in_the_work_directory_goes(tmp_path: Path) -> None:
    """Kept are what another process is at, and what failed, which its message names."""
    for name in ("killed", "failed", "at work"):
        (tmp_path / "work" / name / "outputs").mkdir(parents=True)
    (tmp_path / "work/failed/failed").touch()
    with exclusive(tmp_path / "locks/at work", below=tmp_path):
        _sweep(tmp_path)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["at work", "failed"]
