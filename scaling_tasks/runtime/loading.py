"""Loading an artefact whose files are what was built."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.engines.contract import Engine
from scaling_tasks.errors import BundleError, ScalingTasksError
from scaling_tasks.files import digest_file
from scaling_tasks.runtime.manifest import ArtefactFile

__all__ = ["Loader", "load_verified"]

_COPY = "Copy the bundle with what its links lead to (`cp -rL`)."

Loader = Callable[[Path, Mapping[str, Any]], Engine]


def load_verified(directory: Path, files: Sequence[ArtefactFile], loader: Loader, options: Mapping[str, Any]) -> Engine:
    """Load an artefact whose files are what was built, and still were when they had been loaded.

    Args:
        directory: Of the bundle.
        files: The artefact's; the first is the one that is loaded.
        loader: Turns it into an engine.
        options: What the loader takes.

    Raises:
        BundleError: A file is missing, differs, changed meanwhile, or does not load.
    """
    before = _stamps(directory, files)
    _verify(directory, files)
    # The name of the bundle's directory, not the way by which one that is held is found.
    path, where = directory / files[0].name, f"{directory}/{files[0].name}"
    try:
        engine = loader(path, options)
    except ScalingTasksError as cause:
        what = cause.what.replace(str(path), where)
        raise BundleError(what, where=where, fix=cause.fix or "Build the bundle again.") from cause
    if _stamps(directory, files) != before:
        engine.close()
        raise BundleError("a file of it was changed while it was loaded", where=where, fix="Load the bundle again.")
    return engine


def _stamps(directory: Path, files: Sequence[ArtefactFile]) -> list[tuple[int, ...]]:
    """Return what changes when a file is written or replaced."""
    stamps: list[tuple[int, ...]] = []
    for file in files:
        with contextlib.suppress(OSError):  # Told when the files are verified.
            status = (directory / file.name).lstat()
            stamps.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
    return stamps


def _verify(directory: Path, files: Sequence[ArtefactFile]) -> None:
    """Check that the files are what was built.

    Raises:
        BundleError: One is missing or differs.
    """
    for file in files:
        try:
            digest = digest_file(directory / file.name, below=directory / "", most=file.size)
        except OSError as cause:
            raise BundleError(
                f"cannot be read ({cause.strerror})",
                where=f"{directory}/{file.name}",
                fix=_COPY if cause.errno == errno.ELOOP else "Build the bundle again.",
            ) from cause
        if digest != file.digest:
            raise BundleError(
                "it is not the file that was built",
                where=f"{directory}/{file.name}",
                fix="Build the bundle again.",
            )
