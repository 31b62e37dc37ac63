"""The process behind a ``ProcessEngine``: ``process_worker.py LOADER DESCRIPTOR ARGUMENT...``.

LOADER is a Python file with a function ``load`` that takes the arguments, as texts, and returns a function from arrays
by input name to arrays by output name. DESCRIPTOR is of the shared memory in which inputs and outputs lie: a line of
JSON on standard input says where the inputs are, a line on standard output where the outputs are.

Only the standard library and numpy are imported here, and the syntax is Python 3.7's.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    Arrays = dict[str, Any]

ALIGNMENT = 64
_PARENT_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Serve one artefact until standard input ends; return the exit status."""
    loader, descriptor = arguments[:2]
    return serve_requests(lambda: _module(loader).load(*arguments[2:]), int(descriptor))


def _module(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("loader", path)
    module: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    return module


def serve_requests(load: Callable[[], Callable[[Arrays], Arrays]], descriptor: int) -> int:
    """Load a model and answer requests for it until standard input ends.

    Args:
        load: Returns a function from arrays by input name to arrays by output name.
        descriptor: Of the shared memory in which inputs and outputs lie.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # Libraries print to standard output.
    threading.Thread(target=_leave_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        run = load()
    except Exception as error:
        _reply(replies, {"error": f"{type(error).__name__}: {error}"})
        return 1
    memory = SharedMemory(descriptor)
    _reply(replies, {"ready": True})
    for line in sys.stdin:
        try:
            request = json.loads(line)
            answer: dict[str, Any] = {"outputs": memory.write(request["end"], run(memory.read(request)))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        _reply(replies, answer)
    return 0


def _reply(replies: TextIO, answer: dict[str, Any]) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()


def _leave_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_SECONDS)
    os._exit(1)


class SharedMemory:
    """The memory behind a descriptor, mapped anew whenever it has grown."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.map: mmap.mmap | None = None

    def require(self, size: int) -> mmap.mmap:
        """Return a map of at least ``size`` bytes."""
        if os.fstat(self.descriptor).st_size < size:
            os.ftruncate(self.descriptor, size)
        total = os.fstat(self.descriptor).st_size
        if self.map is None or len(self.map) < total:
            self.map = mmap.mmap(self.descriptor, total)
        return self.map

    def read(self, request: dict[str, Any]) -> Arrays:
        """Return the inputs of a request, without copying."""
        import numpy

        area = self.require(request["end"])
        arrays = {}
        for name, dtype, shape, offset in request["inputs"]:
            count = int(numpy.prod(shape, dtype=numpy.int64))
            arrays[name] = numpy.frombuffer(area, dtype, count, offset).reshape(shape)
        return arrays

    def write(self, start: int, arrays: Arrays) -> list[list[Any]]:
        """Lay arrays out from ``start``; return name, dtype, shape and offset of each."""
        import numpy

        places: list[list[Any]] = []
        end = start
        for name, array in arrays.items():
            offset = -(-end // ALIGNMENT) * ALIGNMENT
            end = offset + array.nbytes
            places.append([name, str(array.dtype), list(array.shape), offset])
        area = self.require(end)
        for place, array in zip(places, arrays.values()):  # noqa: B905 (strict= is younger)
            numpy.frombuffer(area, array.dtype, array.size, place[-1])[:] = array.reshape(-1)
        return places


if __name__ == "__main__":
    # Python puts this file's directory first, whose modules are called as the packages that engines import.
    sys.path[:] = [place for place in sys.path if place != os.path.dirname(os.path.abspath(__file__))]  # noqa: PTH100, PTH120
    sys.exit(main(sys.argv[1:]))
