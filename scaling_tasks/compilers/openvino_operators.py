"""Operators as OpenVINO 2026.4 reads them.

* It has no power mean of the whole.
* What opsets before the present ones say of axes, it takes otherwise, see ``reductions``.
"""

from __future__ import annotations

from pathlib import Path

from scaling_tasks.compilers.pools import pool_by_power
from scaling_tasks.compilers.reductions import LOGARITHMS, flatten_softmaxes, reduce_plainly
from scaling_tasks.onnx_model.fixing import link_external_data
from scaling_tasks.onnx_model.reading import opset_of

__all__ = ["readable_model"]

_AXES_ARE_INPUTS = 18
_WRITTEN_OTHERWISE = frozenset(("GlobalLpPool", "LogSoftmax", "ReduceL1", "Softmax", *LOGARITHMS))


def readable_model(source: Path, directory: Path) -> Path:
    """Return a model that OpenVINO reads as it is meant: ``source`` itself, or a copy in ``directory``.

    Raises:
        ModelError: The model names external data outside its directory.
    """
    if source.suffix != ".onnx":
        return source
    import onnx

    try:
        model = onnx.load(str(source), load_external_data=False)
    except Exception:  # OpenVINO says better what is wrong with it.
        return source
    if all(node.op_type not in _WRITTEN_OTHERWISE for node in model.graph.node):
        return source
    changes = [pool_by_power(model, ["GlobalLpPool"]), flatten_softmaxes(model)]
    if opset_of(model) < _AXES_ARE_INPUTS:
        changes.append(reduce_plainly(model, ("ReduceL1", *LOGARITHMS)))
    if not any(changes):
        return source
    link_external_data(source, directory)
    target = directory / f"{source.stem}.rewritten.onnx"
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target
