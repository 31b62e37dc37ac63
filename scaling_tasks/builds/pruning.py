"""Finding what earlier builds left behind that no configured target has any more.

Only files that our own records name are ever found, never a directory's other content.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from scaling_tasks.actions.results import ResultFile, read_result_if_there
from scaling_tasks.documents import document_text, read_document
from scaling_tasks.errors import CacheError
from scaling_tasks.execution.file_locks import exclusive, is_free
from scaling_tasks.files import remove_whole, write_if_changed
from scaling_tasks.known_digests import STATE, known_digests
from scaling_tasks.names import inner_name
from scaling_tasks.paths import directory_of, enclosed, entries, files_below
from scaling_tasks.stages.leftovers import leftovers
from scaling_tasks.stages.target import BUNDLES, Target
from scaling_tasks.stages.units import read_units_if_there

__all__ = ["note_target", "remove", "stale_files"]

_KIND, _VERSION = "target", 1
_LOCKS = STATE / "locks"


class _Noted(msgspec.Struct):
    """What is noted of a target: the configuration that says so, None for a command line, and where its bundle is."""

    config: str | None
    directory: str

    @classmethod
    def of(cls, payload: dict[str, Any]) -> _Noted:
        return msgspec.convert(payload, cls)


def note_target(target: Target) -> None:
    """Note beside what is made for a target whether a configuration says so, so that its leavings can be told."""
    text = document_text(_KIND, _VERSION, {"config": target.config, "directory": target.directory.as_posix()})
    write_if_changed(target.state / "target.json", text.encode(), below=STATE, derived=True)


def stale_files(targets: Sequence[Target]) -> list[Path]:
    """Return files and directories below the repository that exist only because of what is no longer configured."""
    found: dict[Path, None] = {}
    for target in targets:
        found |= dict.fromkeys(_of_configured(target))
    for paths in (_of_gone_targets(targets), _logs(targets), _scans(targets), _work(), _locks()):
        found |= dict.fromkeys(paths)
    return list(found)


def remove(paths: Sequence[Path]) -> None:
    """Remove them, then the directories that this left empty."""
    for path in paths:
        if path.parent == _LOCKS:
            _remove_lock(path)
        else:
            remove_whole(path, _root(path))
    for parent in sorted({path.parent for path in paths}, key=lambda path: -len(path.parts)):
        _remove_empty(parent)


def _of_configured(target: Target) -> Iterator[Path]:
    document = read_units_if_there(target.units)
    if document is not None or not target.compiles:
        yield from leftovers(target, [unit.name for unit in document.units] if document else [])


def _of_gone_targets(targets: Sequence[Target]) -> Iterator[Path]:
    """Yield what the states of targets name that are configured no longer, and those states."""
    kept = {target.state for target in targets}
    directories = {target.directory for target in targets}
    for state in entries(STATE / "targets", STATE):
        if state in kept or not state.is_dir():
            continue
        try:
            noted = read_document(state / "target.json", _KIND, _VERSION, error=CacheError, build=_Noted.of)
        except CacheError:
            noted = _Noted("", "")
        if noted.config is None:
            continue  # Made from a command line: no configuration has gone, and the files are the user's.
        results = (read_result_if_there(path) for path in files_below(state / "results", STATE))
        files = [file for result in results if result for file in result.files]
        # Only what lies in the target's own directory: another may have taken the directory over.
        places = {Path(noted.directory)} - directories if _is_ours(noted.directory) else set()
        yield from (file.path for file in files if file.path.parent in places and _is_as_made(file))
        yield from files_below(state, STATE)


def _is_as_made(file: ResultFile) -> bool:
    """Return whether a file is what a record says; another one of its name is the user's."""
    return known_digests().holds(file.path, file.digest, file.size)


def _is_ours(directory: str) -> bool:
    """Return whether a directory lies below the repository, by no link: nothing elsewhere is ever removed."""
    try:
        return enclosed(Path(inner_name(directory)), _root(Path(directory))).is_dir()
    except (OSError, ValueError):
        return False


def _root(path: Path) -> Path:
    """Return what a path of ours lies below; the state and all bundles may be kept on another disk, by a link."""
    return next((root for root in (STATE, BUNDLES) if root in path.parents), Path())


def _logs(targets: Sequence[Target]) -> Iterator[Path]:
    units: dict[str, set[str] | None] = {}
    for target in targets:
        document = read_units_if_there(target.units) if target.compiles else None
        units[target.log("compile", "x").parent.name] = {unit.name for unit in document.units} if document else None
    for directory in entries(STATE / "logs", STATE):
        known = units.get(directory.name, set())
        for path in (path for path in files_below(directory, STATE) if path.suffix == ".log"):
            of_unit = path.parent == directory or path.stem != path.parent.name
            if directory.name not in units or (of_unit and known is not None and path.stem not in known):
                yield path


def _scans(targets: Sequence[Target]) -> Iterator[Path]:
    kept = {target.scan_cache.parent for target in targets if target.needs_data}
    for directory in entries(STATE / "scan", STATE):
        if directory not in kept:
            yield from files_below(directory, STATE)


def _work() -> Iterator[Path]:
    """Yield work directories whose run is no more."""
    directories = entries(STATE / "work", STATE)
    yield from (directory for directory in directories if is_free(_LOCKS / directory.name, below=STATE))


def _locks() -> Iterator[Path]:
    yield from (path for path in entries(_LOCKS, STATE) if is_free(path, below=STATE))


def _remove_lock(path: Path) -> None:
    """Remove a lock's file while holding it: who waits for it notices and locks the next one."""
    if is_free(path, below=STATE):
        with exclusive(path, below=STATE):
            remove_whole(path, STATE)


def _remove_empty(directory: Path) -> None:
    """Remove a directory and its parents as far as they are empty; never the state's or the build's own root."""
    while directory not in (STATE, BUNDLES, Path()):
        try:
            with directory_of(directory, _root(directory)) as (above, name):
                os.rmdir(name, dir_fd=above)
        except OSError:
            return
        directory = directory.parent
