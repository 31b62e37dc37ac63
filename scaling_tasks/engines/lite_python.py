"""Finding a Python that has MindSpore Lite's package, which exists for few versions."""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from scaling_tasks.engines.python37 import answer_of, interpreters
from scaling_tasks.errors import EngineError

__all__ = [
    "ENVIRONMENT",
    "MISSING",
    "PYTHON_VARIABLE",
    "find_python",
    "package_directory",
    "provisioned",
    "search_directory",
    "tool_environment",
]

PYTHON_VARIABLE = "SCALING_TASKS_MINDSPORE_LITE_PYTHON"
ENVIRONMENT = Path(".toolchains") / "mindspore-lite"
MISSING = (
    "Run `python -m scaling_tasks.compilers.provision_lite`, or set "
    f"{PYTHON_VARIABLE} to a Python that has mindspore_lite"
)

# Where the build was started, in worker processes, which have directories of their own.
_DIRECTORY_VARIABLE = "SCALING_TASKS_DIRECTORY"

_PLACE = "import importlib.util as u; print(u.find_spec('mindspore_lite').submodule_search_locations[0])"
_PROBE = "import mindspore_lite.version as v; print(v.__version__)"


def find_python(device: str) -> tuple[Path, str]:
    """Return the first interpreter that imports the package, with the package's version.

    Args:
        device: ``cpu`` or ``ascend``, whose set-up may need variables of this process.

    Raises:
        EngineError: There is none, or the one that was named explicitly has no such package.
    """
    found = _find(device, os.environ.get(PYTHON_VARIABLE, ""), search_directory())
    if found is None:
        raise EngineError("no Python with mindspore_lite was found", fix=f"{MISSING}.")
    return found


@functools.cache
def package_directory(python: Path) -> Path | None:
    """Return where the package lies that an interpreter imports, None where it does not tell."""
    for place in python.parent.parent.glob("lib/python3*/site-packages/mindspore_lite"):
        return place
    answer = answer_of(python, _PLACE)
    return Path(answer) if answer else None


def search_directory() -> Path:
    """Return the directory in which, and above which, an environment is looked for."""
    return Path(os.environ.get(_DIRECTORY_VARIABLE) or Path.cwd())


@functools.cache
def _find(device: str, explicit: str, directory: Path) -> tuple[Path, str] | None:
    if explicit:
        version = _probe(Path(explicit), device)
        if version is None:
            raise EngineError(
                "cannot import mindspore_lite", where=f"{PYTHON_VARIABLE}={explicit}", fix="Correct or unset it."
            )
        return Path(explicit), version
    if ready := provisioned(directory):
        return ready
    for python in _candidates():
        if version := _probe(python, device):
            return python, version
    return None


def provisioned(directory: Path) -> tuple[Path, str] | None:
    """Return the environment made by ``provision_lite`` in ``directory`` or above it, with the package's version.

    It was tested when it was made, so that looking at its files is enough here.
    """
    for base in (directory, *directory.parents):
        for info in (base / ENVIRONMENT).glob("lib/python3*/site-packages/mindspore_lite-*.dist-info"):
            if found := re.fullmatch(r"mindspore_lite-(.+)\.dist-info", info.name):
                return base / ENVIRONMENT / "bin" / "python", found[1]
    return None


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    yield from interpreters()


def _probe(python: Path, device: str) -> str | None:
    return answer_of(python, _PROBE, tool_environment(device))


def tool_environment(device: str) -> dict[str, str]:
    """Return the environment for a process under the other Python.

    Variables that belong to this Python are dropped. For Ascend PYTHONPATH stays: the platform's own set-up puts its
    operator compiler there.
    """
    foreign = {"PYTHONHOME", "VIRTUAL_ENV"} | ({"PYTHONPATH"} if device == "cpu" else set())
    return {name: value for name, value in os.environ.items() if name not in foreign}
