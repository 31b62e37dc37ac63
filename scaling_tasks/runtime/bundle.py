"""Opening a bundle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal

from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.isolated import load_isolated
from scaling_tasks.engines.registry import get_engine, load_of_kind
from scaling_tasks.engines.threads import limited_threads
from scaling_tasks.errors import BundleError, EngineError, one_line
from scaling_tasks.files import read_regular
from scaling_tasks.runtime.held import hold
from scaling_tasks.runtime.loading import Loader
from scaling_tasks.runtime.manifest import MANIFEST, Manifest
from scaling_tasks.runtime.model import BucketedModel

__all__ = ["load_bundle", "read_manifest"]

_LEAST_MEMORY = 1 << 16
"""Bytes; whoever gives fewer means another unit."""


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of the bundle in ``directory``.

    Raises:
        BundleError: There is none, or it is damaged.
    """
    where = f"{directory}/{MANIFEST}"  # Of a held directory the name, not the way that leads there.
    try:
        text = read_regular(directory / MANIFEST, MOST_BYTES, below=directory / "")
    except OSError as cause:
        raise BundleError(f"cannot be read ({cause.strerror})", where=where, fix="Build the bundle first.") from cause
    return Manifest.from_json(text, where=where)


def load_bundle(
    path: str | Path,
    *,
    resident: int = 0,
    resident_memory: int = 0,
    in_flight: int = 1,
    copies: int = 1,
    threads: int | None = None,
    batch_wait: float = 0.0,
    isolated: bool = False,
    refuse_nan: bool = True,
    warm_up: bool | Literal["background"] = False,
) -> BucketedModel:
    """Open a bundle; engines are loaded when they are first needed, of the generation that is published now.

    Args:
        path: The bundle's directory.
        resident: Most engines kept loaded, 0 for all. With a limit, the one that was used least is dropped for another.
            Where padding changes no answer and ``warm_up`` is given, none is: as many as may stay are loaded, those
            that save most by the traffic that was planned for, and serve all requests.
        resident_memory: The same in bytes, by what loading each engine makes memory grow; 0 for no limit.
        in_flight: How many batches run at the same time in ``run_many`` and ``submit``; each engine runs one at a time.
        copies: Most engines of one artefact; a second one is loaded when the first is in use. It takes memory, and pays
            where many requests at the same time have the same size.
        threads: How many threads each engine uses; its own choice by default. On a CPU, as many batches in flight as
            there are cores with one thread each serve the most requests, one batch with all threads answers soonest.
        batch_wait: For how many seconds a request of ``submit`` may wait for others. It does only where a batch is
            cheaper by the bundle's costs: these should say what an inference takes (``cost: measured``).
        isolated: Whether each engine has a process of its own, as MindSpore Lite's and nncase's always have: one that
            dies is replaced, and ``submit`` runs again what ran there. Each process takes an engine's memory.
        refuse_nan: Whether NaN in an input is an error.
        warm_up: Whether all engines are loaded now, or in the ``background``: then first answers come at once,
            until all is ready from larger buckets where these give the same.

    Raises:
        BundleError: The bundle is missing or damaged, its engine is not installed, or an argument is wrong.
    """
    for name, number, least in (
        ("resident", resident, 0),
        ("resident_memory", resident_memory, 0),
        ("in_flight", in_flight, 1),
        ("copies", copies, 1),
        ("threads", 1 if threads is None else threads, 1),
        ("batch_wait", batch_wait, 0),
    ):
        waits = name == "batch_wait"
        if not isinstance(number, Real if waits else Integral) or not number >= least:
            kind = "a number of seconds" if waits else "a whole number"
            what = f"{name} is {one_line(repr(number), 60)}"
            raise BundleError(what, where=str(path), fix=f"It is {least} at least, {kind}.")
    if 0 < resident_memory < _LEAST_MEMORY:
        what = f"resident_memory is {resident_memory} bytes, less than any engine takes"
        raise BundleError(what, where=str(path), fix="Give bytes, such as `2 << 30` for 2 GiB, or 0 for no limit.")
    if not isinstance(warm_up, bool) and warm_up != "background":
        what = f"warm_up is {one_line(repr(warm_up), 60)}"
        raise BundleError(what, where=str(path), fix="It is True, False or 'background'.")
    directory = hold(Path(path))
    manifest = read_manifest(directory)
    loader = _loader(manifest.engine, manifest.options, threads, isolated, directory)
    spare = manifest.fallback
    fallback = None if spare is None else _loader(spare.engine, spare.options, threads, isolated, directory)
    model = BucketedModel(
        directory,
        manifest,
        loader,
        fallback_loader=fallback,
        resident=resident,
        resident_memory=resident_memory,
        loaders=len(os.sched_getaffinity(0)),
        in_flight=in_flight,
        copies=copies,
        batch_wait=batch_wait,
        refuse_nan=refuse_nan,
        name=_named(path, manifest),
    )
    if warm_up == "background":
        model.warm_up_in_background()
    elif warm_up:
        model.warm_up()
    return model


def _named(path: str | Path, manifest: Manifest) -> str:
    """Return the directory's name, and the model's where that is another."""
    name = Path(os.path.abspath(path)).name  # noqa: PTH100 - A link's own name, not that of where it leads.
    return manifest.model if name in ("", manifest.model) else f"{name} ({manifest.model})"


def _loader(name: str, options: Mapping[str, Any], threads: int | None, isolated: bool, directory: Path) -> Loader:
    """Return what loads artefacts of an engine that is installed, each with so many threads."""
    try:
        kind = get_engine(name)
        kind.check(options)
    except EngineError as cause:
        raise BundleError(cause.what, where=str(directory), fix=cause.fix) from cause

    apart = isolated and not getattr(kind, "OWN_PROCESS", False)

    def load(path: Path, options: Mapping[str, Any]) -> Engine:
        with limited_threads(threads):
            return load_isolated(name, path, options) if apart else load_of_kind(kind, path, options)

    return load
