"""Measurements of a one-file data set in the cache."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from scaling_tasks.samples.container import Facts, Header, read_container, write_container
from scaling_tasks.samples.measurements import ColumnFault, Measurements

__all__ = ["load_measurements", "store_measurements"]

_DTYPES = {"values": np.dtype(np.int64), "weights": np.dtype(np.float64), "offsets": np.dtype(np.int64)}


def store_measurements(cache_path: Path, found: Measurements, header: Header) -> None:
    """Publish the cache; ``header`` holds what `watch` compares.

    Raises:
        OSError: It cannot be written.
    """
    arrays = {"values": found.values, "weights": found.weights, "offsets": found.offsets}
    present = {name: np.ascontiguousarray(array, _DTYPES[name]) for name, array in arrays.items() if array is not None}
    layout = tuple((name, array.shape) for name, array in present.items())
    facts = msgspec.convert(found.facts(), Facts)
    chunks = [array.tobytes() for array in present.values()]
    write_container(cache_path, msgspec.structs.replace(header, facts=facts, layout=layout), chunks)


def load_measurements(cache_path: Path) -> tuple[Header, Measurements] | None:
    """Return the header and the measurements; None when there is no usable cache."""
    cached = read_container(cache_path)
    if cached is None:
        return None
    header, body = cached
    arrays = _arrays(header, body)
    facts = header.facts
    if arrays is None or facts is None or not _is_sound(header, facts, arrays):
        return None
    found = Measurements(
        facts.kind,
        facts.columns,
        arrays["values"],
        arrays.get("weights"),
        arrays.get("offsets"),
        facts.source,
        facts.skipped,
        {name: ColumnFault(line, text) for name, (line, text) in facts.faults.items()},
    )
    return header, found


def _is_sound(header: Header, facts: Facts, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether the arrays are as many and as long as the header says."""
    values, weights, offsets = (arrays.get(name) for name in _DTYPES)
    if values is None or values.shape != (header.rows, len(facts.columns)):
        return False
    if weights is not None and (weights.shape != (header.rows,) or not (weights >= 0).all()):
        return False
    if offsets is None:
        return True
    ends = offsets.ndim == 1 and len(offsets) and offsets[0] == 0 and offsets[-1] == header.rows
    return bool(ends) and not (np.diff(offsets) < 0).any()


def _arrays(header: Header, body: memoryview) -> dict[str, NDArray[Any]] | None:
    """Return the arrays of the body; None where they are not what a one-file data set has."""
    if not header.layout or header.layout[0][0] != "values" or not {name for name, _ in header.layout} <= set(_DTYPES):
        return None
    arrays: dict[str, NDArray[Any]] = {}
    start = 0
    for name, shape in header.layout:
        count = math.prod(shape)
        stop = start + count * _DTYPES[name].itemsize
        if not start <= stop <= len(body):
            return None
        arrays[name] = np.frombuffer(body, _DTYPES[name], count, start).reshape(shape)
        start = stop
    return arrays if start == len(body) else None
