"""Which kind of data set a path is."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples.places import is_url, local_path

__all__ = ["IMAGE_SUFFIXES", "dataset_kind"]

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".pq": "parquet",
    ".tar": "shards",
}
IMAGE_SUFFIXES = frozenset(
    (
        ".jpg",
        ".jpeg",
        ".png",
        ".bmp",
        ".gif",
        ".webp",
        ".tif",
        ".tiff",
        ".avif",
        ".heic",
        ".heif",
        ".jp2",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
    )
)
"""Of image files: what counts in a tar file, where labels stand beside images."""
_SHARD = ".tar"
# So many entries of a directory are looked at to tell shards from images.
_LOOKED_AT = 64


def dataset_kind(dataset: DatasetSpec) -> str:
    """Return the kind that the format gives, or what the path tells: see `DatasetSpec.format`.

    A directory holds images, or shards where ``.tar`` files and no images are met in it first; a file is told by its
    suffix, and is a det annotation where the suffix says nothing. Of a URL nothing is asked: without a suffix it is a
    directory of images.

    Raises:
        DatasetError: There is nothing at the path, or not what the format says.
    """
    if is_url(dataset.path):
        return _kind_elsewhere(dataset)
    path = local_path(dataset.path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as cause:
        if path.suffix.lower() == _SHARD and set("{*?[") & set(dataset.path) and dataset.format in ("auto", "shards"):
            return "shards"
        absent = isinstance(cause, (FileNotFoundError, NotADirectoryError))
        why = "there is no such file or directory" if absent else f"cannot be found ({_reason(cause)})"
        raise DatasetError(why, where=dataset.path, fix="Correct dataset.path.") from cause
    is_directory = S_ISDIR(mode)
    if not (is_directory or S_ISREG(mode)):
        raise DatasetError("it is neither a file nor a directory", where=dataset.path, fix="Correct dataset.path.")
    if dataset.format == "auto":
        return _kind_of_directory(path) if is_directory else _kind_of_file(path.suffix.lower(), dataset.path)
    kind = dataset.format
    if kind != "shards" and (kind == "images") != is_directory:
        found = "a directory" if is_directory else "a file"
        raise DatasetError(f"format {kind} does not fit {found}", where=dataset.path, fix="Correct dataset.format.")
    return kind


def _kind_elsewhere(dataset: DatasetSpec) -> str:
    if dataset.format != "auto":
        return dataset.format
    suffix = PurePosixPath(dataset.path.partition("?")[0]).suffix.lower()
    inside = PurePosixPath(dataset.path.partition("://")[2]).parts[1:]
    return _kind_of_file(suffix, dataset.path) if suffix and inside else "images"


def _kind_of_directory(path: Path) -> str:
    try:
        with os.scandir(path) as entries:
            suffixes = {PurePosixPath(entry.name).suffix.lower() for entry in islice(entries, _LOOKED_AT)}
    except OSError:
        return "images"  # Listing it tells what is wrong.
    return "shards" if _SHARD in suffixes and not suffixes & IMAGE_SUFFIXES else "images"


def _kind_of_file(suffix: str, path: str) -> str:
    if suffix in IMAGE_SUFFIXES:
        raise DatasetError("it is a single image", where=path, fix="Give the directory that holds the images.")
    return _SUFFIXES.get(suffix, "annotation")


def _reason(cause: OSError | ValueError) -> str:
    return str(cause.strerror) if isinstance(cause, OSError) else str(cause)
