"""A worker's own directory, and the parts that files travel in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaling_tasks.execution.farm.depot import Depot
from scaling_tasks.execution.farm.order import Blob, Outcome
from scaling_tasks.execution.farm.transport import batches, parts
from scaling_tasks.files import digest_bytes

CONTENT = b"content " * 1000


def blob(content: bytes) -> Blob:
    return Blob(digest_bytes(content), len(content))


@pytest.fixture
def depot(tmp_path: Path) -> Depot:
    return Depot(tmp_path / "depot", limit=1 << 20)


def test_a_file_that_comes_in_parts_is_there_with_the_last(depot: Depot, tmp_path: Path) -> None:
    wanted = blob(CONTENT)
    for offset, length in parts(wanted.size, 3000):
        assert depot.missing([wanted, wanted]) == [wanted]
        depot.receive("me", wanted, offset, CONTENT[offset : offset + length])
    assert depot.missing([wanted]) == []
    depot.fill(tmp_path / "inputs", {"deep/file": wanted, "again": wanted})
    assert (tmp_path / "inputs/deep/file").read_bytes() == CONTENT
    assert list((depot.root / "arriving").iterdir()) == []


def test_two_senders_of_one_file_do_not_mix(depot: Depot) -> None:
    wanted = blob(CONTENT)
    depot.receive("one", wanted, 0, CONTENT[:3000])
    depot.receive("two", wanted, 0, CONTENT[:5000])
    depot.receive("one", wanted, 3000, CONTENT[3000:])
    depot.receive("two", wanted, 5000, CONTENT[5000:])
    assert depot.read(wanted.digest, 2990, 20) == CONTENT[2990:3010]


def test_what_is_not_what_it_is_called_is_refused(depot: Depot) -> None:
    wanted = Blob(blob(CONTENT).digest, 4)
    with pytest.raises(ValueError, match="not what it is called"):
        depot.receive("me", wanted, 0, b"evil")
    with pytest.raises(ValueError, match="does not follow"):
        depot.receive("me", blob(CONTENT), 0, CONTENT[:10]) or depot.receive("me", blob(CONTENT), 20, CONTENT[20:])
    assert depot.missing([blob(CONTENT)]) == [blob(CONTENT)]


def test_a_damaged_file_is_missing(depot: Depot) -> None:
    depot.receive("me", blob(CONTENT), 0, CONTENT)
    (path,) = (depot.root / "blobs").glob("??/*")
    path.write_bytes(CONTENT[::-1])
    assert depot.missing([blob(CONTENT)]) == [blob(CONTENT)]


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", ""])
def test_names_cannot_lead_out(depot: Depot, tmp_path: Path, name: str) -> None:
    depot.receive("me", blob(CONTENT), 0, CONTENT)
    with pytest.raises(OSError, match="leads elsewhere"):
        depot.fill(tmp_path / "inputs", {name: blob(CONTENT)})
    with pytest.raises(OSError, match="leads elsewhere"):
        depot.scratch(name)


@pytest.mark.parametrize("digest", ["../../secret", "/etc/passwd", "", "ab" * 31, "AB" * 32])
def test_a_digest_cannot_be_a_path(depot: Depot, tmp_path: Path, digest: str) -> None:
    """Whoever speaks with a worker reads and writes contents alone."""
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(ValueError, match="is no digest"):
        depot.read(digest, 0, 100)
    with pytest.raises(ValueError, match="is no digest"):
        depot.receive("me", Blob(digest, 4), 0, b"evil")
    with pytest.raises(ValueError, match="matching regex"):
        Outcome.from_json(Outcome("w", "tcp://w", files={"a": Blob(digest, 4)}).to_json())
    assert (tmp_path / "secret").read_text() == "secret"


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "", "a//b", "a\0"])
def test_what_a_worker_made_cannot_be_called_what_leads_out(name: str) -> None:
    with pytest.raises(ValueError, match="matching regex"):
        Outcome.from_json(Outcome("w", "tcp://w", files={name: blob(CONTENT)}).to_json())


def test_links_in_a_workers_directory_are_not_followed(depot: Depot, tmp_path: Path) -> None:
    depot.receive("me", blob(CONTENT), 0, CONTENT)
    outside = tmp_path / "outside"
    outside.mkdir()
    (depot.root / "shared").symlink_to(outside)
    with pytest.raises(OSError, match="it is a link"):
        depot.scratch("weights/deep")
    (path,) = (depot.root / "blobs").glob("??/*")
    path.rename(outside / "content")
    path.symlink_to(outside / "content")
    assert depot.missing([blob(CONTENT)]) == [blob(CONTENT)]
    with pytest.raises(OSError, match="it is a link"):
        depot.read(path.name, 0, 10)
    depot.receive("me", blob(CONTENT), 0, CONTENT)
    assert not path.is_symlink()
    assert depot.missing([blob(CONTENT)]) == []


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depot = Depot(tmp_path / "depot", limit=2500)
    contents = [bytes([number]) * 1000 for number in range(3)]
    for content in contents:
        depot.receive("me", blob(content), 0, content)
    depot.trim()
    assert depot.missing(map(blob, contents)) == []  # It may be about to be used.
    monkeypatch.setattr("scaling_tasks.execution.farm.depot._GRACE_SECONDS", 0.0)
    os.utime(depot.root)
    depot.missing([blob(contents[0])])  # Asked for: used.
    depot.trim()
    assert depot.missing(map(blob, contents)) == [blob(contents[1])]


def test_what_a_killed_worker_had_begun_is_swept_away_and_what_another_has_is_not(depot: Depot, tmp_path: Path) -> None:
    killed = """
import os, signal, sys
from pathlib import Path
from scaling_tasks.execution.farm.depot import Depot
from scaling_tasks.execution.farm.order import Blob
with Depot(Path(sys.argv[1]), limit=1).workdir("killed") as workdir:
    (workdir / "large").write_bytes(bytes(1000))
    Depot(Path(sys.argv[1]), limit=1).receive("killed", Blob("a" * 64, 9), 0, b"part")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed, str(depot.root)], check=False)
    (left,) = (depot.root / "work").glob("killed-*")
    (arriving,) = (depot.root / "arriving").iterdir()
    with depot.workdir("mine") as mine:
        other = Depot(depot.root, limit=1 << 20)
        with other.workdir("others") as others:
            assert not left.exists()
            assert mine.is_dir()
            assert others.is_dir()
        assert arriving.exists()  # Whoever sends it may be slow.
        os.utime(arriving, (0, 0))
        other.trim()
        assert not arriving.exists()


def test_only_its_owner_sees_it(depot: Depot) -> None:
    assert depot.root.stat().st_mode & 0o077 == 0


def test_parts_cover_a_file_and_batches_keep_their_order() -> None:
    assert list(parts(0, 4)) == [(0, 0)]
    assert list(parts(8, 4)) == [(0, 4), (4, 4)]
    assert list(parts(9, 4)) == [(0, 4), (4, 4), (8, 1)]
    wanted = [("a", 0, 3), ("b", 0, 1), ("c", 0, 9), ("d", 0, 1)]
    assert list(batches(wanted, 4)) == [wanted[:2], wanted[2:3], wanted[3:]]
