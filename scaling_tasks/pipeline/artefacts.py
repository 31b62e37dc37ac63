"""The record of a unit's artefact files: which they are, and whether they are still what was made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.documents import canonical_json, document_text, read_document
from scaling_tasks.errors import CompileError, ScalingTasksError
from scaling_tasks.files import digest_file, write_if_changed
from scaling_tasks.pipeline.target import Target
from scaling_tasks.pipeline.units import UnitsDocument

__all__ = [
    "artefacts_by_digest",
    "files_of",
    "files_of_others",
    "intact",
    "read_record",
    "remove_others",
    "write_record",
]

_KIND, _VERSION = "artefact", 1


def write_record(target: Target, unit: str, key: str, files: Sequence[Path]) -> None:
    """Publish which files the unit has, the one to load first; equal artefacts give equal bytes."""
    entries = [{"name": path.name, "digest": digest_file(path), "size": path.stat().st_size} for path in files]
    # Directory and configuration, so that the files can be told and found when the target is configured no longer.
    place = {"directory": target.directory.as_posix(), "config": target.config}
    payload = {"unit": unit, "key": key, "files": entries, **place}
    text = document_text(_KIND, _VERSION, payload)
    write_if_changed(target.artefact_record(unit), text.encode())
    _write_stamps(target, unit, files)


def read_record(target: Target, unit: str) -> dict[str, Any]:
    """Return the record: ``unit``, ``key``, ``directory``, ``config``, and ``files``.

    Each file has ``name``, ``digest`` and ``size``.

    Raises:
        CompileError: There is none.
    """
    return read_document(target.artefact_record(unit), _KIND, _VERSION, error=CompileError)


def files_of(target: Target, unit: str) -> list[Path]:
    """Return every file that exists because of the unit: artefact files and records."""
    return [*_artefact_files(target, unit), target.artefact_record(unit), _stamps(target, unit)]


def artefacts_by_digest(target: Target, document: UnitsDocument) -> dict[str, Path]:
    """Return the files that the target's units have so far: equal ones, such as weights, can share their bytes."""
    found: dict[str, Path] = {}
    for unit in document.units:
        try:
            entries = read_record(target, unit.name)["files"]
        except ScalingTasksError:
            continue
        paths = {entry["digest"]: target.directory / entry["name"] for entry in entries}
        found |= {digest: path for digest, path in paths.items() if path.is_file()}
    return found


def intact(target: Target, unit: str) -> bool:
    """Return whether every artefact file holds what was recorded.

    A file whose size, modification time and inode are those noted when it was last looked at is taken as unread;
    any other is read and digested.
    """
    try:
        entries = read_record(target, unit)["files"]
        paths = [target.directory / entry["name"] for entry in entries]
        if _stamps(target, unit).read_text() == _stamp_text(paths):
            return True
        if any(path.stat().st_size != entry["size"] for path, entry in zip(paths, entries, strict=True)):
            return False
        if any(digest_file(path) != entry["digest"] for path, entry in zip(paths, entries, strict=True)):
            return False
    except (OSError, ScalingTasksError):
        return False
    _write_stamps(target, unit, paths)
    return True


def remove_others(target: Target, units: Sequence[str]) -> list[Path]:
    """Remove the artefacts of units that the plan no longer has; return the artefact files removed."""
    removed = []
    for path in files_of_others(target, units):
        removed.extend([path] if path.parent == target.directory else [])
        path.unlink(missing_ok=True)
    return removed


def files_of_others(target: Target, units: Sequence[str]) -> list[Path]:
    """Return every existing file that exists only because of units that the plan no longer has."""
    keep = {path.name for unit in units for path in _artefact_files(target, unit)}
    found: list[Path] = []
    for record in sorted(target.artefact_record("x").parent.glob("*.json")):
        if record.stem not in units:
            mine = [path for path in files_of(target, record.stem) if path.name not in keep]
            found += [path for path in [*mine, target.verification(record.stem)] if path.exists()]
    return found


def _artefact_files(target: Target, unit: str) -> list[Path]:
    try:
        return [target.directory / entry["name"] for entry in read_record(target, unit)["files"]]
    except ScalingTasksError:
        return []


def _stamps(target: Target, unit: str) -> Path:
    return target.artefact_record(unit).with_suffix(".stamps")


def _write_stamps(target: Target, unit: str, files: Sequence[Path]) -> None:
    write_if_changed(_stamps(target, unit), _stamp_text(files).encode())


def _stamp_text(files: Sequence[Path]) -> str:
    stats = [(path.name, path.stat()) for path in files]
    return canonical_json([[name, stat.st_size, stat.st_mtime_ns, stat.st_ino] for name, stat in stats])
