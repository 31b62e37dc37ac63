"""Real inputs of a model out of files: arrays, images, or the boxes that an annotation marks on images."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scaling_tasks.compilers.image_inputs import IMAGE_SUFFIXES, image_input
from scaling_tasks.det_annotation import parse_line, parse_points
from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.errors import CompileError, one_line
from scaling_tasks.files import files_below, read_regular

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Sample = dict[str, NDArray[np.generic]]

__all__ = ["files_of_inputs", "fits", "padded", "read_inputs"]

_MOST = 64
_ARRAYS = (".npz",)
_IMAGE_PLACES = (".", "images")

Item = TypeVar("Item")
Points = tuple[tuple[float, float], ...]


def files_of_inputs(path: Path, *, where: str) -> tuple[Path, ...]:
    """Return the files that ``read_inputs`` reads.

    Raises:
        CompileError: There are none.
    """
    sources = _sources(path, where)
    files = dict.fromkeys(file for file, _ in sources)
    return tuple(files) if path.is_dir() else (path, *files)


def read_inputs(
    path: Path, shapes: Mapping[str, tuple[int, ...]], options: Mapping[str, Any], *, where: str
) -> list[Sample]:
    """Return real inputs for one bucket, each with one array per input of any size; at most 64, evenly chosen.

    Args:
        path: A directory of ``.npz`` files, each with one array per input, and of images (see ``image_inputs``); or a
            det annotation, one of whose boxes per line is cut out of its image, which lies beside it or in ``images``.
        shapes: The bucket's.
        options: The backend's own options, which say how pixels become numbers.
        where: The option that names the path.

    Raises:
        CompileError: There is none, or one cannot be read or lacks an input.
    """
    return [_read(file, points, shapes, options) for file, points in _sources(path, where)]


def fits(arrays: Sample, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether the shapes contain a sample."""
    return all(
        have <= room for name, shape in shapes.items() for have, room in zip(arrays[name].shape, shape, strict=True)
    )


def padded(arrays: Sample, shapes: Mapping[str, tuple[int, ...]]) -> Sample:
    """Return a sample with zeros at the end up to the shapes, which contain it."""
    from scaling_tasks.shapes.rounding import padded_to

    return {name: padded_to(arrays[name], shape) for name, shape in shapes.items()}


def _sources(path: Path, where: str) -> tuple[tuple[Path, Points], ...]:
    """Return the chosen files, and for each what is to be cut out of it."""
    try:
        found = _listed(path) if path.is_dir() else _boxes(path, path.stat().st_mtime_ns)
    except OSError as cause:
        raise CompileError(f"{str(path)!r} cannot be read ({cause.strerror})", where=where) from cause
    except ValueError as cause:
        what = f"{str(path)!r} is no directory and no det annotation ({one_line(cause)})"
        raise CompileError(what, where=where) from cause
    if not found:
        raise CompileError(f"{str(path)!r} holds no .npz or image files", where=where)
    return found


def _listed(path: Path) -> tuple[tuple[Path, Points], ...]:
    files = [file for file in files_below(path) if file.suffix.lower() in (*_ARRAYS, *IMAGE_SUFFIXES)]
    return tuple((file, ()) for file in _evenly(files))


@functools.lru_cache(maxsize=8)
def _boxes(path: Path, written: int) -> tuple[tuple[Path, Points], ...]:
    """Return one box of each chosen line."""
    found = []
    lines = [line for line in read_regular(path, MOST_BYTES).splitlines() if line.strip()]
    for number, line in enumerate(_evenly(lines)):
        name, boxes = parse_line(line)
        places = [path.parent / place / name for place in _IMAGE_PLACES]
        if boxes:
            corners = tuple(parse_points(boxes[number % len(boxes)])[:4])
            found.append((next((place for place in places if place.is_file()), places[0]), corners))
    return tuple(found)


def _evenly(items: Sequence[Item]) -> list[Item]:
    if len(items) <= _MOST:
        return list(items)
    return [items[index * len(items) // _MOST] for index in range(_MOST)]


def _read(file: Path, points: Points, shapes: Mapping[str, tuple[int, ...]], options: Mapping[str, Any]) -> Sample:
    import numpy as np

    if file.suffix.lower() not in _ARRAYS:
        return image_input(file, shapes, options, points)
    try:
        with np.load(file) as arrays:
            found = dict(arrays)
    # What numpy raises for files that are cut short, no archives, or hold Python objects.
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as cause:
        fix = "Save it with numpy.savez."
        raise CompileError(f"is no .npz file of plain arrays ({one_line(cause)})", where=str(file), fix=fix) from cause
    for name, shape in shapes.items():
        if name not in found or found[name].ndim != len(shape):
            raise CompileError(f"has no array {name!r} of {len(shape)} dimensions", where=str(file))
    return {name: found[name] for name in shapes}
