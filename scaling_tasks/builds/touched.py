"""Which targets are made from files that have changed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from scaling_tasks.config.load import DEFAULTS
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.imports import own_modules
from scaling_tasks.samples.places import is_url, local_path
from scaling_tasks.stages.inputs import model_files
from scaling_tasks.stages.target import Target

__all__ = ["sources", "touched"]

_PATTERN = frozenset("{*?[")


def touched(targets: Sequence[Target], changed: Iterable[Path]) -> list[Target]:
    """Return the targets that one of the changed files is of.

    Args:
        targets: Any.
        changed: Absolute paths, links followed; of files that may be gone.
    """
    files = {os.fspath(path) for path in changed}
    around = {os.fspath(parent) for path in files for parent in PurePath(path).parents}
    return [target for target in targets if any(_is_among(path, files, around) for path in sources(target))]


def sources(target: Target) -> Iterator[Path]:
    """Yield the files and directories of the repository that a target is made from, whether they are there or not."""
    spec = target.spec
    if target.config is not None:
        yield from (Path(target.config), Path(target.config).with_name(DEFAULTS))
    if spec.model is not None:
        yield target.model
        with contextlib.suppress(ScalingTasksError):  # A model that cannot be read is told by the build.
            yield from model_files(target.model).values()
    if spec.dataset is not None and not is_url(spec.dataset.path):
        yield _without_pattern(local_path(spec.dataset.path))
    verify = spec.verify
    named = (spec.auto_scaling.latency_table, verify.samples, verify.dataset, *verify.files)
    yield from (Path(path) for path in named if path is not None)
    if verify.metric is not None:
        module = verify.metric.partition(":")[0]
        yield from own_modules(module).files
        yield from (Path(*module.split(".")).with_suffix(".py"), Path(module.split(".")[0]) / "__init__.py")
    if spec.compile is not None:
        yield from (Path(text) for text in _texts(spec.compile.options) if "\0" not in text)
        with contextlib.suppress(ScalingTasksError):
            yield from _compilers_files(target)


def _compilers_files(target: Target) -> Sequence[Path]:
    from scaling_tasks.compilers.registry import get_backend

    return get_backend(target.options["backend"]).input_files(target.options)


def _without_pattern(path: Path) -> Path:
    """Return the part of a path that no pattern is in."""
    plain = next((place for place, part in enumerate(path.parts) if _PATTERN & set(part)), len(path.parts))
    return path if path.exists() else Path(*path.parts[:plain])


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in the options: some name files or directories."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif isinstance(value, str) and value:
        yield value


def _is_among(path: Path, changed: set[str], around: set[str]) -> bool:
    """Return whether a file, or something in a directory, has changed; or the module of git that it lies in."""
    here = os.path.realpath(os.curdir)
    for spelling in {os.path.normpath(os.path.join(here, path)), os.path.realpath(path)}:  # noqa: PTH118
        if spelling in changed or (spelling in around and spelling != here):
            return True
        if any(os.fspath(parent) in changed for parent in PurePath(spelling).parents):
            return True
    return False
