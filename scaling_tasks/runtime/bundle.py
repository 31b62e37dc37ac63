"""Opening a bundle."""

from __future__ import annotations

from pathlib import Path

from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import BundleError, CompileError
from scaling_tasks.runtime.manifest import MANIFEST, Manifest
from scaling_tasks.runtime.model import BucketedModel

__all__ = ["load_bundle", "read_manifest"]


def read_manifest(directory: Path) -> Manifest:
    """Return the manifest of the bundle in ``directory``.

    Raises:
        BundleError: There is none, or it is damaged.
    """
    path = directory / MANIFEST
    try:
        text = path.read_bytes()
    except OSError as cause:
        raise BundleError(
            f"cannot be read ({cause.strerror})", where=str(path), fix="Build the bundle first."
        ) from cause
    return Manifest.from_json(text, where=str(path))


def load_bundle(
    path: str | Path, *, resident: int = 0, in_flight: int = 1, refuse_nan: bool = True, warm_up: bool = False
) -> BucketedModel:
    """Open a bundle; engines are loaded when they are first needed.

    Args:
        path: The bundle's directory.
        resident: Most engines kept loaded, 0 for all.
        in_flight: How many batches run at the same time in ``run_many`` and ``submit``.
        refuse_nan: Whether NaN in an input is an error.
        warm_up: Whether all engines are loaded now.

    Raises:
        BundleError: The bundle is missing or damaged, or its engine is not installed.
    """
    directory = Path(path)
    manifest = read_manifest(directory)
    try:
        loader = get_backend(manifest.backend).load
        fallback = None if manifest.fallback is None else get_backend(manifest.fallback.backend).load
    except CompileError as cause:
        raise BundleError(cause.what, where=str(directory), fix=cause.fix) from cause
    model = BucketedModel(
        directory,
        manifest,
        loader,
        fallback_loader=fallback,
        resident=resident,
        in_flight=in_flight,
        refuse_nan=refuse_nan,
    )
    if warm_up:
        model.warm_up()
    return model
