"""Spectra: of frames of a fixed length, each valid frame from valid samples alone, and over axes of a fixed length."""

from __future__ import annotations

from scaling_tasks.analysis.axes import grid
from scaling_tasks.analysis.operation import Operation, Refused
from scaling_tasks.analysis.registry import operator
from scaling_tasks.analysis.tensors import Tensor


@operator("STFT", sizes=(1, 3))
def follow_short_spectra(op: Operation) -> Tensor:
    """Follow STFT of ``[batch, samples, 1 or 2]``: frames that lie within the samples as a whole."""
    tensor, steps, lengths = op.input(0), op.constants(1), op.constants(3)
    window = op.input(2).known_axes[0].constant if op.has(2) else None
    length = lengths[0] if lengths else window
    if not steps or not length:
        raise Refused("its frames have a length that follows the sizes of the request")
    samples = op.mix(0, 1)
    frames = op.positive((samples.length - length) // steps[0] + 1, f"a frame of {length} does not fit")
    bins = length // 2 + 1 if op.attribute("onesided", 1) else length
    axes = [op.input(0).known_axes[0], grid(frames), grid(bins), grid(2)]
    return op.result(axes, tensor.dtype, finite=tensor.finite)


@operator("DFT", sizes=(1, 2))
def follow_spectrum(op: Operation) -> Tensor:
    """Follow DFT over an axis of a fixed length; the last axis has a real and perhaps an imaginary part."""
    tensor = op.input(0)
    given = op.constants(2) if op.opset >= 20 else [int(op.attribute("axis", 1))]
    place = op.axis((given or [-2])[0], tensor.rank)
    length = (op.constants(1) or [tensor.known_axes[place].constant or 0])[0]
    if tensor.known_axes[place].variables or tensor.known_axes[-1].variables or not length:
        raise Refused("it takes spectra over an axis whose length decides what they hold")
    axes = list(tensor.known_axes)
    one_sided, inverse = bool(op.attribute("onesided", 0)), bool(op.attribute("inverse", 0))
    if one_sided and inverse:
        raise Refused("it makes real numbers of half a spectrum")
    axes[place] = grid(length // 2 + 1 if one_sided else length)
    axes[-1] = grid(2)
    fills = {at: 0.0 for at, fill in tensor.fills.items() if fill == 0 and at != place}
    return op.result(axes, tensor.dtype, fills=fills, finite=tensor.finite)
