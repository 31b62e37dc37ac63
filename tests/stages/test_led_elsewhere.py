"""Links in the place of what is the tool's own: nothing elsewhere is written, removed or loaded."""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from scaling_tasks.actions.publication import publish_generation
from scaling_tasks.errors import BundleError, CacheError
from scaling_tasks.files import digest_bytes
from scaling_tasks.runtime.bundle import read_manifest
from scaling_tasks.runtime.loading import load_verified
from scaling_tasks.runtime.manifest import ArtefactFile
from scaling_tasks.samples.journal import Journal
from scaling_tasks.samples.listing import Folder
from scaling_tasks.store.store import Store
from tests.conftest import state_of
from tests.runtime.test_manifest import manifest_of

CONTENT = b"content"
FILE = ArtefactFile("a.onnx", digest_bytes(CONTENT))


class Opened:
    """An engine that is none."""

    def close(self) -> None:
        pass


def loaded(path: Path, options: Mapping[str, Any]) -> Any:
    return Opened()


@pytest.mark.parametrize("target", ["a.onnx", "/etc/passwd", "../..", ".."])
def test_an_artefact_of_a_bundle_that_is_a_link_is_not_loaded(tmp_path: Path, outside: Path, target: str) -> None:
    """Not even to the same content: it might be another by the time the engine reads it."""
    (tmp_path / "a.onnx").symlink_to(outside / target)
    with pytest.raises(BundleError, match=r"a\.onnx: cannot be read \(it is a link.*cp -rL"):
        load_verified(tmp_path, [FILE], loaded, {})


def test_an_artefact_in_a_linked_directory_is_not_loaded(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "parts").symlink_to(outside)
    with pytest.raises(BundleError, match="it is a link"):
        load_verified(tmp_path, [ArtefactFile("parts/a.onnx", FILE.digest)], loaded, {})


def test_a_manifest_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (tmp_path / "manifest.json").write_text(manifest_of().to_json())
    (bundle / "manifest.json").symlink_to("../manifest.json")
    with pytest.raises(BundleError, match="it is a link"):
        read_manifest(bundle)
    (tmp_path / "linked").symlink_to(tmp_path)  # The bundle itself is where the user says that it is.
    assert read_manifest(tmp_path / "linked").model == manifest_of().model


def test_a_link_that_takes_an_artefacts_place_while_it_is_loaded_is_noticed(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(CONTENT)

    def swapped(path: Path, options: Mapping[str, Any]) -> Any:
        path.unlink()
        path.symlink_to(outside / "a.onnx")
        return Opened()

    with pytest.raises(BundleError, match="was changed while it was loaded"):
        load_verified(tmp_path, [FILE], swapped, {})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "a").write_bytes(CONTENT)
    store = Store(tmp_path / "store")
    store.put({"a": 1}, {"a": tmp_path / "a"}, {})
    return store


def test_a_linked_shard_of_a_store_is_a_miss_and_its_files_stay(store: Store, tmp_path: Path, outside: Path) -> None:
    blob = store.path(store.get({"a": 1}).files[0])
    shutil.copytree(blob.parent, outside / blob.parent.name)
    shutil.rmtree(blob.parent)
    blob.parent.symlink_to(outside / blob.parent.name)
    before = state_of(outside)
    assert store.get({"a": 1}) is None
    with pytest.raises(CacheError, match="it is a link"):
        store.put({"a": 1}, {"a": tmp_path / "a"}, {})
    assert store.size() == 0
    store.evict(0, grace=-1.0)
    assert state_of(outside) == before
    shutil.rmtree(outside / blob.parent.name)


def test_a_blob_that_is_a_link_is_a_miss_and_made_anew(store: Store, tmp_path: Path, outside: Path) -> None:
    blob = store.path(store.get({"a": 1}).files[0])
    blob.unlink()
    blob.symlink_to(outside / "a.onnx")
    assert store.get({"a": 1}) is None
    store.put({"a": 1}, {"a": tmp_path / "a"}, {})
    assert not blob.is_symlink()
    assert store.get({"a": 1}) is not None


@pytest.mark.parametrize("level", ["records", "shard", "record"])
def test_a_record_by_a_link_is_a_miss(store: Store, tmp_path: Path, outside: Path, level: str) -> None:
    (record,) = (store.root / "records").glob("??/*.json")
    place = {"records": store.root / "records", "shard": record.parent, "record": record}[level]
    moved = tmp_path / "moved"
    place.rename(moved)
    place.symlink_to(moved)
    before = state_of(tmp_path / "moved") if moved.is_dir() else moved.read_bytes()
    assert store.get({"a": 1}) is None
    assert list(store.records()) == []
    store.evict(0, grace=-1.0)
    assert (state_of(moved) if moved.is_dir() else moved.read_bytes()) == before


@pytest.mark.parametrize("key", ["../../outside", "/etc/passwd", "x/../../../y", "", "\0", "ab" * 31])
def test_a_key_that_is_a_path_finds_and_removes_nothing(store: Store, tmp_path: Path, key: str) -> None:
    """A lock file that was edited names such keys."""
    (tmp_path / "outside.json").write_text("{}")
    assert store.components(key) is None
    store.remove(key)
    assert (tmp_path / "outside.json").read_text() == "{}"


def test_the_journal_and_the_locks_of_a_store_are_no_way_to_write(store: Store, tmp_path: Path, outside: Path) -> None:
    (store.root / "journal.jsonl").unlink()
    (store.root / "journal.jsonl").symlink_to(outside / "x.json")
    assert store.get({"a": 1}) is not None
    assert store.activity().hits == 0


def test_a_directory_that_is_a_link_is_not_published_over(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    (tmp_path / "build").mkdir()
    (tmp_path / "build/net").symlink_to(outside)
    with pytest.raises(OSError, match="it is a link"):
        publish_generation(tmp_path / "build/net", {"a": tmp_path / "a"}, [], last="a")
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["net"]


def test_links_of_the_users_in_a_bundle_stay_links(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    bundle = tmp_path / "build/net"
    bundle.mkdir(parents=True)
    (bundle / "mine").symlink_to(outside)
    (bundle / "own").symlink_to(outside / "a.onnx")
    for content in (b"newer", b"newest"):
        (tmp_path / "a").write_bytes(content)
        publish_generation(bundle, {"a": tmp_path / "a"}, ["a"], last="a")
    assert (bundle / "mine").readlink() == outside
    assert (bundle / "own").readlink() == outside / "a.onnx"
    assert sorted(path.name for path in (tmp_path / "build").iterdir() if path.is_symlink()) == []


def test_the_journal_of_a_scan_is_no_way_to_write(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "cache.partial").symlink_to(outside / "x.json")
    journal = Journal(tmp_path / "cache")
    journal.add(Folder("pages", ["a.png"], array("q", [1]), array("q", [2])), 0, array("i", [3]), array("i", [4]))
    with pytest.raises(OSError, match="it is a link"):
        journal.flush()
