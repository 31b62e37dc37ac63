"""Stores for the tests, each started once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from scaling_tasks.store.notices import when_told
from tests.store.services import (
    MissingPartError,
    Nginx,
    ObjectStorage,
    running,
    start_google_storage,
    start_nginx,
    start_object_storage,
)

_Server = TypeVar("_Server", Nginx, ObjectStorage)

# gcsfs settles when it is imported whether it asks over gRPC what kind a bucket is, to which the emulator is deaf.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of loopback goes through no proxy that the machine may have."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@contextlib.contextmanager
def _served(start: Callable[[Path], _Server], home: Path) -> Iterator[_Server]:
    """Have a server run; skip where a part of it cannot be had."""
    try:
        found = start(home)
    except MissingPartError as missing:
        pytest.skip(str(missing))
    with running(found.process):
        yield found


@pytest.fixture(scope="session")
def nginx_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with _served(start_nginx, tmp_path_factory.mktemp("nginx")) as found:
        yield found


@pytest.fixture
def nginx(nginx_once: Nginx) -> Nginx:
    """nginx with nothing stored yet and nothing asked."""
    for path in (*nginx_once.files.glob("*/*"), nginx_once.home / "access.log"):
        if path == nginx_once.home / "access.log":
            path.write_text("")
        else:
            path.unlink()
    return nginx_once


@pytest.fixture(scope="session")
def object_storage_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    pytest.importorskip("s3fs", reason="the package s3fs is not installed")
    with _served(start_object_storage, tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def object_storage(object_storage_once: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    import s3fs

    for name, value in object_storage_once.environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # Other tests have another server.
    return object_storage_once


@pytest.fixture(scope="session")
def google_storage_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStorage]:
    pytest.importorskip("gcsfs", reason="the package gcsfs is not installed")
    with _served(start_google_storage, tmp_path_factory.mktemp("gs")) as found:
        yield found


@pytest.fixture
def google_storage(google_storage_once: ObjectStorage, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    import fsspec
    import gcsfs

    for name, value in google_storage_once.environment.items():
        monkeypatch.setenv(name, value)
    fsspec.config.set_conf_env(fsspec.config.conf)  # Else read once, when it is imported.
    gcsfs.GCSFileSystem.clear_instance_cache()
    return google_storage_once


@pytest.fixture
def own_nginx(tmp_path: Path) -> Iterator[Nginx]:
    """An nginx to be ill-treated."""
    with _served(start_nginx, tmp_path / "nginx") as found:
        yield found


@pytest.fixture(params=["nginx", "s3", "gs", "file"])
def remote_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty remote store of each kind."""
    if request.param == "nginx":
        return request.getfixturevalue("nginx").url
    if request.param == "gs":
        return f"{request.getfixturevalue('google_storage').url}/{tmp_path.name}"
    if request.param == "s3":
        return f"{request.getfixturevalue('object_storage').url}/{tmp_path.name}"
    return f"file://{tmp_path}/remote"


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What stores had to tell."""
    lines: list[str] = []
    when_told(lines.append)
    yield lines
    when_told(None)
