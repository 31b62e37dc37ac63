"""Measurements of a one-file data set in the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scaling_tasks.samples.container import read_container, write_container
from scaling_tasks.samples.measurements import ColumnFault, Measurements

__all__ = ["load_measurements", "store_measurements"]


def store_measurements(cache_path: Path, found: Measurements, header: dict[str, Any]) -> None:
    """Publish the cache; ``header`` holds what `watch` compares."""
    arrays = {"values": found.values, "weights": found.weights, "offsets": found.offsets}
    present = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array is not None}
    layout = [[name, array.dtype.str, list(array.shape)] for name, array in present.items()]
    chunks = [array.tobytes() for array in present.values()]
    write_container(cache_path, {**header, "facts": found.facts(), "layout": layout}, chunks)


def load_measurements(cache_path: Path) -> tuple[dict[str, Any], Measurements] | None:
    """Return the header and the measurements; None when there is no usable cache."""
    cached = read_container(cache_path)
    if cached is None or "layout" not in cached[0]:
        return None
    header, body = cached
    arrays: dict[str, Any] = {}
    start = 0
    for name, dtype, shape in header["layout"]:
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(body, np.dtype(dtype), count, start).reshape(shape)
        start += arrays[name].nbytes
    facts = header["facts"]
    faults = {name: ColumnFault(line, text) for name, (line, text) in facts["faults"].items()}
    found = Measurements(
        facts["kind"],
        tuple(facts["columns"]),
        arrays["values"],
        arrays.get("weights"),
        arrays.get("offsets"),
        facts["source"],
        tuple(facts["skipped"]),
        faults,
    )
    return header, found
