"""Samples by which nncase chooses its quantisation: from files, padded to the bucket, or generated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.compilers.base import backend_options
from scaling_tasks.compilers.calibration_images import IMAGE_SUFFIXES, image_sample
from scaling_tasks.errors import CompileError
from scaling_tasks.files import digest_bytes, digest_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sample = dict[str, NDArray[np.generic]]

__all__ = ["calibration_digest", "calibration_samples"]

_DEFAULT_COUNT = 4
_DEFAULT_RANGE = (-1.0, 1.0)


def calibration_samples(
    options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> list[Sample]:
    """Return the samples for one bucket.

    ``calibration`` names a directory of ``.npz`` files, each with one array per input, of any sizes, or of images (see
    ``calibration_images``). Those that the bucket contains are taken, largest first, and padded with zeros at the end:
    a range that fits the longest input does not fit a short one (measured on a transformer: cosine 0.51 instead of
    0.9997). Without it, numbers are drawn evenly from ``calibration_range`` (-1 to 1), the same every time.

    Raises:
        CompileError: The directory has no sample that the bucket contains, or a sample lacks an input.
    """
    own = backend_options(options)
    count = int(own.get("samples_count", _DEFAULT_COUNT))
    if own.get("calibration") is None:
        return _generated(count, tuple(own.get("calibration_range", _DEFAULT_RANGE)), shapes, dtypes)
    read = [_arrays(path, shapes, own) for path in _files(options)]
    fitting = [sample for arrays in read if (sample := _padded(arrays, shapes, dtypes)) is not None]
    if not fitting:
        raise CompileError(
            f"no sample fits into {dict(shapes)}", where="compile.options.calibration", fix="Add smaller samples."
        )
    largest = sorted(range(len(fitting)), key=lambda index: (-fitting[index][0], index))
    return [fitting[index][1] for index in largest[:count]]


def calibration_digest(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of the sample files, which the result depends on; nothing where samples are generated."""
    if backend_options(options).get("calibration") is None:
        return {}
    text = "".join(f"{path.name} {digest_file(path)}\n" for path in _files(options))
    return {"calibration": digest_bytes(text.encode())}


def _files(options: Mapping[str, Any]) -> list[Path]:
    directory = Path(backend_options(options)["calibration"])
    files = sorted(path for path in directory.rglob("*") if path.suffix.lower() in (".npz", *IMAGE_SUFFIXES))
    if not files:
        raise CompileError(f"{str(directory)!r} holds no .npz or image files", where="compile.options.calibration")
    return files


def _generated(
    count: int, bounds: tuple[Any, ...], shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> list[Sample]:
    import numpy as np

    low, high = bounds
    generator = np.random.default_rng(0)
    return [
        {name: generator.uniform(low, high, shape).astype(dtypes[name]) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def _arrays(path: Path, shapes: Mapping[str, tuple[int, ...]], own: Mapping[str, Any]) -> Sample:
    """Return the sample in a file, one array per input.

    Raises:
        CompileError: The file lacks an input, or an array has another number of dimensions.
    """
    import numpy as np

    if path.suffix.lower() in IMAGE_SUFFIXES:
        return image_sample(path, shapes, own)
    with np.load(path) as arrays:
        for name, shape in shapes.items():
            if name not in arrays or arrays[name].ndim != len(shape):
                raise CompileError(f"has no array {name!r} of {len(shape)} dimensions", where=str(path))
        return {name: arrays[name] for name in shapes}


def _padded(
    arrays: Sample, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> tuple[int, Sample] | None:
    """Return the sample's own size and the sample padded to the shapes; None where it is larger."""
    import numpy as np

    sample: Sample = {}
    size = 0
    for name, shape in shapes.items():
        array = arrays[name]
        if any(have > room for have, room in zip(array.shape, shape, strict=True)):
            return None
        size += array.size
        widths = [(0, room - have) for have, room in zip(array.shape, shape, strict=True)]
        sample[name] = np.pad(array, widths).astype(dtypes[name])
    return size, sample
