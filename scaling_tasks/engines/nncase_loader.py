"""Runs a kmodel in nncase's simulator, in a ``ProcessEngine``.

A process of its own, because the simulator ends its process on a wrong size and keeps state after an error.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Arrays = dict[str, Any]

__all__ = ["load", "names_file"]


def names_file(kmodel: Path) -> Path:
    """Return where the names of a kmodel's inputs and outputs are written: the kmodel has none."""
    return kmodel.with_suffix(".names.json")


def load(kmodel: str) -> Callable[[Arrays], Arrays]:
    """Return a function from arrays by input name to arrays by output name."""
    path = Path(kmodel)
    names = json.loads(names_file(path).read_text(encoding="utf-8"))
    content = path.read_bytes()
    ready: dict[tuple[tuple[int, ...], ...], Any] = {}

    def run(arrays: Arrays) -> Arrays:
        import nncase

        if set(arrays) != set(names["inputs"]):
            raise ValueError(f"inputs are {names['inputs']}, not {sorted(arrays)}")
        shapes = tuple(arrays[name].shape for name in names["inputs"])
        if names["shapes"] and list(map(list, shapes)) != names["shapes"]:
            raise ValueError(f"shapes are {names['shapes']}, not {list(map(list, shapes))}")
        simulator = ready.pop(shapes, None) or _simulator(content)
        for index, name in enumerate(names["inputs"]):
            simulator.set_input_tensor(index, nncase.RuntimeTensor.from_numpy(arrays[name].copy()))
        simulator.run()
        found = {name: simulator.get_output_tensor(index).to_numpy() for index, name in enumerate(names["outputs"])}
        # After an error a simulator gives wrong answers, of one element in one axis it gives the first for ever, and of
        # one in no axis it gives one only, and ends; only one that succeeded is kept, for its shapes alone.
        if all(array.shape not in ((), (1,)) for array in found.values()):
            ready[shapes] = simulator
        return found

    _simulator(content)
    return run


def _simulator(content: bytes) -> Any:
    import nncase

    simulator = nncase.Simulator()
    simulator.load_model(content)
    return simulator
