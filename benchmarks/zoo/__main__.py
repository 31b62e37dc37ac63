"""Judge padding on every model of the zoo, with every backend that is installed.

    python -m benchmarks.zoo [--models yolo_head,…] [--backends onnxruntime,…] [--sizes 50] [--patience 60]
        [--write docs/zoo.md]

Prints a line for each model as it is done. What was found is kept, for the same code, below ``.scaling/zoo`` or where
``--keep`` says: a run that was stopped goes on where it was, and one with other backends adds to it. Ends with status 1
where an answer is beyond rounding though no verdict refused it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.zoo.bucketed import backend_options
from benchmarks.zoo.kept import Findings
from benchmarks.zoo.registry import ZOO, zoo_model
from benchmarks.zoo.table import page, row_line
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import CompileError
from scaling_tasks.machine import processor, versions

_BACKENDS = ("onnxruntime", "openvino", "lite", "nncase")


def installed(names: list[str]) -> list[str]:
    """Return the backends whose toolchains are there."""
    found = []
    for name in names:
        try:
            get_backend(name).identity(backend_options(name))
        except CompileError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def conditions(loads: list[float]) -> str:
    """Return on what machine the page was made, and how many processes wanted it meanwhile."""
    used = ", ".join(f"{name} {version}" for name, version in versions("onnxruntime", "openvino", "nncase").items())
    busy = f"load {min(loads):.1f} to {max(loads):.1f}, of which 1 is this"
    return f"{processor()['processor']}, {os.cpu_count()} cores, {busy}; {used}"


def main() -> int:
    """Judge the models that were asked for; return the exit status."""
    parser = argparse.ArgumentParser(description="Compare padded with exact answers on a zoo of models.")
    parser.add_argument("--models", default="", help="comma-separated names; all by default")
    parser.add_argument("--backends", default=",".join(_BACKENDS), help="comma-separated; %(default)s by default")
    parser.add_argument("--sizes", type=int, default=50, help="random sizes per model (%(default)s)")
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        help="seconds after which a backend is asked no more sizes (%(default)g)",
    )
    parser.add_argument("--write", type=Path, help="where to write the page")
    parser.add_argument("--keep", type=Path, default=Path(".scaling/zoo"), help="directory of findings (%(default)s)")
    options = parser.parse_args()
    models = [zoo_model(name) for name in options.models.split(",")] if options.models else ZOO
    backends = installed(options.backends.split(","))
    findings = Findings(options.keep, options.sizes, options.patience)
    rows, loads = [], []
    for model in models:
        rows.append(findings.row(model, backends))
        loads.append(os.getloadavg()[0])
        print(row_line(rows[-1], backends, options.sizes), flush=True)
        for cell in rows[-1].cells:
            if cell.problem:
                print(f"  {cell.backend}: {cell.problem}", file=sys.stderr, flush=True)
        if options.write:  # After each: a run that is stopped leaves what it found.
            options.write.write_text(page(rows, backends, options.sizes, conditions(loads)), encoding="utf-8")
    return int(any(not cell.passed and not cell.problem for row in rows for cell in row.cells))


if __name__ == "__main__":
    sys.exit(main())
