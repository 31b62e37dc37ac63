"""Which variable of a bundle counts independent rows."""

from __future__ import annotations

from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.shapes.expressions import variables_of

__all__ = ["batch_variable"]


def batch_variable(manifest: Manifest) -> str | None:
    """Return the variable that is the first axis of every input and of every output and nothing else; None for none.

    Only along such a variable can requests be put together and cut apart.
    """
    tensors = manifest.signature.inputs.inputs
    firsts = {tensor.dims[0] if tensor.dims else None for tensor in tensors}
    name = firsts.pop() if len(firsts) == 1 else None
    if not isinstance(name, str) or any(name in tensor.dims[1:] for tensor in tensors):
        return None
    for axes in manifest.relations.axes.values():
        if not axes or axes[0] != name or any(name in variables_of(axis) for axis in axes[1:]):
            return None
    return name
