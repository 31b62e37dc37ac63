"""Runs under the Python that has MindSpore Lite (3.7 or later): converts models.

Only the standard library and mindspore_lite are imported here, and the syntax is Python 3.7's.

``lite_converter.py convert REQUEST.json`` converts one model, and loads what its caller then names on standard input.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

CONVERTED = "converted; waiting for the path of what to load\n"


def main(arguments: list[str]) -> int:
    """Run the command; return the exit status."""
    command, request_file = arguments
    with open(request_file, encoding="utf-8") as file:  # noqa: PTH123
        request = json.load(file)
    return convert(request, request_file) if command == "convert" else _reported(lambda: _convert(request))


def convert(request: dict[str, Any], request_file: str) -> int:
    """Convert one model as the request says: model, framework, output, optimize, input_shape, config_file, load.

    With ``load``, which names the file of the engine's loader, says ``CONVERTED``, reads the path of a MindIR and loads
    it. The package, which takes longer to import than a MindIR to load, is imported once for both; the conversion has a
    process of its own, because 2.0.0 dies when one process converts and loads.
    """
    import mindspore_lite  # noqa: F401

    status = _convert_forked(request) if _threads() == 1 else _convert_anew(request_file)
    if status != 0 or not request["load"]:
        return status
    sys.stdout.write(CONVERTED)
    sys.stdout.flush()
    path = sys.stdin.readline().rstrip("\n")
    return _reported(lambda: _load(request["load"], path)) if path else 0


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def _convert_forked(request: dict[str, Any]) -> int:
    child = os.fork()
    if child == 0:
        os._exit(_reported(lambda: _convert(request)))
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _convert_anew(request_file: str) -> int:
    """Convert in a new process: a fork of one that has threads can hang."""
    status = subprocess.call([sys.executable, __file__, "convert_only", request_file])
    return status if status >= 0 else 128 - status


def _reported(work: Callable[[], Any]) -> int:
    """Do the work and return the exit status for how it ended."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def _convert(request: dict[str, Any]) -> None:
    import mindspore_lite

    converter = mindspore_lite.Converter()
    _set_optimize(converter, request["optimize"])
    if request["input_shape"]:
        converter.input_shape = request["input_shape"]
    if request.get("weight_fp16"):
        converter.weight_fp16 = True
    framework = getattr(mindspore_lite.FmkType, request["framework"])
    converter.convert(framework, request["model"], request["output"], "", request["config_file"])


def _set_optimize(converter: Any, optimize: str) -> None:
    try:
        converter.optimize = optimize
    except ValueError:
        # Up to 2.0 the Python interface knows no chip after the colon.
        converter.optimize = optimize.partition(":")[0]


def _load(loader: str, path: str) -> None:
    """Load a MindIR as the engine does."""
    spec = importlib.util.spec_from_file_location("loader", loader)
    module: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    module.load_model(path, "cpu", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
