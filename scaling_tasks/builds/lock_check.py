"""Checking a checkout against its lock file, without the data set, without compiling, with whatever is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling_tasks.errors import CompileError, LockError, ScalingTasksError
from scaling_tasks.stages.lock import LOCK, built_section, differences, locked_toolchain, read_lock, settings
from scaling_tasks.stages.target import Target

if TYPE_CHECKING:
    from scaling_tasks.stages.analysis import Analysed
    from scaling_tasks.stages.units import UnitsDocument

__all__ = ["Finding", "check_lock"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        target: The target's name.
        subject: What was looked at.
        problem: What is wrong with it, None where nothing is.
        unchecked: Why it could not be looked at, None where it was.
    """

    target: str
    subject: str
    problem: str | None = None
    unchecked: str | None = None


def check_lock(targets: Sequence[Target], *, built: bool) -> list[Finding]:
    """Return what was found of every target that is configured or locked.

    Args:
        targets: The configured targets.
        built: Whether what is built here is compared too.

    Raises:
        LockError: There is no lock file, or it is damaged.
    """
    if not LOCK.exists():
        raise LockError("there is none", where=str(LOCK), fix="Build, and commit the file.")
    locked = read_lock()
    names = [target.name for target in targets]
    gone = [
        Finding(name, "configuration", "it is locked but no longer configured")
        for name in sorted(locked)
        if name not in names
    ]
    return [*gone, *(finding for target in targets for finding in _check(target, locked, built))]


def _check(target: Target, sections: Mapping[str, Any], built: bool) -> Iterator[Finding]:
    locked = sections.get(target.name)
    if locked is None:
        yield Finding(target.name, "configuration", "it is configured but not locked")
        return
    now, then = settings(target), locked.get("settings", {})
    changed = [key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)]
    said = f"{', '.join(changed)} changed since it was locked" if changed else None
    yield Finding(target.name, "configuration", said)
    if target.compiles:
        yield from _check_model(target, locked)
        yield _check_toolchain(target, locked)
    if built:
        yield _check_built(target, locked)


def _check_model(target: Target, locked: Mapping[str, Any]) -> Iterator[Finding]:
    """Look at the model and, where it is the locked one, at the key of every unit."""
    from scaling_tasks.onnx_model.digest import digest_model

    if not target.model.exists():
        yield Finding(target.name, "model", unchecked=f"{target.model.as_posix()} is not here")
        return
    try:
        digest = digest_model(target.model)
        if digest != locked.get("model"):
            yield Finding(target.name, "model", f"{target.model.as_posix()} is not the locked one")
            return
        yield Finding(target.name, "model")
        yield from _check_units(target, locked)
    except CompileError as error:
        yield Finding(target.name, "units", unchecked=str(error))
    except ScalingTasksError as error:
        yield Finding(target.name, "model", str(error))


def _check_units(target: Target, locked: Mapping[str, Any]) -> Iterator[Finding]:
    from scaling_tasks.compilers.isolation import compile_parameters
    from scaling_tasks.stages.analysis import analysed_now
    from scaling_tasks.stages.compile import unit_action

    units = locked.get("units", {})
    analysed, prepared = analysed_now(target)
    if (document := _locked_units(target, units, analysed)) is None:
        yield Finding(target.name, "units", "the locked buckets are over other variables than the model's")
        return
    known = {unit.name for unit in document.units}
    wrong = sorted(units.keys() ^ known)
    model = {f"model/{target.model.name}": prepared}
    for name in sorted(known & units.keys()):
        parameters = compile_parameters(
            document.compiled_inputs, document.unit(name), target.result_options, document.behaviour
        )
        key = unit_action(target, model, parameters)[0].key
        if key != units[name].get("key"):
            wrong.append(name)
    said = f"{', '.join(wrong[:5])}{' …' if len(wrong) > 5 else ''} would be compiled under another key"
    yield Finding(target.name, "units", said if wrong else None)


def _locked_units(target: Target, units: Mapping[str, Any], analysed: Analysed) -> UnitsDocument | None:
    """Return the units document that the locked buckets lead to; None where they are none of the model's."""
    from scaling_tasks.compilers.registry import get_backend
    from scaling_tasks.stages.target_signature import target_signature
    from scaling_tasks.stages.units import UnitsDocument

    signature = target_signature(target)
    buckets = [_bucket(text) for unit in units.values() for text in unit.get("buckets", "").split(" ")]
    if any(len(bucket) != len(signature.inputs.variables) for bucket in buckets):
        return None
    backend = get_backend(target.options["backend"])
    made = backend.units(target.model.stem, signature.inputs, list(dict.fromkeys(buckets)), target.options)
    return UnitsDocument(analysed.original, signature.inputs, signature.outputs, analysed.behaviour, made)


def _bucket(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split("x") if size)


def _check_toolchain(target: Target, locked: Mapping[str, Any]) -> Finding:
    try:
        found = locked_toolchain(target)
    except CompileError as error:
        return Finding(target.name, "toolchain", unchecked=str(error))
    different = [*differences(locked.get("toolchain"), found)]
    return Finding(target.name, "toolchain", "; ".join(different) or None)


def _check_built(target: Target, locked: Mapping[str, Any]) -> Finding:
    try:
        found = built_section(target)
    except ScalingTasksError as error:
        return Finding(target.name, "build", unchecked=str(error))
    different = [*differences(locked, found)]
    return Finding(target.name, "build", "; ".join(different[:5]) or None)
