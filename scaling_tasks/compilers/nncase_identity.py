"""Which nncase compiles: the versions of its packages and of the .NET runtime under it."""

from __future__ import annotations

import importlib.metadata
import os
from pathlib import Path

from scaling_tasks.engines.nncase import INSTALL, RUNTIME
from scaling_tasks.errors import CompileError
from scaling_tasks.machine import version_of

__all__ = ["identify"]


def identify(target: str) -> dict[str, str]:
    """Return the versions of nncase, its target's package and the .NET runtime, without importing them.

    Raises:
        CompileError: One is missing.
    """
    packages = ["nncase", *(["nncase-kpu"] if target == "k230" else [])]
    if "DOTNET_ROOT" not in os.environ:
        packages.append(RUNTIME)
    try:
        found = {name: version_of(name) for name in packages}
    except importlib.metadata.PackageNotFoundError as cause:
        raise CompileError(f"{cause.name} is not installed", where="compile.backend", fix=INSTALL) from cause
    return found if RUNTIME in found else found | {"dotnet": _dotnet_version(Path(os.environ["DOTNET_ROOT"]))}


def _dotnet_version(root: Path) -> str:
    versions = sorted(path.name for path in (root / "shared" / "Microsoft.NETCore.App").glob("*"))
    if not versions:
        raise CompileError("holds no .NET runtime", where=f"DOTNET_ROOT={root}", fix=f"Correct or unset it. {INSTALL}")
    return ",".join(versions)
