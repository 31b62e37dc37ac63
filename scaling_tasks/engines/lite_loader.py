"""Runs under the Python that has MindSpore Lite (3.7 or later): loads a MindIR and runs it, in a ``ProcessEngine``.

Only mindspore_lite is imported here, and the syntax is Python 3.7's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Arrays = dict[str, Any]


def load(path: str, device: str, threads: str) -> Callable[[Arrays], Arrays]:
    """Return a function from arrays by input name to arrays by output name; 0 threads: as many as the engine likes."""
    model = load_model(path, device, int(threads))
    return lambda arrays: _run(model, arrays)


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
        tensor.set_data_from_numpy(arrays[tensor.name])
    return {tensor.name: tensor.get_data_to_numpy() for tensor in model.predict(tensors)}
