"""Runs under the Python that has MindSpore Lite (3.7 or later): loads a MindIR and runs it, in a ``ProcessEngine``.

Only mindspore_lite is imported here, and the syntax is Python 3.7's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Arrays = dict[str, Any]

_MOST_LOADED = 32


def load(path: str, device: str, threads: str) -> Callable[[Arrays], Arrays]:
    """Return a function from arrays by input name to arrays by output name; 0 threads: as many as the engine likes."""
    models = Models(lambda: load_model(path, device, int(threads)))
    return lambda arrays: _run(models.fitting(arrays), arrays)


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


def load_model(path: str, device: str, threads: int) -> Any:
    """Return the model at ``path``, ready to run."""
    import mindspore_lite

    context = mindspore_lite.Context()
    context.target = [device]
    if device == "cpu" and threads:
        context.cpu.thread_num = threads
    model = mindspore_lite.Model()
    model.build_from_file(path, mindspore_lite.ModelType.MINDIR, context)
    return model


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
