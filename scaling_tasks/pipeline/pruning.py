"""Finding what earlier builds left behind that no configured target has any more.

Only files that our own records name are ever found, never a directory's other content.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.documents import read_document
from scaling_tasks.errors import CompileError, ScalingTasksError
from scaling_tasks.execution.file_locks import exclusive, is_free
from scaling_tasks.pipeline.artefacts import files_of_others
from scaling_tasks.pipeline.target import STATE, Target
from scaling_tasks.pipeline.units import read_units_if_there

__all__ = ["remove", "stale_files"]

# Name in the target's directory, and the kind its header must give; a report has no header.
_DOCUMENTS = {"statistics.json": "statistics", "buckets.json": "plan", "manifest.json": "manifest", "report.html": ""}


def stale_files(targets: Sequence[Target]) -> list[Path]:
    """Return files and directories below the repository that exist only because of what is no longer configured."""
    found: dict[Path, None] = {}
    for target in targets:
        found |= dict.fromkeys(_of_configured(target))
    for paths in (_of_gone_targets(targets), _logs(targets), _scans(targets), _work(), _locks()):
        found |= dict.fromkeys(paths)
    return list(found)


def remove(paths: Sequence[Path]) -> int:
    """Remove them, then the directories that this left empty; return the bytes freed."""
    freed = 0
    for path in paths:
        if path.parent == STATE / "locks":
            freed += _remove_lock(path)
        else:
            freed += _remove(path)
    for parent in sorted({path.parent for path in paths}, key=lambda path: -len(path.parts)):
        _remove_empty(parent)
    return freed


def _of_configured(target: Target) -> Iterator[Path]:
    document = read_units_if_there(target.units)
    if document is not None or not target.compiles:
        yield from files_of_others(target, [unit.name for unit in document.units] if document else [])


def _of_gone_targets(targets: Sequence[Target]) -> Iterator[Path]:
    """Yield what the states of targets name that are configured no longer, and those states."""
    kept = {target.state for target in targets}
    directories = {target.directory for target in targets}
    for state in sorted((STATE / "targets").glob("*")):
        if state in kept or not state.is_dir():
            continue
        records = [_record(path) for path in sorted((state / "artefacts").glob("*.json"))]
        if any(record["config"] is None for record in records):
            continue  # Made from a command line: no configuration has gone, and the files are the user's.
        for record in records:
            files = (Path(record["directory"]) / Path(file["name"]).name for file in record["files"])
            yield from (path for path in files if path.is_file())
        places = {Path(record["directory"]) for record in records} | {Path("build") / state.name}
        for directory in sorted(places - directories):
            yield from _documents(directory)
        yield from sorted(path for path in state.rglob("*") if path.is_file())


def _record(path: Path) -> dict[str, Any]:
    """Return an artefact record; where it cannot be read, one that names nothing."""
    nothing: dict[str, Any] = {"config": None, "directory": "", "files": []}
    try:
        return {**nothing, **read_document(path, "artefact", 1, error=CompileError)}
    except ScalingTasksError:
        return nothing


def _documents(directory: Path) -> Iterator[Path]:
    """Yield the documents in a target's directory that are ours by their header, and the report beside them."""
    ours = [directory / name for name, kind in _DOCUMENTS.items() if kind and _is_ours(directory / name)]
    yield from ours
    if ours and (directory / "report.html").is_file():
        yield directory / "report.html"


def _is_ours(path: Path) -> bool:
    try:
        return str(json.loads(path.read_bytes())["format"]).startswith("scaling-tasks/")
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _logs(targets: Sequence[Target]) -> Iterator[Path]:
    units = {target.name: read_units_if_there(target.units) if target.compiles else None for target in targets}
    for path in sorted((STATE / "logs").glob("*/*")):
        document = units.get(path.parent.name)
        unit = path.name.partition(".log")[0].removesuffix(".job.json").removesuffix(".outcome.json")
        unknown = document is not None and unit not in {each.name for each in document.units}
        if path.parent.name not in units or unknown:
            yield path


def _scans(targets: Sequence[Target]) -> Iterator[Path]:
    kept = {target.scan_directory for target in targets if target.needs_data}
    for directory in sorted((STATE / "scan").glob("*")):
        if directory not in kept:
            yield from sorted(path for path in directory.rglob("*") if path.is_file())


def _work() -> Iterator[Path]:
    """Yield work directories whose run is no more."""
    for directory in sorted((STATE / "work").glob("*")):
        job = directory / "job.json"
        busy = _is_alive(_parent(job)) if job.exists() else not is_free(STATE / "locks" / directory.name)
        if not busy:
            yield directory


def _parent(job: Path) -> int:
    try:
        return int(json.loads(job.read_bytes())["parent"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _is_alive(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()


def _locks() -> Iterator[Path]:
    yield from (path for path in sorted((STATE / "locks").glob("*")) if is_free(path))


def _remove_lock(path: Path) -> int:
    """Remove a lock's file while holding it: who waits for it notices and locks the next one."""
    if not is_free(path):
        return 0
    with exclusive(path):
        path.unlink(missing_ok=True)
    return 0


def _remove(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        freed = sum(_remove(each) for each in sorted(path.iterdir()))
        path.rmdir()
        return freed
    size = path.lstat().st_size if path.exists() or path.is_symlink() else 0
    path.unlink(missing_ok=True)
    return size


def _remove_empty(directory: Path) -> None:
    """Remove a directory and its parents as far as they are empty; never the state's or the build's own root."""
    while directory not in (STATE, Path("build"), Path()) and directory.is_dir():
        try:
            directory.rmdir()
        except OSError:
            return
        directory = directory.parent
