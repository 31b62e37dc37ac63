"""The store: records by key, blobs by content, nothing trusted unverified."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_tasks.action import action_text
from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import CacheError
from scaling_tasks.files import digest_bytes
from scaling_tasks.store.records import Record
from scaling_tasks.store.store import Store
from tests.documents import resealed

COMPONENTS = {"model": "abc", "bucket": [1, 320], "identity": {"tool": "1.0"}}


def write(directory: Path, **contents: bytes) -> dict[str, Path]:
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return {name: directory / name for name in contents}


def blob(store: Store, content: bytes) -> Path:
    digest = digest_bytes(content)
    return store.root / "blobs" / digest[:2] / digest


def restore(store: Store, record: Record, directory: Path) -> list[Path]:
    for file in record.files:
        store.place(file, directory / file.name, below=directory)
    return [directory / file.name for file in record.files]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25, deadline=None)
@given(
    components=st.dictionaries(st.text(), json_values, max_size=4),
    contents=st.lists(st.binary(max_size=200), max_size=4),
)
def test_what_was_put_is_got_and_restored(components, contents):
    with tempfile.TemporaryDirectory() as root:
        store = Store(Path(root) / "store")
        files = write(Path(root) / "in", **{f"f{index}": content for index, content in enumerate(contents)})
        assert store.get(components) is None
        put = store.put(components, dict(reversed(files.items())), {"seconds": 1.5})
        got = store.get(json.loads(canonical_json(components)))
        assert got == put
        assert put.key == digest_bytes(action_text(components).encode())
        restored = restore(store, put, Path(root) / "out")
        assert [path.name for path in restored] == list(reversed(files))
        assert [path.read_bytes() for path in restored] == list(reversed(contents))


def test_the_record_is_readable_by_people(store: Store, tmp_path: Path):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {"seconds": 2})
    text = (store.root / "records" / record.key[:2] / f"{record.key}.json").read_text()
    assert '"bucket":[1,320]' in text
    assert json.loads(text)["components"] == COMPONENTS


def test_equal_content_is_stored_once(store: Store, tmp_path: Path):
    weights = os.urandom(100_000)
    for bucket in range(4):
        store.put({"bucket": bucket}, write(tmp_path / f"in{bucket}", xml=b"%d" % bucket, bin=weights), {})
    assert store.size() == 100_000 + 4


def test_published_files_have_normal_permissions_and_are_whole(store: Store, tmp_path: Path):
    files = write(tmp_path / "in", a=b"mindir")
    files["a"].chmod(0o400)
    record = store.put(COMPONENTS, files, {})
    (target,) = restore(store, record, tmp_path / "out")
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    target.unlink()
    target.write_bytes(b"half")
    restore(store, record, tmp_path / "out")
    assert target.read_bytes() == b"mindir"
    assert list((tmp_path / "out").iterdir()) == [target]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"evil!"), lambda path: path.unlink()])
def test_damaged_content_is_a_miss_and_is_forgotten(store: Store, tmp_path: Path, damage):
    files = write(tmp_path / "in", a=b"right")
    record = store.put(COMPONENTS, files, {})
    damage(blob(store, b"right"))
    assert store.get(COMPONENTS) is None
    assert not (store.root / "records" / record.key[:2] / f"{record.key}.json").exists()
    assert store.activity().corrupt == 1
    store.put(COMPONENTS, write(tmp_path / "again", a=b"right"), {})
    assert store.get(COMPONENTS) is not None


def test_an_output_edited_in_place_is_mended_from_the_store(store: Store, tmp_path: Path):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"right"), {})
    (output,) = restore(store, record, tmp_path / "out")
    with output.open("r+b") as file:
        file.write(b"WRONG")
    assert store.get(COMPONENTS) == record
    restore(store, record, tmp_path / "out")
    assert output.read_bytes() == b"right"


def test_storing_again_replaces_a_damaged_blob(store: Store, tmp_path: Path):
    files = write(tmp_path / "in", a=b"right")
    store.put(COMPONENTS, files, {})
    path = blob(store, b"right")
    path.unlink()
    path.write_bytes(b"wrong")
    store.put({"other": 1}, files, {})
    assert path.read_bytes() == b"right"


@pytest.mark.parametrize("text", [b"", b"{", b'{"format":"scaling-tasks/store-record/1"}', b'{"format":"x"}'])
def test_a_broken_record_is_a_miss(store: Store, tmp_path: Path, text: bytes):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})
    (store.root / "records" / record.key[:2] / f"{record.key}.json").write_bytes(text)
    assert store.get(COMPONENTS) is None


def test_a_record_under_another_key_is_not_believed(store: Store, tmp_path: Path):
    files = write(tmp_path / "in", a=b"1")
    mine = store.put(COMPONENTS, files, {})
    other = store.put({"other": 1}, files, {})
    other_path = store.root / "records" / other.key[:2] / f"{other.key}.json"
    other_path.write_bytes((store.root / "records" / mine.key[:2] / f"{mine.key}.json").read_bytes())
    assert store.get({"other": 1}) is None


@pytest.mark.parametrize("name", ["../escaped", "a/../../escaped", "/tmp/escaped", ".", "", "a//b", "a\0b"])
def test_a_record_cannot_name_what_lies_elsewhere(store: Store, tmp_path: Path, name: str):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})
    path = store.root / "records" / record.key[:2] / f"{record.key}.json"
    path.write_text(resealed(path.read_text().replace('["a",', f"[{json.dumps(name)},")))
    assert store.get(COMPONENTS) is None


def test_a_record_cannot_name_a_blob_that_lies_elsewhere(store: Store, tmp_path: Path):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})
    path = store.root / "records" / record.key[:2] / f"{record.key}.json"
    path.write_text(path.read_text().replace(record.files[0].digest, "../../../etc/passwd"))
    assert store.get(COMPONENTS) is None


def test_a_stored_file_is_no_link_to_the_work_file(store: Store, tmp_path: Path):
    files = write(tmp_path / "in", a=b"right")
    store.put(COMPONENTS, files, {})
    with files["a"].open("r+b") as file:
        file.write(b"WRONG")
    assert blob(store, b"right").read_bytes() == b"right"


def test_a_read_only_store_with_damage_is_a_miss(tmp_path: Path):
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(place)], capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        store = Store(place / "store")
        record = store.put(COMPONENTS, write(tmp_path / "in", a=b"right"), {})
        store.put({"other": 1}, write(tmp_path / "in", a=b"other"), {})
        (store.root / "records" / record.key[:2] / f"{record.key}.json").write_text("{")
        blob(store, b"other").write_bytes(b"wrong")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        assert store.get(COMPONENTS) is None
        assert store.get({"other": 1}) is None
        assert store.peek({"unknown": 1}) is None
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_the_least_recently_used_go_first(store: Store, tmp_path: Path):
    for number in range(4):
        store.put({"n": number}, write(tmp_path / f"in{number}", a=bytes([number]) * 1000), {})
        path = next((store.root / "records").glob(f"??/{Store(store.root).get({'n': number}).key}.json"))
        os.utime(path, (number, number))
    assert store.get({"n": 0}) is not None  # used now, so that 1 is the oldest
    freed = store.evict(2000, grace=0)
    assert freed == 2000
    assert [store.get({"n": number}) is not None for number in range(4)] == [True, False, False, True]
    assert store.size() == 2000
    assert store.activity().evicted == 2


def test_shared_content_stays_while_any_record_needs_it(store: Store, tmp_path: Path):
    for number in range(3):
        record = store.put({"n": number}, write(tmp_path / f"in{number}", w=b"w" * 1000, x=b"%d" % number), {})
        os.utime(store.root / "records" / record.key[:2] / f"{record.key}.json", (number, number))
    store.evict(1001, grace=0)
    assert [store.get({"n": number}) is not None for number in range(3)] == [False, False, True]
    assert store.size() == 1001


def test_a_sweep_leaves_alone_what_another_process_may_be_about_to_record(store: Store, tmp_path: Path):
    write(blob(store, b"new").parent, **{digest_bytes(b"new"): b"new"})
    assert store.evict(0) == 0
    assert store.evict(0, grace=0) == 3


def test_what_was_just_got_can_be_restored_although_another_process_evicts(store: Store, tmp_path: Path):
    store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})
    before = blob(store, b"1").stat().st_ctime_ns
    record = store.get(COMPONENTS)
    assert record is not None
    assert blob(store, b"1").stat().st_ctime_ns > before  # by which the sweep tells that it is in use
    store.evict(0)
    assert store.get(COMPONENTS) is None
    assert restore(store, record, tmp_path / "out")[0].read_bytes() == b"1"


def test_activity_counts_what_happened_since_a_mark(store: Store, tmp_path: Path):
    store.get(COMPONENTS)
    mark = store.mark()
    store.put(COMPONENTS, write(tmp_path / "in", a=b"12345"), {"seconds": 2.5})
    store.get(COMPONENTS)
    store.get(COMPONENTS)
    store.get({"unknown": 1})
    activity = store.activity(mark)
    assert (activity.hits, activity.misses, activity.stored) == (2, 1, 1)
    assert (activity.bytes_restored, activity.bytes_stored, activity.seconds_saved) == (10, 5, 5.0)
    assert store.activity().misses == 2
    assert json.loads(json.dumps(activity.to_payload()))["hits"] == 2


def test_a_file_in_the_place_of_the_store_is_one_clear_error(tmp_path: Path):
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(CacheError, match=r"store.*cannot be written"):
        Store(tmp_path / "store").put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})


def test_a_file_in_the_place_of_the_output_directory_is_one_clear_error(store: Store, tmp_path: Path):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(CacheError, match=r"cannot be written"):
        restore(store, record, tmp_path / "out")


def test_content_lost_between_get_and_restore_is_one_clear_error(store: Store, tmp_path: Path):
    record = store.put(COMPONENTS, write(tmp_path / "in", a=b"1"), {})
    blob(store, b"1").unlink()
    with pytest.raises(CacheError, match="the content of 'a' was lost"):
        restore(store, record, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def _hammer(root: Path, seed: int, rounds: int) -> None:
    store = Store(root / "store")
    for turn in range(rounds):
        number = (seed + turn) % 5
        content = bytes([number]) * 5000
        if store.get({"n": number}) is None:
            store.put({"n": number}, write(root / f"in{seed}-{turn}", a=content), {"seconds": 1})
        record = store.get({"n": number})
        if record is not None:
            (path,) = restore(store, record, root / f"out{seed}")
            assert path.read_bytes() == content
        if turn % 7 == 3:
            store.evict(10_000)


def test_many_processes_at_once(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_hammer, args=(tmp_path, seed, 40)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    store = Store(tmp_path / "store")
    assert all(store.get(record.components) for record in list(store.records()))
    assert not list((tmp_path / "store").rglob("*.tmp"))


@pytest.mark.parametrize(("umask", "rights"), [(0o077, 0o600), (0o000, 0o644), (0o022, 0o644)])
def test_a_blob_has_no_more_rights_than_the_user_gives(tmp_path: Path, umask: int, rights: int):
    code = (
        "import os, sys; from pathlib import Path; from scaling_tasks.store.store import Store; "
        f"os.umask({umask}); "
        "Store(Path(sys.argv[1])).put({'a': 1}, {'a': Path(sys.argv[2])}, {})"
    )
    (tmp_path / "a").write_bytes(b"content")
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "store"), str(tmp_path / "a")], check=True)
    blobs = [path for path in (tmp_path / "store/blobs").rglob("*") if path.is_file()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in blobs] == [rights]
