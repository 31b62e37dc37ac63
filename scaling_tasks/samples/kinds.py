"""Which kind of data set a path is."""

from __future__ import annotations

from pathlib import Path

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError

__all__ = ["dataset_kind"]

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}


def dataset_kind(dataset: DatasetSpec) -> str:
    """Return ``images``, ``annotation``, ``csv``, ``jsonl`` or ``parquet``: the format given, or what the path tells.

    A directory holds images; a file is told by its suffix, and is a det annotation where the suffix says nothing.

    Raises:
        DatasetError: There is nothing at the path, or not what the format says.
    """
    path = Path(dataset.path)
    if not path.exists():
        raise DatasetError("there is no such file or directory", where=str(path), fix="Correct dataset.path.")
    suffix = path.suffix.lower()
    guess = "images" if path.is_dir() else _SUFFIXES.get(suffix, "annotation")
    if guess == "annotation" and dataset.format == "auto" and suffix in _IMAGES:
        raise DatasetError("it is a single image", where=str(path), fix="Give the directory that holds the images.")
    kind = guess if dataset.format == "auto" else dataset.format
    if (kind == "images") != path.is_dir():
        found = "a directory" if path.is_dir() else "a file"
        raise DatasetError(f"format {kind} does not fit {found}", where=str(path), fix="Correct dataset.format.")
    return kind
