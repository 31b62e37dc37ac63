"""Files of a terabyte, of which nothing is on the disk, in the place of one: digesting one would take hours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import BundleError, DatasetError, ModelError
from scaling_tasks.files import digest_bytes
from scaling_tasks.known_digests import KnownDigests
from scaling_tasks.runtime.loading import load_verified
from scaling_tasks.runtime.manifest import ArtefactFile
from scaling_tasks.samples.scan import scan
from scaling_tasks.stages.inputs import model_files
from scaling_tasks.store.activity import Journal
from scaling_tasks.store.blobs import place_copy
from scaling_tasks.store.store import Store

CONTENT = b"content"
DIGEST = digest_bytes(CONTENT)


def endless(path: Path) -> Path:
    path.touch()
    os.truncate(path, 1 << 40)
    return path


def test_what_has_another_size_is_not_what_was_made(tmp_path: Path) -> None:
    assert not KnownDigests(tmp_path / "digests").holds(endless(tmp_path / "a"), DIGEST, len(CONTENT))


def test_a_blob_that_is_endless_is_a_miss_and_made_anew(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    store = Store(tmp_path / "store")
    record = store.put({"a": 1}, {"a": tmp_path / "a"}, {})
    endless(store.path(record.files[0]))
    assert store.get({"a": 1}) is None
    store.put({"a": 1}, {"a": tmp_path / "a"}, {})
    assert store.get({"a": 1}) is not None


def test_an_endless_output_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    place_copy(tmp_path / "a", endless(tmp_path / "output"), DIGEST, len(CONTENT), below=tmp_path)
    assert (tmp_path / "output").read_bytes() == CONTENT


def test_an_endless_artefact_of_a_bundle_is_refused(tmp_path: Path) -> None:
    file = ArtefactFile.of(endless(tmp_path / "a.onnx").name, DIGEST, len(CONTENT))
    with pytest.raises(BundleError, match="larger than 7 bytes"):
        load_verified(tmp_path, [file], lambda path, options: pytest.fail("loaded"), {})


def test_an_endless_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="larger than"):
        model_files(endless(tmp_path / "net.onnx"))


def test_a_table_that_became_endless_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sizes.csv"
    path.write_text("H,W\n1,2\n")
    dataset, cache = DatasetSpec(path=str(path)), tmp_path / "scan.cache"
    scan(dataset, cache)
    endless(path)
    with pytest.raises(DatasetError, match="line is longer"):
        scan(dataset, cache)


def test_an_endless_journal_of_a_store_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(hits=1)
    endless(tmp_path / "journal.jsonl")
    assert journal.activity().hits == 1
