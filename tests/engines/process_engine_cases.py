"""An engine in a process of its own that is interrupted between a request and its answer."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.engines.process_engine import ProcessEngine
from scaling_tasks.errors import EngineError
from scaling_tasks.execution.process_trees import descendants

LOADER = """
import time
from pathlib import Path

def load(artefact, busy):
    busy = Path(busy)

    def run(arrays):
        x = arrays["x"]
        if x.flat[0] < 0:
            raise ValueError("negative")
        busy.touch()
        time.sleep(float(x.flat[0]))
        busy.unlink()
        return {"y": x + 1}

    return run
"""


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """Exists while the process works on a request."""
    return tmp_path / "busy"


@pytest.fixture
def engine(tmp_path: Path, busy: Path) -> Iterator[ProcessEngine]:
    """Answers ``x + 1`` after as many seconds as the first element says."""
    loader = tmp_path / "loader.py"
    loader.write_text(LOADER)
    opened = ProcessEngine(Path(sys.executable), loader, tmp_path / "artefact", [str(busy)], os.environ)
    yield opened
    opened.close()


def ask(engine: ProcessEngine, *numbers: float) -> list[float]:
    return engine.run({"x": np.array(numbers, np.float32)})["y"].tolist()


class InterruptionError(Exception):
    pass


def interrupt(engine: ProcessEngine, busy: Path, kind: type[BaseException], seconds: float) -> None:
    """Ask, and be interrupted by a signal once the process is at work."""

    def raise_it(number: int, frame: object) -> None:
        raise kind

    before = signal.signal(signal.SIGUSR1, raise_it)
    main = threading.main_thread().ident

    def send() -> None:
        while not busy.exists():
            pass
        signal.pthread_kill(main, signal.SIGUSR1)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with pytest.raises(kind):
            ask(engine, seconds, 100)
    finally:
        sender.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, TimeoutError, InterruptionError])
def test_an_interrupted_request_leaves_no_answer_to_the_next(
    engine: ProcessEngine, busy: Path, kind: type[BaseException]
) -> None:
    assert ask(engine, 0, 1) == [1, 2]
    interrupt(engine, busy, kind, 30)
    assert [ask(engine, 0, number) for number in (2, 3, 4)] == [[1, 3], [1, 4], [1, 5]]


def test_a_process_that_never_answers_is_ended_and_the_engine_goes_on(engine: ProcessEngine, busy: Path) -> None:
    interrupt(engine, busy, KeyboardInterrupt, 3600)
    assert ask(engine, 0, 2) == [1, 3]


def test_an_engine_that_was_interrupted_closes_without_waiting_for_the_answer(
    engine: ProcessEngine, busy: Path
) -> None:
    interrupt(engine, busy, KeyboardInterrupt, 3600)
    engine.close()
    assert engine._process.poll() == -signal.SIGKILL


def test_a_refusal_is_an_answer_and_costs_no_new_process(engine: ProcessEngine) -> None:
    process = engine._process.pid
    with pytest.raises(EngineError, match="negative"):
        ask(engine, -1)
    assert ask(engine, 0, 2) == [1, 3]
    assert engine._process.pid == process


def test_a_process_that_ended_is_started_again(engine: ProcessEngine) -> None:
    os.kill(engine._process.pid, signal.SIGKILL)
    with pytest.raises(EngineError, match="made the engine's process end"):
        ask(engine, 0)
    assert ask(engine, 0, 2) == [1, 3]


def test_requests_larger_than_before_are_not_mixed_up_after_a_restart(engine: ProcessEngine, busy: Path) -> None:
    large = [0.0, *range(50_000)]
    assert ask(engine, *large) == [number + 1 for number in large]
    interrupt(engine, busy, KeyboardInterrupt, 30)
    assert ask(engine, *large) == [number + 1 for number in large]


def test_a_closed_engine_starts_no_process(engine: ProcessEngine, busy: Path) -> None:
    interrupt(engine, busy, KeyboardInterrupt, 3600)
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        ask(engine, 0)


def test_a_loader_that_fails_is_named_and_leaves_no_process(tmp_path: Path) -> None:
    before = set(descendants(os.getpid()))
    loader = tmp_path / "loader.py"
    loader.write_text("def load(artefact):\n    raise OSError('no such file')\n")
    with pytest.raises(EngineError, match=r"artefact: OSError: no such file"):
        ProcessEngine(Path(sys.executable), loader, tmp_path / "artefact", [], os.environ)
    assert set(descendants(os.getpid())) <= before


def test_a_loader_imports_the_package_that_an_engine_is_called_as(tmp_path: Path) -> None:
    """Beside the process's own file lie modules called ``openvino`` and the like."""
    loader = tmp_path / "loader.py"
    loader.write_text(
        "import onnxruntime\n"
        "def load(artefact):\n"
        "    assert onnxruntime.InferenceSession\n"
        "    return lambda arrays: arrays\n"
    )
    opened = ProcessEngine(Path(sys.executable), loader, tmp_path / "artefact", [], os.environ)
    assert opened.run({"x": np.array([1.5])})["x"].tolist() == [1.5]
    opened.close()
