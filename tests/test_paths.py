"""Below a directory nothing is written, read or removed through a link, whenever that is put there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from scaling_tasks.document_fields import DigestField, NameField
from scaling_tasks.execution.file_locks import exclusive, is_free, taken_if_free
from scaling_tasks.files import append, digest_file, open_regular, publish, read_regular, remove_whole, write_if_changed
from scaling_tasks.names import digest, inner_name, plain_name
from scaling_tasks.paths import directory_of, enclosed, entries, files_below, inside

NO_NAMES = ("", ".", "..", "/", "/etc/passwd", "../x", "a/..", "a/../b", "a//b", "./a", "a/.", "a/", "a\0b", "\0")
NAMES = ("a", "a/b", "...", "a..b", ".hidden", "-x", "a b/ü", "*")


def state_of(directory: Path) -> dict[str, str]:
    return {path.name: "" if path.is_dir() else path.read_text() for path in sorted(directory.rglob("*"))}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory, found by a link as users have them, in which ``linked`` leads elsewhere and ``file`` to a file."""
    (tmp_path / "disk/real").mkdir(parents=True)
    (tmp_path / "disk/real/x").write_text("x")
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    (tmp_path / "outside/deep").mkdir(parents=True)
    for name in ("x", "lock", "deep/x"):
        (tmp_path / "outside" / name).write_text("theirs")
    (tmp_path / "disk/linked").symlink_to("../outside")
    (tmp_path / "disk/file").symlink_to("../outside/x")
    (tmp_path / "disk/gone").symlink_to("../outside/new")
    return tmp_path / "root"


@pytest.fixture(autouse=True)
def _nothing_outside_changes(root: Path) -> Iterator[None]:
    before = state_of(root.parent / "outside")
    yield
    assert state_of(root.parent / "outside") == before


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_is_refused(root: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        inner_name(name)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, NameField)
    with pytest.raises(OSError, match="leads elsewhere"):
        inside(root, name)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files_below_are_taken(root: Path, name: str) -> None:
    assert msgspec.convert(name, NameField) == inner_name(name) == name
    assert inside(root, name) == root / name


@pytest.mark.parametrize("name", [*NO_NAMES, "a/b", ".hidden", "*", "a[1]", "a\nb", "a\ud800", "\u202e", "é" * 65])
def test_names_that_are_no_single_component_are_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"no name of a file|surrogates"):
        plain_name(name)


@pytest.mark.parametrize("text", ["", "ab", "A" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n", "../" + "a" * 61])
def test_digests_are_digests(text: str) -> None:
    with pytest.raises(ValueError, match="is no digest"):
        digest(text)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, DigestField)
    assert digest("0f" * 32) == msgspec.convert("0f" * 32, DigestField)


def write(path: Path, below: Path) -> None:
    with publish(path, below=below) as temporary:
        temporary.write_text("ours")


def change(path: Path, below: Path) -> None:
    write_if_changed(path, b"ours", below=below)


def append_to(path: Path, below: Path) -> None:
    append(path, b"ours\n", below=below)


def lock(path: Path, below: Path) -> None:
    with exclusive(path, below=below):
        pass


def try_lock(path: Path, below: Path) -> None:
    with taken_if_free(path, below=below):
        pass


def read(path: Path, below: Path) -> None:
    read_regular(path, 100, below=below)


def digested(path: Path, below: Path) -> None:
    digest_file(path, below=below)


@pytest.mark.parametrize("do", [write, change, append_to, lock, try_lock, read, digested, remove_whole, enclosed])
@pytest.mark.parametrize("name", ["linked/x", "linked/deep/x", "linked/lock"])
def test_no_link_is_followed_on_the_way(root: Path, do: Callable[[Path, Path], object], name: str) -> None:
    with pytest.raises(OSError, match="it is a link, which may lead elsewhere") as raised:
        do(root / name, root)
    assert raised.value.errno == errno.ELOOP
    assert raised.value.filename == str(root / name)


@pytest.mark.parametrize("do", [append_to, lock, try_lock, read, digested, enclosed])
@pytest.mark.parametrize("name", ["file", "gone", "linked"])
def test_no_link_is_followed_at_the_end(root: Path, do: Callable[[Path, Path], object], name: str) -> None:
    with pytest.raises(OSError, match="it is a link"):
        do(root / name, root)


@pytest.mark.parametrize("do", [write, change])
@pytest.mark.parametrize("name", ["file", "gone", "linked"])
def test_a_link_in_the_place_of_a_file_is_replaced(root: Path, do: Callable[[Path, Path], object], name: str) -> None:
    do(root / name, root)
    assert not (root / name).is_symlink()
    assert (root / name).read_text() == "ours"


@pytest.mark.parametrize("name", ["file", "gone", "linked"])
def test_a_link_is_removed_and_not_what_it_leads_to(root: Path, name: str) -> None:
    remove_whole(root / name, root)
    assert not os.path.lexists(root / name)


def test_links_in_a_directory_that_is_removed_are_not_followed(root: Path) -> None:
    (root / "real/linked").symlink_to("../../outside")
    remove_whole(root / "real", root)
    assert not (root / "real").exists()


def test_nothing_is_found_through_a_link(root: Path) -> None:
    assert entries(root / "linked", root) == entries(root / "absent", root) == files_below(root / "linked", root) == []
    assert entries(root / "real", root) == files_below(root / "real", root) == [root / "real/x"]
    assert files_below(root, root.parent) == []
    assert [path.name for path in entries(root, root)] == ["file", "gone", "linked", "real"]
    assert [path.name for path in files_below(root, root)] == ["file", "gone", "linked", "x"]
    assert not is_free(root / "file", below=root)


@pytest.mark.parametrize("path", ["../outside/x", "real/../../outside/x", "../disk/real/x", "/etc/passwd"])
def test_a_path_that_does_not_lie_below_is_refused(root: Path, path: str) -> None:
    for do in (write, read, remove_whole):
        with pytest.raises(OSError, match="does not lie below"):
            do(root / path, root)


def test_a_link_that_is_put_there_while_a_file_is_written_leads_nowhere(root: Path) -> None:
    with publish(root / "real/new", below=root) as temporary:
        (root / "real").rename(root / "moved")
        (root / "real").symlink_to("../outside")
        temporary.write_text("ours")
    assert (root / "moved/new").read_text() == "ours"


def test_a_link_that_is_put_there_before_something_is_removed_leads_nowhere(root: Path) -> None:
    with directory_of(root / "real/x", root) as (directory, name):
        (root / "real").rename(root / "moved")
        (root / "real").symlink_to("../outside")
        os.unlink(name, dir_fd=directory)
    assert not (root / "moved/x").exists()


def test_a_user_s_own_data_may_be_links(root: Path) -> None:
    with open_regular(root / "file") as file:
        assert file.read() == b"theirs"


def test_a_full_disk_names_the_file_that_people_know(root: Path) -> None:
    with pytest.raises(OSError, match="full") as raised, publish(root / "real/new", below=root) as temporary:
        raise OSError(errno.ENOSPC, "the disk is full", str(temporary))
    assert raised.value.filename == str(root / "real/new")
    assert entries(root / "real", root) == [root / "real/x"]
