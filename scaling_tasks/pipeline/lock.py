"""Stage ``lock``: what was built to ``scaling.lock``, which is committed, and comparing the two.

The file holds digests only, so it can be checked where neither the data set nor a compiler is. It is the same on every
machine that builds the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.contract import Unit
from scaling_tasks.config.load import section
from scaling_tasks.documents import canonical_json, parse_document
from scaling_tasks.errors import LockError
from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.files import digest_bytes, digest_file, write_if_changed
from scaling_tasks.pipeline.artefacts import read_record
from scaling_tasks.pipeline.keys import result_options
from scaling_tasks.pipeline.scan import summary
from scaling_tasks.pipeline.target import STATE, Target
from scaling_tasks.pipeline.units import read_units

__all__ = [
    "LOCK",
    "built_section",
    "differences",
    "read_lock",
    "refuse",
    "refuse_built",
    "remove_sections",
    "run",
    "settings",
]

LOCK = Path("scaling.lock")
"""The lock file, at the repository's root."""

_KIND, _VERSION = "lock", 1
_SHORT = 12


def run(target: Target) -> dict[str, Any]:
    """Write the target's section of the lock file.

    Raises:
        ScalingTasksError: Something that the section is made of is not built.
    """
    found = built_section(target)
    with exclusive(STATE / "locks" / LOCK.name, f"writing {LOCK}"):
        changed = _write({**read_lock(), target.name: found})
    return {"changed": changed}


def read_lock() -> dict[str, Any]:
    """Return the section of every target; none where there is no lock file.

    Raises:
        LockError: It is damaged or of another version.
    """
    try:
        text = LOCK.read_bytes()
    except FileNotFoundError:
        return {}
    targets = parse_document(text, _KIND, _VERSION, where=str(LOCK), error=LockError).get("targets")
    if not isinstance(targets, dict):
        raise LockError("it has no targets", where=str(LOCK), fix="Take it from git again, or delete it and build.")
    return targets


def remove_sections(names: Iterable[str]) -> None:
    """Remove the sections of targets that are no longer configured."""
    with exclusive(STATE / "locks" / LOCK.name, f"writing {LOCK}"):
        gone = set(names)
        _write({name: found for name, found in read_lock().items() if name not in gone})


def built_section(target: Target) -> dict[str, Any]:
    """Return what the lock file shall say of the target, from what is built.

    Raises:
        ScalingTasksError: Something is not built.
    """
    parts = {"settings": settings(target), **_plan_section(target)}
    if target.compiles:
        for name, unit in parts["units"].items():
            record = read_record(target, name)
            unit["key"] = record["key"]
            unit["files"] = {file["name"]: file["digest"] for file in record["files"]}
    return parts


def refuse(target: Target, unit: str | None = None) -> None:
    """Stop a build that would change the lock file, before anything is compiled.

    Args:
        target: A target whose plan has been made.
        unit: A unit that is about to be compiled; its key must be the one locked.

    Raises:
        LockError: Naming what differs.
    """
    locked = read_lock().get(target.name)
    if locked is None:
        raise _would_change(target, ["it has no section of this target"])
    if unit is None:
        found = {"settings": settings(target), **_plan_section(target)}
        if different := [*differences(_without_artefacts(locked), found)]:
            raise _would_change(target, different)
        return
    from scaling_tasks.pipeline.keys import compile_components

    key = digest_bytes(canonical_json(compile_components(target, read_units(target.units), unit)).encode())
    said = locked.get("units", {}).get(unit, {}).get("key")
    if said != key:
        raise _would_change(target, [*differences({"key": said}, {"key": key}, f"units.{unit}")])


def refuse_built(target: Target) -> None:
    """Stop where what was built is not what is locked, down to the artefacts' bytes.

    Raises:
        LockError: Naming what differs.
    """
    if different := [*differences(read_lock().get(target.name, {}), built_section(target))]:
        raise _would_change(target, different)


def differences(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Yield what differs between two sections, as ``where: old -> new`` with digests cut short."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from differences(old.get(key), new.get(key), f"{where}.{key}" if where else str(key))
    elif old != new:
        yield f"{where}: {_shown(old)} -> {_shown(new)}"


def settings(target: Target) -> dict[str, Any]:
    """Return the digest of each part of the configuration that says what is built."""
    spec = target.spec
    parts = {
        "auto_scaling": section(spec.auto_scaling),
        "compile": result_options(target),
        "dataset": section(spec.dataset),
        "input_shape": spec.input_shape,
        "shape_bucket": section(spec.shape_bucket),
        "runtime": section(spec.runtime),
        "verify": section(spec.verify),
    }
    return {name: digest_bytes(canonical_json(value).encode()) for name, value in parts.items()}


def _plan_section(target: Target) -> dict[str, Any]:
    parts: dict[str, Any] = {"plan": _digest(target.buckets)}
    if target.needs_data:
        parts["dataset"] = _dataset_digest(target)
        parts["statistics"] = _digest(target.statistics)
    if target.compiles:
        from scaling_tasks.compilers.registry import get_backend

        document = read_units(target.units)
        parts["model"] = document.original
        parts["toolchain"] = dict(get_backend(target.options["backend"]).identity(target.options))
        parts["units"] = {unit.name: {"buckets": _sizes(unit)} for unit in document.units}
    plain: dict[str, Any] = json.loads(canonical_json(parts))
    return plain


def _sizes(unit: Unit) -> str:
    """Return a unit's buckets on one line: ``1x32x320 1x32x640``."""
    return " ".join("x".join(str(size) for size in bucket) for bucket in unit.buckets)


def _without_artefacts(locked: Mapping[str, Any]) -> dict[str, Any]:
    units = {name: {"buckets": unit.get("buckets")} for name, unit in locked.get("units", {}).items()}
    return {**locked, "units": units} if "units" in locked else dict(locked)


def _dataset_digest(target: Target) -> str:
    path = summary(target)
    try:
        return str(json.loads(path.read_bytes())["digest"])
    except (OSError, ValueError, KeyError) as cause:
        raise LockError("the data set has not been scanned", where=str(path), fix="Build first.") from cause


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as cause:
        raise LockError(f"cannot be read ({cause.strerror})", where=str(path), fix="Build it first.") from cause


def _write(targets: Mapping[str, Any]) -> bool:
    whole = {"format": f"scaling-tasks/{_KIND}/{_VERSION}", "targets": targets}
    # One line per value: two branches that change different units merge.
    return write_if_changed(LOCK, (canonical_json(whole, indent=1) + "\n").encode())


def _would_change(target: Target, different: list[str]) -> LockError:
    shown = "; ".join(different[:5]) + ("; …" if len(different) > 5 else "")
    return LockError(
        f"the build of {target.name} would change it ({shown})",
        where=str(LOCK),
        fix="Build without SCALING_TASKS_LOCKED and commit the file, if the change is wanted.",
    )


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) < 2 * _SHORT else f"{text[:_SHORT]}…"
