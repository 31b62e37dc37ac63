"""Image files and data sets for the tests of this room."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def make_image() -> Callable[..., Path]:
    """Write an image of a given size; its modification time lies in the past, as a data set's does."""
    image_module = pytest.importorskip("PIL.Image")

    def make(
        path: Path, height: int, width: int, *, orientation: int | None = None, age: int = 1000, **save: object
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        image = image_module.new("RGB", (width, height), (10, 20, 30))
        if orientation is not None:
            exif = image.getexif()
            exif[0x0112] = orientation
            save["exif"] = exif
        image.save(path, **save)
        _age(path, age)
        return path

    return make


@pytest.fixture
def make_old() -> Callable[..., None]:
    """Set a file's modification time some seconds back, and let the moment of that pass."""
    return _age


def _age(path: Path, age: int = 1000) -> None:
    then = path.stat().st_mtime_ns - age * 1_000_000_007
    os.utime(path, ns=(then, then))
    if age:
        time.sleep(0.021)  # Past the tick of the file system's clock, within which a file may change again.
