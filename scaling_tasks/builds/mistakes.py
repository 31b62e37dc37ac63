"""What is wrong with a target's configuration, found before anything is scanned, planned or compiled."""

from __future__ import annotations

import contextlib
import difflib
import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from scaling_tasks.builds.metric_mistakes import check_metric
from scaling_tasks.config.checks import overlap
from scaling_tasks.config.load import section, source_of
from scaling_tasks.config.yaml_values import KeyPath
from scaling_tasks.errors import ConfigError, ModelError, ScalingTasksError, all_of, in_order, of_disk, one_line
from scaling_tasks.known_digests import STATE
from scaling_tasks.planning.request.caps import terms_of
from scaling_tasks.samples.places import is_url, local_path
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.stages.analysis import analysed_now, check_split
from scaling_tasks.stages.inputs import tree
from scaling_tasks.stages.padding import sample_files
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.target_signature import target_signature

__all__ = ["check_output", "find_mistakes", "notes", "refuse_mistakes"]

_KEYS = re.compile(r"[a-z_]+(\.[\w-]+)*")
_SIGNATURE = (("model",), ("input_shape",), ("inputs",))
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
    if found:
        raise all_of(found)
    _found_sound.add(known)


def find_mistakes(
    target: Target, *, thorough: bool = False, unread: Collection[KeyPath] = ()
) -> list[ScalingTasksError]:
    """Return everything that is wrong with a target, as far as it can be told without work.

    Args:
        target: Whose configuration is looked at, with the model and the files that it names.
        thorough: Whether a missing compiler counts, and what takes following the model's graph; a build finds that out
            before it compiles.
        unread: Keys that the configuration gives and the target is without, as their values are wrong: what may come of
            that is no mistake.
    """
    alone = (check_output, _check_data, _check_samples, _check_metric, _check_labelled, _check_inputs)
    checks = [partial(check, target) for check in alone]
    if thorough and target.compiles:
        checks.append(partial(_check_toolchain, target))
    found = list(_tried(checks))
    try:
        signature = None if _is_unread(unread, *_SIGNATURE) else target_signature(target).inputs
    except ScalingTasksError as error:
        found.append(error)
        signature = None
    if signature is not None:
        found += _tried([partial(check, target, signature) for check in (_check_compiler, _check_padding)])
        found += _bucket_mistakes(target, signature)
        found += _tried([partial(_check_sizes, target, signature)])
        found += _unknown_variables(target, signature)
        if thorough and target.compiles and target.spec.model is not None:
            found += _tried([partial(_check_split, target)])
    found = [error for error in found if not _is_unread(unread, _keyed(target, error)[0])]
    return in_order({str(error): error for error in _placed(target, found)}.values())


def notes(target: Target) -> list[str]:
    """Return what is no mistake of a target, but may be an oversight; nothing where its model cannot be read."""
    spec = target.spec
    ranged = spec.shape_bucket is not None and spec.shape_bucket.shape_bucket_enable
    if spec.dataset is not None or ranged or spec.auto_scaling.strategy == "explicit":
        return []
    with contextlib.suppress(ScalingTasksError):
        if target_signature(target).inputs.variables:
            return ["no data set: MindOCR's default lists"]
    return []


def _tried(checks: Sequence[Callable[[], None]]) -> Iterator[ScalingTasksError]:
    for check in checks:
        try:
            check()
        except ScalingTasksError as error:
            yield from error.errors
        except OSError as cause:  # A path that no system takes.
            yield of_disk(cause, ConfigError, where="paths")


def _is_unread(unread: Collection[KeyPath], *keys: KeyPath) -> bool:
    return any(key and overlap(key, path) for key in keys for path in unread)


def _placed(target: Target, errors: Sequence[ScalingTasksError]) -> Sequence[ScalingTasksError]:
    """Return the errors, those that are about a key with the file and the line where that is written."""
    keyed = [_keyed(target, error) for error in errors]
    if target.config is None or not any(path for path, _ in keyed):
        return errors
    try:
        source = source_of(Path(target.config), target.name)
    except ConfigError:
        return errors
    return [
        type(error)(what, where=source.where(path), fix=error.fix) if path else error
        for error, (path, what) in zip(errors, keyed, strict=True)
    ]


def _keyed(target: Target, error: ScalingTasksError) -> tuple[KeyPath, str]:
    """Return the path of the key that an error is about, empty where that is not told, and what is wrong."""
    where = error.where
    if target.spec.model is not None and where == str(target.model):
        return ("model",), f"{where}: {error.what}"
    for file in (target.config, target.spec.model and str(target.model)):
        where = where.removeprefix(f"{file}: ")
    section, _, name = where.partition(".")
    if name and section in ("input_shape", "inputs"):  # of names that may hold dots
        return (section, name), error.what
    steps = where.split(".") if _KEYS.fullmatch(where) else ()
    return tuple(int(step) if step.isdecimal() else step for step in steps), error.what


def _there(path: str | None, where: str) -> None:
    if path is not None and not Path(path).exists():
        raise ConfigError(
            f"{one_line(repr(path))} is not there",
            where=where,
            fix="Correct the path; it is from the repository's root.",
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
    if target.spec.verify.metric is not None:
        check_metric(target.spec.verify.metric)


def check_output(target: Target) -> None:
    """Refuse to publish over what is not a bundle's place: the repository, its state, its configurations, its data."""
    if not (target.spec.output or target.directory.is_symlink()):
        return
    place, here = target.directory.resolve(), Path.cwd()
    data = [Path(target.dataset.path)] if target.spec.dataset and Path(target.dataset.path).is_dir() else []
    taken = {
        "the repository itself": here.is_relative_to(place),
        "where this tool keeps its state": place.is_relative_to((here / STATE).resolve()),
        "where the configurations are": target.config is not None
        and place.is_relative_to(Path(target.config).parent.resolve()),
        "in the data set": any(place.is_relative_to(each.resolve()) for each in data),
        "no directory": place.exists() and not place.is_dir(),
        **(_sources(target) if target.config is not None else {}),
    }
    for what in (what for what, holds in taken.items() if holds):
        fix = "Name a directory that is the bundle's alone, or leave it out for build/<name>."
        raise ConfigError(f"{one_line(repr(str(target.directory)))} is {what}", where="output", fix=fix)
    if not place.is_relative_to(here):
        _check_writable(place)


def _sources(target: Target) -> dict[str, bool]:
    """Return of which of a target's sources its bundle would lie beside; flags of MindOCR's converter may say so."""
    place, verify, dataset = target.directory.resolve(), target.spec.verify, target.spec.dataset
    named = {
        "where the model is": target.spec.model,
        "where the configurations are": target.config,
        "where the data set is": local_path(dataset.path) if dataset and not is_url(dataset.path) else None,
        "where the labelled data is": verify.dataset,
        "where the samples are": verify.samples,
    }
    return {what: path is not None and Path(path).resolve().is_relative_to(place) for what, path in named.items()}


def _check_writable(place: Path) -> None:
    """Refuse a place outside the repository where no directory can be made, which permissions alone do not tell."""
    try:
        above = next(each for each in (place, *place.parents) if each.exists())
        with tempfile.TemporaryDirectory(dir=above, prefix=".scaling-"):
            pass
    except OSError as cause:
        what = f"no directory can be made at {one_line(repr(str(place)))} ({cause.strerror})"
        raise ConfigError(what, where="output", fix="Name a directory that can be written.") from cause


def _check_inputs(target: Target) -> None:
    """Refuse fixed inputs that the model has not, or that cannot hold their values."""
    if not target.spec.inputs or target.spec.model is None or target.model.suffix == ".tflite":
        return
    from scaling_tasks.analysis.preparation import fix_inputs, inputs_only
    from scaling_tasks.onnx_model.model_file import read_model

    model = read_model(target.model)
    for name, value in target.spec.inputs.items():
        try:
            fix_inputs(inputs_only(model), {name: value}, where="")
        except ModelError as error:
            raise ConfigError(error.what, where=f"inputs.{name}", fix=error.fix) from error


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


def _bucket_mistakes(target: Target, signature: Signature) -> Iterator[ScalingTasksError]:
    """Yield a mistake for each bucket, or variable without a range, that does not say the sizes of the variables."""
    scaling, ranged = target.spec.auto_scaling, target.spec.shape_bucket
    if ranged is not None and ranged.shape_bucket_enable:
        for name in signature.variables:
            if name not in ranged.shape_bucket_range_info:
                what = f"{one_line(repr(name), 60)} has neither a range nor a fixed value"
                where = "shape_bucket.shape_bucket_range_info"
                yield ConfigError(what, where=where, fix=f"Add {one_line(name, 60)}: [min, max].")
    elif scaling.strategy == "explicit":
        if not scaling.buckets:
            fix = "List them, or choose another strategy."
            yield ConfigError("no bucket is listed", where="auto_scaling.buckets", fix=fix)
        for place, bucket in enumerate(scaling.buckets):
            strange = [name for name in bucket if name not in signature.variables]
            missing = [name for name in signature.variables if name not in bucket]
            parts = [f"{one_line(repr(name), 60)} is no variable of the model" for name in strange]
            parts += [f"it gives no size to {one_line(', '.join(map(repr, missing)))}"] if missing else []
            if parts:
                where = f"auto_scaling.buckets.{place}"
                yield ConfigError("; ".join(parts), where=where, fix=_meant(strange, signature))


def _check_sizes(target: Target, signature: Signature) -> None:
    """Refuse a target without data whose model has variables that MindOCR's default lists say nothing of."""
    from scaling_tasks.planning.strategies.defaults import default_sizes

    spec = target.spec
    ranged = spec.shape_bucket is not None and spec.shape_bucket.shape_bucket_enable
    if spec.dataset is None and not ranged and spec.auto_scaling.strategy != "explicit":
        default_sizes(spec.auto_scaling.default_scaling, signature.variables)


def _check_split(target: Target) -> None:
    """Refuse to cut requests into pieces whose answers make no whole, which the model's analysis tells."""
    if target.spec.runtime.oversize == "split":
        check_split(target, analysed_now(target)[0].behaviour)


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
    reached = {name: None for text in scaling.reachable for _, names in terms_of(text) for name in names}
    for where, names in {**named, "auto_scaling.reachable": reached}.items():
        for name in names:
            if name not in signature.variables:
                what = f"{one_line(repr(name), 60)} is no variable of the model"
                yield ConfigError(what, where=where, fix=_meant([name], signature))


def _meant(strange: Sequence[str], signature: Signature) -> str:
    """Return what to do about names that are no variables: the one that is meant, or all that there are."""
    near = difflib.get_close_matches(strange[0], signature.variables, n=1) if len(strange) == 1 else []
    known = one_line(", ".join(signature.variables) or "none")
    return f"Did you mean {near[0]!r}?" if near else f"The model's variables: {known}."
