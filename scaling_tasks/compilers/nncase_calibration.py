"""Samples by which nncase chooses its quantisation: real ones, padded to the bucket, or noise where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.compilers.base import backend_options
from scaling_tasks.compilers.real_inputs import files_of_inputs, fits, padded, read_inputs
from scaling_tasks.errors import CompileError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sample = dict[str, NDArray[np.generic]]

__all__ = ["calibration_samples", "check_calibration", "files_of_samples", "judging_samples"]

_RANDOM = "random"
_DEFAULT_COUNT = 4
_MOST_JUDGED = 16
_DEFAULT_RANGE = (-1.0, 1.0)


def check_calibration(options: Mapping[str, Any]) -> None:
    """Refuse to quantise without real inputs: eight bits that were chosen on noise may be right on noise alone.

    Raises:
        CompileError: There are none.
    """
    if backend_options(options).get("real_inputs") is None:
        raise CompileError(
            "a quantised model is calibrated and judged on real inputs, and the target has none",
            where="compile.options.real_inputs",
            fix="Set `verify.samples` to a directory of .npz files, one array per input, or name a data set of images.",
        )


def calibration_samples(
    options: Mapping[str, Any],
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
    tell: Callable[[Sample], Sample] | None = None,
) -> list[Sample]:
    """Return the samples for one bucket.

    They come from ``calibration``, or else ``real_inputs`` (see ``real_inputs.read_inputs``). Those that the bucket
    contains are taken, largest first, and padded with zeros at the end: a range that fits the longest input does not
    fit a short one (measured on a transformer: cosine 0.51 instead of 0.9997). ``calibration: random`` draws numbers
    evenly from ``calibration_range`` (-1 to 1), the same every time.

    Args:
        options: The target's ``compile`` section.
        shapes: The bucket's, of the original's inputs.
        dtypes: Of the original's inputs.
        tell: Returns what a cleaned model is told of a sample's own size, before it is padded.

    Raises:
        CompileError: There is no sample that the bucket contains, or a sample lacks an input.
    """
    own = backend_options(options)
    count = int(own.get("samples_count", _DEFAULT_COUNT))
    if own.get("calibration") == _RANDOM:
        found = _generated(count, tuple(own.get("calibration_range", _DEFAULT_RANGE)), shapes, dtypes)
    else:
        found = _fitting(*_calibration(options), shapes, dtypes, options)
        # What a cleaned model is told is the more extreme the smaller a sample is.
        found = found[:: max(1, len(found) // count)][:count] if tell else found[:count]
    return [{**padded(sample, shapes), **(tell(sample) if tell else {})} for sample in found]


def judging_samples(
    options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> list[Sample]:
    """Return the real inputs on which a quantised artefact is compared with the original: at most 16, of any sizes.

    Raises:
        CompileError: As ``check_calibration`` and ``calibration_samples``.
    """
    check_calibration(options)
    path = Path(backend_options(options)["real_inputs"])
    found = _fitting(path, "compile.options.real_inputs", shapes, dtypes, options)
    return found[:: -(-len(found) // _MOST_JUDGED)]


def files_of_samples(options: Mapping[str, Any]) -> tuple[Path, ...]:
    """Return the files that the samples for calibrating and for judging come from; generated ones come from none."""
    own = backend_options(options)
    named = {key: own[key] for key in ("calibration", "real_inputs") if own.get(key) not in (None, _RANDOM)}
    found = (files_of_inputs(Path(path), where=f"compile.options.{key}") for key, path in named.items())
    return tuple(dict.fromkeys(file for files in found for file in files))


def _calibration(options: Mapping[str, Any]) -> tuple[Path, str]:
    """Return where real samples come from, and the option that says so."""
    if (given := backend_options(options).get("calibration")) is not None:
        return Path(given), "compile.options.calibration"
    check_calibration(options)
    return Path(backend_options(options)["real_inputs"]), "compile.options.real_inputs"


def _fitting(
    path: Path,
    where: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
    options: Mapping[str, Any],
) -> list[Sample]:
    """Return the samples that the shapes contain, largest first."""
    read = read_inputs(path, shapes, backend_options(options), where=where)
    fitting = [{name: arrays[name].astype(dtypes[name]) for name in shapes} for arrays in read if fits(arrays, shapes)]
    if not fitting:
        raise CompileError(f"no sample fits into {dict(shapes)}", where=where, fix="Add smaller samples.")
    return sorted(fitting, key=lambda sample: -sum(array.size for array in sample.values()))


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
