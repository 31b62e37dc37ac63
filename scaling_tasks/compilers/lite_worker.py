"""Runs under the Python that has MindSpore Lite (3.7 or later): converts models, and serves inference.

The serving half is what every engine that needs a process of its own runs. Only the standard library, numpy and
mindspore_lite are imported here, and the syntax is Python 3.7's.

``lite_worker.py convert REQUEST.json`` converts one model, and loads what its caller then names on standard input.
``lite_worker.py serve MODEL DEVICE THREADS DESCRIPTOR`` loads one and answers requests: a line of JSON on standard
input says where the inputs lie in the shared memory behind the descriptor, a line on standard output where the outputs
lie.
"""

from __future__ import annotations

import json
import mmap
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

    Arrays = dict[str, Any]

ALIGNMENT = 64
CONVERTED = "converted; waiting for the path of what to load\n"
_PARENT_SECONDS = 1.0
_MOST_LOADED = 32


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    command = arguments[0]
    if command in ("convert", "convert_only"):
        with open(arguments[1], encoding="utf-8") as file:  # noqa: PTH123
            request = json.load(file)
        return convert(request, arguments[1]) if command == "convert" else _reported(lambda: _convert(request))
    model, device, threads, descriptor = arguments[1:]
    return serve(model, device, int(threads), int(descriptor))


def convert(request: dict[str, Any], request_file: str) -> int:
    """Convert one model as the request says: model, framework, output, optimize, input_shape, config_file, load.

    With ``load``, says ``CONVERTED``, reads the path of a MindIR and loads it. The package, which takes longer to
    import than a MindIR to load, is imported once for both; the conversion has a process of its own, because 2.0.0 dies
    when one process converts and loads.
    """
    import mindspore_lite  # noqa: F401

    status = _convert_forked(request) if _threads() == 1 else _convert_anew(request_file)
    if status != 0 or not request["load"]:
        return status
    sys.stdout.write(CONVERTED)
    sys.stdout.flush()
    path = sys.stdin.readline().rstrip("\n")
    return _reported(lambda: _load(path, "cpu", 1)) if path else 0


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def _convert_forked(request: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_reported(lambda: _convert(request)))
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _convert_anew(request_file: str) -> int:
    """Convert in a new process: a fork of one that has threads can hang."""
    status = subprocess.call([sys.executable, __file__, "convert_only", request_file])
    return status if status >= 0 else 128 - status


def _reported(work: Callable[[], Any]) -> int:
    """Do the work and return the exit status for how it ended."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _convert(request: dict[str, Any]) -> None:
    import mindspore_lite

    converter = mindspore_lite.Converter()
    _set_optimize(converter, request["optimize"])
    if request["input_shape"]:
        converter.input_shape = request["input_shape"]
    if request.get("weight_fp16"):
        converter.weight_fp16 = True
    framework = getattr(mindspore_lite.FmkType, request["framework"])
    converter.convert(framework, request["model"], request["output"], "", request["config_file"])


def _set_optimize(converter: Any, optimize: str) -> None:
    try:
        converter.optimize = optimize
    except ValueError:
        # Up to 2.0 the Python interface knows no chip after the colon.
        converter.optimize = optimize.partition(":")[0]


def serve(path: str, device: str, threads: int, descriptor: int) -> int:
    """Answer requests for one MindIR until standard input ends."""

    def load() -> Callable[[Arrays], Arrays]:
        models = Models(lambda: _load(path, device, threads))
        return lambda arrays: _run(models.fitting(arrays), arrays)

    return serve_requests(load, descriptor)


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


def _load(path: str, device: str, threads: int) -> Any:
    import mindspore_lite

    context = mindspore_lite.Context()
    context.target = [device]
    if device == "cpu" and threads:
        context.cpu.thread_num = threads
    model = mindspore_lite.Model()
    model.build_from_file(path, mindspore_lite.ModelType.MINDIR, context)
    return model


class Models:
    """One loaded model, or of several inputs one per combination of their shapes.

    2.0.0 can die when a model of several inputs is resized twice.
    """

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._fresh = load()
        self._several = len(self._fresh.get_inputs()) > 1
        self._by_shapes: dict[Any, Any] = {}

    def fitting(self, arrays: Arrays) -> Any:
        """Return the model to run for these inputs."""
        if not self._several:
            return self._fresh
        key = tuple(sorted((name, array.shape) for name, array in arrays.items()))
        if key not in self._by_shapes:
            if len(self._by_shapes) >= _MOST_LOADED:
                del self._by_shapes[next(iter(self._by_shapes))]
            self._by_shapes[key] = self._load() if self._by_shapes else self._fresh
        return self._by_shapes[key]


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


def _run(model: Any, arrays: Arrays) -> Arrays:
    tensors = model.get_inputs()
    wanted = [tensor.name for tensor in tensors]
    if set(arrays) != set(wanted):
        raise ValueError(f"inputs are {wanted}, not {sorted(arrays)}")
    shapes = [list(arrays[name].shape) for name in wanted]
    if shapes != [list(tensor.shape) for tensor in tensors]:
        model.resize(tensors, shapes)
        tensors = model.get_inputs()
    for tensor in tensors:
        tensor.set_data_from_numpy(_narrowed(tensor, arrays[tensor.name]))
    return {tensor.name: tensor.get_data_to_numpy() for tensor in model.predict(tensors)}


def _narrowed(tensor: Any, array: Any) -> Any:
    """Return the array in 32 bits where the converter made 32 of its 64."""
    if str(array.dtype) != "int64" or not str(tensor.dtype).endswith("INT32"):
        return array
    narrow = array.astype("int32")
    if (narrow != array).any():
        raise ValueError(f"input {tensor.name!r} holds numbers beyond 32 bits, which is all that it keeps")
    return narrow


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
