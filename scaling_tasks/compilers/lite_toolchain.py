"""Finding MindSpore Lite's converter: in a Python that has its package, or the official converter_lite."""

from __future__ import annotations

import functools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from scaling_tasks.compilers.toolkit import library_digest, toolkit_identity
from scaling_tasks.engines.lite_python import (
    MISSING,
    PYTHON_VARIABLE,
    find_python,
    package_directory,
    search_directory,
)
from scaling_tasks.errors import CompileError, EngineError

__all__ = ["LiteToolchain", "find_toolchain"]


@dataclass(frozen=True)
class LiteToolchain:
    """A MindSpore Lite that was found.

    Attributes:
        python: The interpreter that has ``mindspore_lite``, None where only the converter was found.
        converter: The official ``converter_lite``, None where it was not looked for or not found.
        version: The package's version; empty where the converter is used.
    """

    python: Path | None
    converter: Path | None
    version: str

    def identity(self) -> dict[str, str]:
        """Return what determines the result, without where it was found.

        Raises:
            CompileError: Something of it cannot be read.
        """
        if self.converter is not None:
            return toolkit_identity("converter_lite", self.converter)
        found = {"mindspore_lite": self.version}
        libraries = library_digest(package) if self.python and (package := package_directory(self.python)) else ""
        return found | ({"mindspore_lite libraries": libraries} if libraries else {})


def find_toolchain(device: str) -> LiteToolchain:
    """Return the MindSpore Lite to use for a device.

    For ``ascend`` the official converter is preferred, because it is what comes with the hardware's packages.

    Raises:
        CompileError: There is none; says how to get it.
    """
    return _find(device, os.environ.get(PYTHON_VARIABLE, ""), search_directory())


@functools.cache
def _find(device: str, explicit: str, directory: Path) -> LiteToolchain:
    converter = _converter()
    try:
        python, version = find_python(device)
    except EngineError as cause:
        if explicit:
            raise CompileError(cause.what, where=cause.where, fix=cause.fix) from cause
        if converter is None:
            fix = f"{MISSING}, or put converter_lite on PATH."
            raise CompileError("MindSpore Lite was not found", where="compile.backend", fix=fix) from cause
        return LiteToolchain(None, converter, "")
    if converter is not None and device == "ascend":
        return LiteToolchain(python, converter, "")
    return LiteToolchain(python, None, version)


def _converter() -> Path | None:
    if found := shutil.which("converter_lite"):
        return Path(found)
    for variable in ("LITE_HOME", "MSLITE_HOME"):
        path = Path(os.environ.get(variable, "/nowhere")) / "tools" / "converter" / "converter" / "converter_lite"
        if path.is_file():
            return path
    return None
