"""Finding MindSpore Lite: a Python that has its package, or the official converter_lite."""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.compilers.python37 import answer_of, interpreters
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.local import DIRECTORY_VARIABLE
from scaling_tasks.files import digest_file

__all__ = ["ENVIRONMENT", "PYTHON_VARIABLE", "LiteToolchain", "find_toolchain", "provisioned", "tool_environment"]

PYTHON_VARIABLE = "SCALING_TASKS_MINDSPORE_LITE_PYTHON"
ENVIRONMENT = Path(".toolchains") / "mindspore-lite"

_PROBE = "import mindspore_lite.version as v; print(v.__version__)"
_MISSING = (
    "Run `python -m scaling_tasks.compilers.provision_lite`, or set "
    f"{PYTHON_VARIABLE} to a Python that has mindspore_lite, or put converter_lite on PATH."
)


@dataclass(frozen=True)
class LiteToolchain:
    """A MindSpore Lite that was found.

    Attributes:
        python: The interpreter that has ``mindspore_lite``, None where only the converter was found.
        converter: The official ``converter_lite``, None where it was not looked for or not found.
        version: The package's version, or the converter's digest.
    """

    python: Path | None
    converter: Path | None
    version: str

    def identity(self) -> dict[str, str]:
        """Return what determines the result, without where it was found."""
        tool = "mindspore_lite" if self.converter is None else "converter_lite"
        return {tool: self.version}


def find_toolchain(device: str) -> LiteToolchain:
    """Return the MindSpore Lite to use for a device.

    For ``ascend`` the official converter is preferred, because it is what comes with the hardware's packages.

    Raises:
        CompileError: There is none; says how to get it.
    """
    return _find(device, os.environ.get(PYTHON_VARIABLE, ""), Path(os.environ.get(DIRECTORY_VARIABLE) or Path.cwd()))


@functools.cache
def _find(device: str, explicit: str, directory: Path) -> LiteToolchain:
    converter = _converter()
    python = _python(device, explicit, directory)
    if converter is not None and (device == "ascend" or python is None):
        return LiteToolchain(python[0] if python else None, converter, digest_file(converter))
    if python is None:
        raise CompileError("MindSpore Lite was not found", where="compile.backend", fix=_MISSING)
    return LiteToolchain(python[0], None, python[1])


def _converter() -> Path | None:
    if found := shutil.which("converter_lite"):
        return Path(found)
    for variable in ("LITE_HOME", "MSLITE_HOME"):
        path = Path(os.environ.get(variable, "/nowhere")) / "tools" / "converter" / "converter" / "converter_lite"
        if path.is_file():
            return path
    return None


def _python(device: str, explicit: str, directory: Path) -> tuple[Path, str] | None:
    """Return the first interpreter that imports the package, with the package's version."""
    if explicit:
        version = _probe(Path(explicit), device)
        if version is None:
            raise CompileError(
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
