"""What is wrong with a target's configuration, found before anything is scanned, planned or compiled."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scaling_tasks.config.load import section, source_of
from scaling_tasks.errors import ConfigError, Mistakes, ScalingTasksError
from scaling_tasks.samples.places import is_url, local_path
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.stages.imports import imported_files
from scaling_tasks.stages.inputs import tree
from scaling_tasks.stages.padding import sample_files
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature

__all__ = ["find_mistakes", "refuse_mistakes"]

_KEYS = re.compile(r"[a-z_]+(\.[\w-]+)*")
_found_sound: set[str] = set()


def refuse_mistakes(target: Target) -> None:
    """Raise what is wrong with a target; looked for once per process and target.

    Raises:
        ScalingTasksError: The mistake, or all of them, a line each.
    """
    known = repr(target)
    if known in _found_sound:
        return
    found = find_mistakes(target)
    if len(found) == 1:
        raise found[0]
    if found:
        raise Mistakes(found)
    _found_sound.add(known)


def find_mistakes(target: Target, *, toolchain: bool = False) -> list[ScalingTasksError]:
    """Return everything that is wrong with a target, as far as it can be told without work.

    Args:
        target: Whose configuration is looked at, with the model and the files that it names.
        toolchain: Whether a missing compiler counts.
    """
    checks = [partial(check, target) for check in (_check_data, _check_samples, _check_metric, _check_labelled)]
    if toolchain and target.compiles:
        checks.append(partial(_check_toolchain, target))
    found = list(_tried(checks))
    try:
        signature = target_signature(target).inputs
    except ScalingTasksError as error:
        found.append(error)
    else:
        found += _tried([partial(_check_compiler, target, signature), partial(_check_padding, target, signature)])
        found += _unknown_variables(target, signature)
    return list({str(error): error for error in _placed(target, found)}.values())


def _tried(checks: Sequence[Callable[[], None]]) -> Iterator[ScalingTasksError]:
    for check in checks:
        try:
            check()
        except ScalingTasksError as error:
            yield error


def _placed(target: Target, errors: Sequence[ScalingTasksError]) -> Sequence[ScalingTasksError]:
    """Return the errors, those that name a key with the file and the line where that is written."""
    if target.config is None or not any(_KEYS.fullmatch(error.where) for error in errors):
        return errors
    try:
        source = source_of(Path(target.config), target.name)
    except ConfigError:
        return errors
    return [
        type(error)(error.what, where=source.where(tuple(error.where.split("."))), fix=error.fix)
        if _KEYS.fullmatch(error.where)
        else error
        for error in errors
    ]


def _there(path: str | None, where: str) -> None:
    if path is not None and not Path(path).exists():
        raise ConfigError(
            f"{path!r} is not there", where=where, fix="Correct the path; it is from the repository's root."
        )


def _check_data(target: Target) -> None:
    path = target.spec.dataset.path if target.spec.dataset else ""
    # What a URL or a pattern stands for is found out by the scan.
    if path and not is_url(path) and not set("{*?[") & set(path):
        _there(str(local_path(path)), "dataset.path")
    _there(target.spec.auto_scaling.latency_table, "auto_scaling.latency_table")


def _check_samples(target: Target) -> None:
    _there(target.spec.verify.samples, "verify.samples")
    sample_files(target.spec.verify.samples)


def _check_labelled(target: Target) -> None:
    spec = target.spec.verify
    for path in (spec.dataset, *spec.files):
        if path is not None:
            tree(path, where="verify.dataset" if path == spec.dataset else "verify.files")


def _check_metric(target: Target) -> None:
    """Look for the metric's function in its module's text: what the module does when imported is not done here."""
    name = target.spec.verify.metric
    if name is None:
        return
    module, _, function = name.partition(":")
    if not re.fullmatch(r"\w+(\.\w+)*", module) or not function.isidentifier():
        raise ConfigError(f"{name!r} names no function", where="verify.metric", fix="Write module:function.")
    own = Path(*module.split("."))
    here = imported_files(module)
    file = next((each for each in (own / "__init__.py", own.with_suffix(".py")) if each in here), None)
    if file is None:
        if importlib.util.find_spec(module.split(".")[0]) is None:
            what = f"there is no module {module!r}, neither from the repository's root nor installed"
            raise ConfigError(what, where="verify.metric", fix="Correct its name or its place.")
        return
    try:
        names = set(_top_names(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError) as cause:
        raise ConfigError(f"{file.as_posix()} is no Python ({cause})", where="verify.metric", fix="Mend it.") from cause
    if function not in names and "*" not in names:
        near = difflib.get_close_matches(function, names, n=1)
        fix = f"Did you mean {near[0]!r}?" if near else "Define it there, or name another."
        raise ConfigError(f"{file.as_posix()} has no {function!r}", where="verify.metric", fix=fix)


def _top_names(module: ast.Module) -> Iterator[str]:
    """Yield what importing a module may define; ``*`` where that cannot be told."""
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((each.asname or each.name).split(".")[0] for each in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("globals", "setattr"):
            yield "*"


def _check_toolchain(target: Target) -> None:
    from scaling_tasks.compilers.registry import get_backend

    if target.spec.compile is not None and not target.spec.compile.optional:
        get_backend(target.options["backend"]).identity(target.options)


def _check_compiler(target: Target, signature: Signature) -> None:
    from scaling_tasks.compilers.registry import get_backend

    if target.compiles:
        backend = get_backend(target.options["backend"])
        backend.check(signature, target.options)
        backend.input_files(target.options)


def _check_padding(target: Target, signature: Signature) -> None:
    from scaling_tasks.runtime.policies import given_policies, padding_of

    try:
        padding_of(signature, given_policies(section(target.spec.runtime)["padding"]))
    except ScalingTasksError as error:
        raise ConfigError(error.what, where="runtime.padding", fix=error.fix) from error


def _unknown_variables(target: Target, signature: Signature) -> Iterator[ScalingTasksError]:
    """Yield the keys that should be variables of the model and are none."""
    scaling, runtime = target.spec.auto_scaling, target.spec.runtime
    ranges = target.spec.shape_bucket.shape_bucket_range_info if target.spec.shape_bucket else {}
    named: dict[str, Mapping[str, Any]] = {
        "runtime.multiples": runtime.multiples,
        "auto_scaling.buckets_per": scaling.buckets_per,
        "auto_scaling.headroom": scaling.headroom if isinstance(scaling.headroom, dict) else {},
        "shape_bucket.shape_bucket_range_info": ranges,
    }
    named |= {f"auto_scaling.buckets.{index}": bucket for index, bucket in enumerate(scaling.buckets)}
    products = {name: None for text in scaling.reachable for name in re.split(r"[\s*×]+", text) if name}
    for where, names in {**named, "auto_scaling.reachable": products}.items():
        for name in names:
            if name not in signature.variables:
                near = difflib.get_close_matches(name, signature.variables, n=1)
                known = ", ".join(signature.variables) or "none"
                fix = f"Did you mean {near[0]!r}?" if near else f"The model's variables: {known}."
                yield ConfigError(f"{name!r} is no variable of the model", where=where, fix=fix)
