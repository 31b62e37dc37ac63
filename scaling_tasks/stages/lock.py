"""Stage ``lock``: what was built to ``scaling.lock``, which is committed, and comparing the two.

The file holds digests only, so it can be checked where neither the data set nor a compiler is. It is the same on every
machine that builds the same.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from scaling_tasks.config.environment import environment_settings
from scaling_tasks.config.load import section
from scaling_tasks.document_fields import DigestField
from scaling_tasks.documents import MOST_BYTES, canonical_json, parse_document
from scaling_tasks.errors import LockError, ScalingTasksError, of_disk
from scaling_tasks.execution.file_locks import exclusive
from scaling_tasks.files import digest_bytes, read_regular, write_if_changed
from scaling_tasks.known_digests import STATE
from scaling_tasks.own_code import code_of
from scaling_tasks.shapes.unit import Unit
from scaling_tasks.stages.compile import CODE, toolchain
from scaling_tasks.stages.compile import STAGE as COMPILE
from scaling_tasks.stages.stage import Built, Made, Opening, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

__all__ = [
    "LOCK",
    "STAGE",
    "built_section",
    "differences",
    "locked_toolchain",
    "read_lock",
    "refuse",
    "refuse_built",
    "remove_sections",
    "settings",
]

LOCK = Path("scaling.lock")
"""The lock file, at the repository's root."""

_KIND, _VERSION = "lock", 1
_SHORT = 12


def _run(target: Target, opening: Opening) -> dict[str, Any]:
    """Write the target's section of the lock file; where it must not change, refuse to.

    Raises:
        ScalingTasksError: Something that the section is made of is not built.
    """
    if environment_settings().locked:
        refuse_built(target)
        return {"changed": False}
    found = built_section(target)
    with exclusive(STATE / "locks" / LOCK.name, f"writing {LOCK}", below=STATE):
        changed = _write({**read_lock(), target.name: found})
    return {"changed": changed}


def _current(target: Target) -> bool:
    """Return whether the lock file says what is built; whatever is not built is left to the stage to report."""
    try:
        return bool(read_lock().get(target.name) == built_section(target))
    except ScalingTasksError:
        return False


def read_lock() -> dict[str, Any]:
    """Return the section of every target; none where there is no lock file.

    Raises:
        LockError: It cannot be read, is damaged or of another version.
    """
    try:
        status = LOCK.stat()
        # Of every target it is asked whether the lock says so.
        return dict(_read(Path.cwd() / LOCK, status.st_ino, status.st_mtime_ns, status.st_ctime_ns))
    except FileNotFoundError:
        return {}
    except OSError as cause:
        raise of_disk(cause, LockError, where=LOCK, what="cannot be read") from cause


@functools.lru_cache(maxsize=1)
def _read(path: Path, inode: int, written: int, changed: int) -> dict[str, Any]:
    fix = "Take it from git again, or delete it and build."
    return parse_document(
        read_regular(path, MOST_BYTES),
        _KIND,
        _VERSION,
        where=str(LOCK),
        error=LockError,
        build=_sections,
        sealed=False,
        fix=fix,
    )


class _Unit(msgspec.Struct):
    """What is locked of a unit; its buckets as ``1x32x320 1x32x640``, none for a model of one shape."""

    buckets: Annotated[str, Meta(pattern=r"\A([0-9]{1,10}([x ][0-9]{1,10})*)?\Z")] = ""
    key: DigestField | None = None
    files: dict[str, DigestField] = {}


class _Section(msgspec.Struct):
    """What is locked of a target; of one that has no model or data set a part is not there."""

    settings: dict[str, DigestField] = {}
    plan: DigestField | None = None
    dataset: DigestField | None = None
    statistics: DigestField | None = None
    model: DigestField | None = None
    toolchain: dict[str, str] = {}
    units: dict[str, _Unit] = {}


def _sections(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the targets' sections, as they are; refuse what could not be compared with what is built."""
    targets: dict[str, Any] = payload["targets"]
    msgspec.convert(targets, dict[str, _Section])
    return targets


def remove_sections(names: Iterable[str]) -> None:
    """Remove the sections of targets that are no longer configured."""
    with exclusive(STATE / "locks" / LOCK.name, f"writing {LOCK}", below=STATE):
        gone = set(names)
        _write({name: found for name, found in read_lock().items() if name not in gone})


def built_section(target: Target, made: Made | None = None) -> dict[str, Any]:
    """Return what the lock file shall say of the target, from what is made, which is what is built by default.

    Raises:
        ScalingTasksError: Something is not there.
    """
    made = made or Built(target)
    parts = {"settings": settings(target), **_plan_section(target, made)}
    if target.compiles:
        for name, unit in parts["units"].items():
            result = made.result("compile", name)
            unit["key"] = result.key
            unit["files"] = {file.name: file.digest for file in result.files}
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
        found = {"settings": settings(target), **_plan_section(target, Built(target))}
        if different := [*differences(_without_artefacts(locked), found)]:
            raise _would_change(target, different)
        return
    assert COMPILE.request is not None
    key = COMPILE.request(target, Built(target), unit).action.key
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
        "compile": target.result_options,
        "dataset": section(spec.dataset),
        "input_shape": spec.input_shape,
        "inputs": spec.inputs,
        "shape_bucket": section(spec.shape_bucket),
        "runtime": section(spec.runtime),
        "verify": section(spec.verify),
    }
    return {name: digest_bytes(canonical_json(value).encode()) for name, value in parts.items()}


def _plan_section(target: Target, made: Made) -> dict[str, Any]:
    parts: dict[str, Any] = {"plan": made.result("buckets").file("buckets.json").digest}
    if target.needs_data:
        parts["dataset"] = _dataset_digest(made.result("scan").file("cache.json").path)
        parts["statistics"] = made.result("statistics").file("statistics.json").digest
    if target.compiles:
        document = planned_units(made)
        parts["model"] = document.model_digest
        parts["toolchain"] = locked_toolchain(target)
        parts["units"] = {unit.name: {"buckets": _sizes(unit)} for unit in document.units}
    plain: dict[str, Any] = json.loads(canonical_json(parts))
    return plain


def locked_toolchain(target: Target) -> dict[str, str]:
    """Return what the lock file says that artefacts are made with: the toolchain, and the code of this package.

    Raises:
        CompileError: The toolchain is missing.
    """
    return {**toolchain(target), "scaling_tasks": code_of(*CODE)}


def _sizes(unit: Unit) -> str:
    """Return a unit's buckets on one line: ``1x32x320 1x32x640``."""
    return " ".join("x".join(str(size) for size in bucket) for bucket in unit.buckets)


def _without_artefacts(locked: Mapping[str, Any]) -> dict[str, Any]:
    units = {name: {"buckets": unit.get("buckets")} for name, unit in locked.get("units", {}).items()}
    return {**locked, "units": units} if "units" in locked else dict(locked)


def _dataset_digest(path: Path) -> str:
    try:
        return str(json.loads(read_regular(path, MOST_BYTES))["digest"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as cause:
        raise LockError("the data set has not been scanned", where=str(path), fix="Build first.") from cause


def _write(targets: Mapping[str, Any]) -> bool:
    whole = {"format": f"scaling-tasks/{_KIND}/{_VERSION}", "targets": targets}
    # One line per value: two branches that change different units merge. Every target writes all of it, so in C.
    text = msgspec.json.format(msgspec.json.encode(whole, order="sorted"), indent=1)
    return write_if_changed(LOCK, text + b"\n", below=LOCK.parent, durable=True)


def _would_change(target: Target, different: list[str]) -> LockError:
    shown = "; ".join(different[:5]) + ("; …" if len(different) > 5 else "")
    return LockError(
        f"the build of {target.name} would change it ({shown})",
        where=str(LOCK),
        fix="Build without locked=1 (or SCALING_TASKS_LOCKED=1) and commit the file, if the change is wanted.",
    )


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) < 2 * _SHORT else f"{text[:_SHORT]}…"


STAGE = Stage(
    name="lock",
    doc=f"note in {LOCK} what was built",
    after=("buckets", "bundle"),
    # A target given on a command line belongs to no repository whose lock file it could be noted in.
    applies=lambda target: target.config is not None,
    do=_run,
    current=_current,
    lasting=True,
    after_plan=False,
)
