"""Operators as OpenVINO 2026.4 reads them.

* It has no power mean of the whole.
* What opsets before the present ones say of axes, it takes otherwise, see ``reductions``.
"""

from __future__ import annotations

from pathlib import Path

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.pools import pool_by_power
from scaling_tasks.compilers.recurrent_layers import refuse_left_out
from scaling_tasks.compilers.reductions import LOGARITHMS, flatten_softmaxes, normalise_plainly, reduce_plainly
from scaling_tasks.compilers.shared import made_once
from scaling_tasks.onnx_model.fixing import link_external_data
from scaling_tasks.onnx_model.reading import opset_of

__all__ = ["readable_model"]

_AXES_ARE_INPUTS = 18
_READABLE = "readable.onnx"
_WRITTEN_OTHERWISE = frozenset(("GlobalLpPool", "LogSoftmax", "LpNormalization", "ReduceL1", "Softmax", *LOGARITHMS))


def readable_model(job: CompileJob, workdir: Path) -> Path:
    """Return a model that OpenVINO reads as it is meant: the job's own, or a copy in ``workdir``.

    It is the same for all units: the first looks it through, the others need not even import onnx.

    Raises:
        ModelError: The model names external data outside its directory.
        CompileError: A layer says what OpenVINO leaves out.
    """
    if job.model.suffix != ".onnx":
        return job.model
    target = workdir / _READABLE

    def make() -> None:
        target.write_bytes(_rewritten(job.model))

    made_once(job, workdir, (_READABLE,), make)
    if not target.stat().st_size:
        return job.model
    link_external_data(job.model, workdir)
    return target


def _rewritten(source: Path) -> bytes:
    """Return the model as OpenVINO takes it, nothing where it takes that as it is."""
    import onnx

    try:
        model = onnx.load(str(source), load_external_data=False)
    except Exception:  # OpenVINO says better what is wrong with it.
        return b""
    refuse_left_out(model)
    if all(node.op_type not in _WRITTEN_OTHERWISE for node in model.graph.node):
        return b""
    changes = [pool_by_power(model, ["GlobalLpPool"]), flatten_softmaxes(model), normalise_plainly(model)]
    if opset_of(model) < _AXES_ARE_INPUTS:
        changes.append(reduce_plainly(model, ("ReduceL1", *LOGARITHMS)))
    return bytes(model.SerializeToString(deterministic=True)) if any(changes) else b""
