"""Full disks and places that may not be used: one sentence, nothing half-written, and mended the build goes on."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

import scaling_tasks as st
from scaling_tasks.errors import BundleError, CacheError
from scaling_tasks.files import remove_whole
from scaling_tasks.runtime.traffic import TrafficRecorder
from tests.doit_plugin.repository import Repository

_PR_CAPBSET_DROP = 24
_OVERRIDES = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root's right to all files


def as_anyone() -> None:
    """Have permissions bind what this process starts, even where root runs the tests."""
    for capability in _OVERRIDES if os.geteuid() == 0 else ():
        ctypes.CDLL(None).prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def small_files(most: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def doit(root: Path, prepare: Callable[[], None] | None = None) -> tuple[int, str]:
    command = [sys.executable, "-m", "doit", "-n", "2", "--continue"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=120, check=False, preexec_fn=prepare
    )
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert not list(root.rglob("*.tmp"))
    return done.returncode, output


def change(repository: Repository, seed: int) -> None:
    """Give the next build something to do."""
    repository.write_model(seed=seed)
    repository.write_image("new.png", 16 + 8 * seed, 24)


@pytest.mark.parametrize(
    ("place", "mode", "said"),
    [
        (".", 0o500, "lock:net failed: scaling.lock: cannot be used (Permission denied). Check its permissions."),
        (".scaling/locks", 0o500, "failed: .scaling/locks/"),
        ("configs", 0, "error: configs: cannot be listed (Permission denied). Check its permissions."),
    ],
)
def test_what_may_not_be_used_is_named(built: Repository, place: str, mode: int, said: str) -> None:
    change(built, seed=3)
    path = built.root / place
    usual = path.stat().st_mode
    path.chmod(mode)
    try:
        status, output = doit(built.root, as_anyone)
    finally:
        path.chmod(usual)
    assert status != 0
    assert said in output
    assert doit(built.root)[0] == 0


def test_a_store_and_a_state_that_may_only_be_read_cost_no_result(built: Repository) -> None:
    change(built, seed=3)
    places = [built.root / ".scaling/store/blobs", built.root / ".scaling/doit.sqlite"]
    places += list((built.root / ".scaling/store/blobs").iterdir())
    for path in places:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        status, output = doit(built.root, as_anyone)
    finally:
        for path in places:
            path.chmod(0o755 if path.is_dir() else 0o644)
    assert status == 0, output
    assert "warning: not stored: .scaling/store/blobs/" in output
    assert "what is done will not be remembered" in output


def test_something_else_where_a_file_or_directory_belongs(built: Repository) -> None:
    """What is derived is made anew, what stands in the way of it is named, and no pipe is waited for."""
    root, state = built.root, built.root / ".scaling"
    records = sorted((state / "store/records").glob("*/*.json"))
    for path in (state / "digests.jsonl", state / "store/journal.jsonl", *records, state / "doit.sqlite"):
        path.unlink(missing_ok=True)
        os.mkfifo(path)
    (state / "targets/net/units.json").unlink()
    (state / "targets/net/units.json").symlink_to("units.json")
    status, output = doit(root)
    assert status == 0, output
    for path, said in {
        root
        / "scaling.lock": "scaling.lock: cannot be read (it is not a regular file). Remove what stands in its place.",
        state / "work": f"failed: {(state / 'work').relative_to(root)}/",
    }.items():
        remove_whole(path, path.parent)
        built.write_model(seed=len(said))
        os.mkfifo(path)
        status, output = doit(root)
        assert status != 0
        assert said in output, output
        path.unlink()
    assert doit(root)[0] == 0


def test_a_directory_in_the_place_of_what_is_derived_is_put_aside(built: Repository) -> None:
    """With what somebody keeps in it; the file is made anew, and the next run has nothing to say."""
    root, state = built.root, built.root / ".scaling"
    names = [
        *(path for path in (state / "targets/net").rglob("*") if path.is_file() and "shared" not in path.parts),
        *(path for path in (root / "build/net").iterdir()),
        *(path for path in (state / "scan").rglob("*") if path.is_file()),
        *(path for path in (state / "store/records").rglob("*.json")),
        *(state / "locks").glob("scan-*"),
        state / "digests.jsonl",
    ]
    for path in names:
        path.unlink()
        path.mkdir()
        (path / "mine").write_text(path.name)
    status, output = doit(root)
    assert status == 0, output
    assert "Traceback" not in output
    assert "warning: build/net/report.html: what stood there is no file; it is called report.html" in output
    kept = {path.read_text() for path in root.rglob("*.aside-*/mine")}
    assert kept == {path.name for path in names}
    again = built.doit()
    assert again.ok
    assert again.compiled == again.restored == []
    assert "aside" not in again.output


def test_a_pipe_in_the_place_of_a_lock_or_a_journal_is_put_aside(built: Repository) -> None:
    state = built.root / ".scaling"
    for path in (*(state / "locks").glob("scan-*"), state / "digests.jsonl"):
        path.unlink()
        os.mkfifo(path)
    built.write_image("new.png", 16, 24)
    status, output = doit(built.root)
    assert status == 0, output
    assert output.count("what stood there is no file") == 2
    assert doit(built.root)[1].count("what stood there is no file") == 0


def test_a_directory_where_the_caller_wants_a_file_stays_theirs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "data/a.png")
    for name in ("one", "two.json", "three.partial"):
        (tmp_path / name).mkdir()
        with pytest.raises(CacheError, match="remove what stands in its place"):
            st.scan_dataset(tmp_path / "data", {"x": [1, 3, -1, -1]}, cache_path=(tmp_path / name).with_suffix(""))
    with pytest.raises(BundleError, match="Remove what stands in its place"):
        TrafficRecorder(("N",), None, [(1,)]).snapshot().save(tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "data",
        "one",
        "three.partial",
        "two.json",
    ]


@pytest.fixture
def small_disk(repository: Repository) -> Iterator[Callable[[str, str], None]]:
    """Have a small file system at a place of the repository, or give that more room."""
    mounted = set()

    def mount(place: str, size: str) -> None:
        path = repository.root / place
        path.mkdir(exist_ok=True)
        option = "remount," * (path in mounted) + f"size={size}"
        command = ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(path)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("mounting a file system is not permitted here")
        mounted.add(path)

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize(("place", "size"), [(".scaling", "48k"), ("build", "8k")])
def test_a_full_disk_is_named(
    repository: Repository, small_disk: Callable[[str, str], None], place: str, size: str
) -> None:
    """Under the state database and the documents, and under the bundle."""
    small_disk(place, size)
    status, output = doit(repository.root)
    assert status != 0
    assert "No space left on device" in output
    assert "Free some space." in output
    small_disk(place, "64m")
    assert doit(repository.root)[0] == 0


@pytest.mark.parametrize(("most", "done"), [(300, False), (40_000, True)])
def test_files_that_may_not_grow(repository: Repository, most: int, done: bool) -> None:
    """The second limit stops the state database alone, in the middle of the run."""
    status, output = doit(repository.root, small_files(most))
    assert (status == 0) is done, output
    assert "doit.sqlite: what is done will not be remembered (disk I/O error)" in output
    assert done or "(File too large). Raise the limit of a file's size." in output
    assert doit(repository.root)[0] == 0
