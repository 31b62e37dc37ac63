"""`scan_dataset`: from a path to the histogram of the shapes a model will see."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.config.load import parse_target
from scaling_tasks.config.specs import AutoScalingSpec
from scaling_tasks.files import digest_bytes
from scaling_tasks.samples.places import is_url, local_path
from scaling_tasks.samples.scan import scan
from scaling_tasks.shapes.signature import name_dimensions

if TYPE_CHECKING:
    from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["scan_dataset"]

_CACHE_DIRECTORY = Path(".scaling/scan")


def scan_dataset(
    path: str | os.PathLike[str],
    input_shape: Mapping[str, Sequence[int | str | None]],
    auto_scaling: Mapping[str, Any] | AutoScalingSpec | None = None,
    *,
    cache_path: str | os.PathLike[str] | None = None,
    **dataset_options: Any,
) -> ShapeHistogram:
    """Measure a data set and count the samples it gives for a model.

    Incremental: a second call reads only files that are new or changed.

    Args:
        path: Image folder, tar shards, det annotation, or table of sizes or lengths; a URL that fsspec knows too.
        input_shape: Dimensions per input, -1 where dynamic: ``{"x": [1, 3, 48, -1]}``.
        auto_scaling: The configuration's ``auto_scaling`` section; ``limit_side_len`` and ``interval`` matter here.
        cache_path: The scan cache; a file in ``.scaling/scan`` of the working directory by default.
        **dataset_options: Other keys of the ``dataset`` section: ``format``, ``strict``, ``preprocessing``.

    Returns:
        The histogram over the variables of ``input_shape``.

    Raises:
        ConfigError: An unknown or unusable option.
        DatasetError: The data cannot be read or does not fit the model.
        CacheError: The cache cannot be written.
    """
    from scaling_tasks.samples.compute_statistics import compute_statistics

    scaling = msgspec.to_builtins(auto_scaling) if isinstance(auto_scaling, AutoScalingSpec) else auto_scaling
    target = parse_target(
        {
            "input_shape": {name: list(dims) for name, dims in input_shape.items()},
            "dataset": {"path": os.fspath(path), **dataset_options},
            "auto_scaling": dict(scaling or {}),
        },
        where="scan_dataset",
    )
    dataset = target.dataset
    assert dataset is not None
    found = scan(dataset, Path(cache_path) if cache_path else _default_cache(dataset.path))
    signature = name_dimensions(target.input_shape or {})
    return compute_statistics(found, signature, target.auto_scaling, dataset).histogram


def _default_cache(path: str) -> Path:
    whole = PurePosixPath(path) if is_url(path) else local_path(path).absolute()
    return _CACHE_DIRECTORY / f"{whole.name[:32]}-{digest_bytes(os.fsencode(whole))[:12]}.cache"
