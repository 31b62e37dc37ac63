"""Which kind of data set a path is."""

from __future__ import annotations

from pathlib import Path
from stat import S_ISDIR, S_ISREG

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError

__all__ = ["dataset_kind"]

_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
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
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as cause:
        absent = isinstance(cause, (FileNotFoundError, NotADirectoryError))
        why = "there is no such file or directory" if absent else f"cannot be found ({_reason(cause)})"
        raise DatasetError(why, where=str(path), fix="Correct dataset.path.") from cause
    is_directory = S_ISDIR(mode)
    if not (is_directory or S_ISREG(mode)):
        raise DatasetError("it is neither a file nor a directory", where=str(path), fix="Correct dataset.path.")
    suffix = path.suffix.lower()
    guess = "images" if is_directory else _SUFFIXES.get(suffix, "annotation")
    if guess == "annotation" and dataset.format == "auto" and suffix in _IMAGES:
        raise DatasetError("it is a single image", where=str(path), fix="Give the directory that holds the images.")
    kind = guess if dataset.format == "auto" else dataset.format
    if (kind == "images") != is_directory:
        found = "a directory" if is_directory else "a file"
        raise DatasetError(f"format {kind} does not fit {found}", where=str(path), fix="Correct dataset.format.")
    return kind


def _reason(cause: OSError | ValueError) -> str:
    return str(cause.strerror) if isinstance(cause, OSError) else str(cause)
