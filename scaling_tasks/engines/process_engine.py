"""Running an artefact in a process of its own, which may need another Python or may abort; tensors in shared memory."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from scaling_tasks.engines import process_worker
from scaling_tasks.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.engines.contract import Tensors

__all__ = ["ProcessEngine"]

_CLOSE_SECONDS = 5.0


class ProcessEngine:
    """An artefact loaded in a process of its own; safe to use from several threads.

    One whose answer was not read, because an interruption came after the request, is never asked again: it may still
    write into the shared memory, and its answer would be taken for that to a later request. The next request gets a new
    process.

    Args:
        python: The interpreter, 3.7 or later, with numpy and whatever the loader imports.
        loader: A Python file with a function ``load``, see ``process_worker``.
        path: The artefact, the first argument of ``load``.
        arguments: The others.
        environment: The process's environment.

    Raises:
        EngineError: The artefact does not load.
    """

    def __init__(
        self, python: Path, loader: Path, path: Path, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> None:
        self._path = path
        # Absolute, because the process has a working directory of its own; the interpreter unresolved, because the
        # environment that it belongs to is told from the name by which it is called.
        self._before = [str(python.absolute()), process_worker.__file__, str(loader.resolve())]
        # Not resolved either: it may lead through a directory that is held, whatever its name is by the next start.
        self._after = [str(path.absolute()), *arguments]
        self._environment = dict(environment)
        self._lock = threading.Lock()
        self._unanswered = self._closed = False
        self._start()

    @property
    def process(self) -> int:
        """The number of its process."""
        return self._process.pid

    def run(self, inputs: Tensors) -> dict[str, NDArray[np.generic]]:
        """Run at the bucket's shape, or at any shape where the artefact is dynamic.

        Raises:
            EngineError: The engine refuses the inputs, is closed, or its process died.
        """
        with self._lock:
            if self._closed:
                raise EngineError("the engine is closed", where=str(self._path))
            if self._unanswered:
                self._stop()
                self._start()
            places, end = self._write(inputs)
            request = json.dumps({"inputs": places, "end": end}) + "\n"
            self._unanswered = True
            with contextlib.suppress(BrokenPipeError):
                _pipe(self._process.stdin).write(request.encode())
                _pipe(self._process.stdin).flush()
            answer = self._answer()
            self._unanswered = False
            return self._read(_accepted(answer, self._path)["outputs"])

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._closed = True
            self._stop()

    def _start(self) -> None:
        """Start a process with shared memory of its own, and wait until it has loaded the artefact."""
        self._map: mmap.mmap | None = None
        self._descriptor = os.memfd_create("scaling-tasks-engine")
        # Simulators leave files in their working directory.
        self._directory = tempfile.TemporaryDirectory(prefix="scaling-tasks-engine-")
        self._process = subprocess.Popen(
            [*self._before, str(self._descriptor), *self._after],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._descriptor,),
            env=self._environment,
            cwd=self._directory.name,
        )
        self._unanswered = True
        try:
            _accepted(self._answer(), self._path)
        except BaseException:
            self._stop()
            raise
        self._unanswered = False

    def _stop(self) -> None:
        """End the process: kindly where it waits for requests, at once where it is at work on one."""
        if self._process.poll() is None:
            with contextlib.suppress(BrokenPipeError):
                _pipe(self._process.stdin).close()
            try:
                self._process.wait(0 if self._unanswered else _CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                _pipe(pipe).close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._directory.cleanup()

    def _write(self, inputs: Tensors) -> tuple[list[list[Any]], int]:
        """Lay the inputs out in the shared memory; return where each lies and where they end."""
        import numpy as np

        places: list[list[Any]] = []
        end = 0
        for name, array in inputs.items():
            offset = -(-end // process_worker.ALIGNMENT) * process_worker.ALIGNMENT
            end = offset + array.nbytes
            places.append([name, str(array.dtype), list(array.shape), offset])
        area = self._area(end)
        for (_, dtype, shape, offset), array in zip(places, inputs.values(), strict=True):
            np.frombuffer(area, dtype, array.size, offset).reshape(shape)[...] = array
        return places, end

    def _read(self, places: list[list[Any]]) -> dict[str, NDArray[np.generic]]:
        import numpy as np

        area = self._area(0)
        return {
            name: np.frombuffer(area, dtype, int(np.prod(shape)), offset).reshape(shape).copy()
            for name, dtype, shape, offset in places
        }

    def _area(self, size: int) -> mmap.mmap:
        """Return a map of the whole shared memory, grown to at least ``size`` bytes."""
        if os.fstat(self._descriptor).st_size < size:
            os.ftruncate(self._descriptor, size)
        total = os.fstat(self._descriptor).st_size
        if self._map is None or len(self._map) < total:
            self._map = mmap.mmap(self._descriptor, total)
        return self._map

    def _answer(self) -> dict[str, Any]:
        line = _pipe(self._process.stdout).readline()
        if not line:
            status = self._process.wait()
            raise EngineError(
                f"does not load or made the engine's process end (status {status})", where=str(self._path)
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def _accepted(answer: dict[str, Any], path: Path) -> dict[str, Any]:
    if "error" in answer:
        raise EngineError(answer["error"], where=str(path))
    return answer


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise EngineError("the engine's process has no pipe")
    return pipe
