"""Scanning image folders: what is measured, what is read again, and what the watch notices."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples import images, listing, reading
from scaling_tasks.samples.headers import probe
from scaling_tasks.samples.places import summary_path
from scaling_tasks.samples.scan import read_measurements, scan, watch

MakeImage = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path, make_image: MakeImage) -> Path:
    root = tmp_path / "images"
    for number in range(12):
        make_image(root / f"part{number % 3}" / f"{number:02d}.png", 10 + number, 50 - number)
    make_image(root / "top.jpg", 30, 40, orientation=6)
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "state" / "images.cache"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    paths: list[str] = []

    def spy(path: str) -> object:
        paths.append(Path(path).name)
        return probe(path)

    monkeypatch.setattr(reading, "probe", spy)
    return paths


def spec(folder: Path, **options: object) -> DatasetSpec:
    return DatasetSpec(path=str(folder), **options)


def test_every_image_is_measured_as_shown(folder: Path, cache: Path) -> None:
    found = scan(spec(folder), cache)
    expected = sorted([(10 + n, 50 - n) for n in range(12)] + [(40, 30)])
    assert [tuple(row) for row in found.values.tolist()] == expected
    assert found.columns == ("H", "W")
    assert found.source == {"images": 13, "skipped": 0}


def test_second_scan_opens_nothing_and_changes_nothing(folder: Path, cache: Path, opened: list[str]) -> None:
    first = scan(spec(folder), cache)
    assert len(opened) == 13
    before = summary_path(cache).stat().st_mtime_ns
    assert watch(spec(folder), cache)
    second = scan(spec(folder), cache)
    assert len(opened) == 13
    assert second.digest == first.digest
    assert summary_path(cache).stat().st_mtime_ns == before


def test_only_new_and_changed_files_are_opened(
    folder: Path, cache: Path, opened: list[str], make_image: MakeImage
) -> None:
    scan(spec(folder), cache)
    opened.clear()
    make_image(folder / "part1" / "new.png", 5, 6)
    make_image(folder / "part2" / "02.png", 99, 98, age=500)
    (folder / "part0" / "00.png").unlink()
    assert not watch(spec(folder), cache)
    found = scan(spec(folder), cache)
    assert sorted(opened) == ["02.png", "new.png"]
    rows = {tuple(row) for row in found.values.tolist()}
    assert {(5, 6), (99, 98)} <= rows
    assert not {(12, 48), (10, 50)} & rows
    assert watch(spec(folder), cache)


def test_touched_files_heal_after_one_scan(folder: Path, cache: Path, make_old: Callable[..., None]) -> None:
    scan(spec(folder), cache)
    summary = summary_path(cache).read_bytes()
    for path in folder.rglob("*.png"):
        make_old(path, 77)
    assert not watch(spec(folder), cache)
    scan(spec(folder), cache)
    assert watch(spec(folder), cache)
    assert summary_path(cache).read_bytes() == summary


def test_moving_and_renaming_change_no_measurement(folder: Path, cache: Path, tmp_path: Path) -> None:
    first = scan(spec(folder), cache)
    summary = summary_path(cache).read_bytes()
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    (moved / "part0").rename(moved / "zzz")
    second = scan(spec(moved), cache)
    assert second.digest == first.digest
    assert summary_path(cache).read_bytes() == summary


def test_another_order_of_listing_is_the_same(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan(spec(folder), cache)
    scandir = os.scandir
    backwards = lambda path: contextlib.nullcontext(list(scandir(path))[::-1])  # noqa: E731
    monkeypatch.setattr(listing.os, "scandir", backwards)
    assert watch(spec(folder), cache)
    (folder / "part0" / "00.png").unlink()
    assert not watch(spec(folder), cache)


@pytest.mark.parametrize("way", ["replaced", "in place"])
def test_a_change_that_hides_its_time_is_found(folder: Path, cache: Path, make_image: MakeImage, way: str) -> None:
    """Another picture of as many bytes, with the modification time of the one before."""
    path, other = folder / "part0" / "00.png", make_image(folder.parent / "other.png", 70, 71)
    content = other.read_bytes()
    path.write_bytes(path.read_bytes().ljust(len(content) + 100, b"\0"))
    scan(spec(folder), cache)
    status = path.stat()
    other.write_bytes(content.ljust(status.st_size, b"\0"))
    if way == "replaced":
        other.replace(path)
    else:
        path.write_bytes(other.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert not watch(spec(folder), cache)
    assert [70, 71] in scan(spec(folder), cache).values.tolist()


def test_a_new_size_changes_the_digest(folder: Path, cache: Path, make_image: MakeImage) -> None:
    first = scan(spec(folder), cache)
    make_image(folder / "wide.png", 10, 500)
    assert scan(spec(folder), cache).digest != first.digest


def test_other_files_are_counted_listed_and_skipped(folder: Path, cache: Path) -> None:
    (folder / "notes.txt").write_text("not an image")
    (folder / "part0" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    (folder / "part1" / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / ".hidden").write_text("of no interest")
    found = scan(spec(folder), cache)
    assert found.source == {"images": 13, "skipped": 3, "not_an_image": 1, "corrupt": 1, "unreadable": 1}
    assert len(found.skipped) == 3
    assert any(text.startswith("part0/broken.jpg: ") for text in found.skipped)
    assert watch(spec(folder), cache)


def test_pipes_are_not_opened(folder: Path, cache: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    assert scan(spec(folder), cache).source["unreadable"] == 1
    assert watch(spec(folder), cache)


def test_strict_makes_skipped_files_an_error(folder: Path, cache: Path) -> None:
    (folder / "notes.txt").write_text("not an image")
    with pytest.raises(DatasetError, match=r"notes\.txt"):
        scan(spec(folder, strict=True), cache)
    assert not watch(spec(folder, strict=True), cache)
    scan(spec(folder), cache)
    with pytest.raises(DatasetError, match="strict"):
        read_measurements(spec(folder, strict=True), cache)


def test_the_list_of_skipped_files_is_bounded(folder: Path, cache: Path) -> None:
    for number in range(100):
        (folder / f"{number}.txt").write_text("text")
    found = scan(spec(folder), cache)
    assert found.source["skipped"] == 100
    assert len(found.skipped) == 20
    assert summary_path(cache).stat().st_size < 4000


@pytest.mark.parametrize("content", [None, "notes.txt"])
def test_a_folder_without_images_is_an_error(content: str | None, tmp_path: Path, cache: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    if content:
        (empty / content).write_text("text")
    with pytest.raises(DatasetError, match="no image") as caught:
        scan(spec(empty), cache)
    assert caught.value.where == str(empty)
    assert caught.value.fix
    assert not watch(spec(empty), cache)


def test_missing_path(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DatasetError, match="no such file or directory"):
        scan(spec(tmp_path / "absent"), cache)
    assert not watch(spec(tmp_path / "absent"), cache)


def test_links_are_followed_once(folder: Path, cache: Path, tmp_path: Path, make_image: MakeImage) -> None:
    make_image(tmp_path / "outside" / "a.png", 7, 8)
    (folder / "linked").symlink_to(tmp_path / "outside", target_is_directory=True)
    (folder / "part0" / "back").symlink_to(folder, target_is_directory=True)
    found = scan(spec(folder), cache)
    assert found.source["images"] == 14


def test_names_of_any_bytes(folder: Path, cache: Path, opened: list[str], make_image: MakeImage) -> None:
    source = make_image(folder / "plain.png", 3, 4)
    odd = os.fsencode(folder) + b"/tab\tline\nbad\xff.png"
    shutil.copy2(source, odd)
    (folder / "text \udcff.txt").write_text("skipped and listed")
    scan(spec(folder), cache)
    opened.clear()
    found = scan(spec(folder), cache)
    assert (opened, found.source["images"]) == ([], 15)
    json.loads(summary_path(cache).read_bytes())


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "text"])
def test_a_damaged_cache_only_costs_a_new_scan(damage: str, folder: Path, cache: Path, opened: list[str]) -> None:
    first = scan(spec(folder), cache)
    content = bytearray(cache.read_bytes())
    content[-3] ^= 0xFF
    damaged = {"truncate": content[:-10], "flip": content, "empty": b"", "text": b"no cache\n"}[damage]
    cache.write_bytes(damaged)
    with pytest.raises(DatasetError, match="scan cache"):
        read_measurements(spec(folder), cache)
    opened.clear()
    assert scan(spec(folder), cache).digest == first.digest
    assert len(opened) == 13
    assert watch(spec(folder), cache)


def test_read_measurements_needs_no_data_set(folder: Path, cache: Path) -> None:
    found = scan(spec(folder), cache)
    shutil.rmtree(folder)
    assert read_measurements(spec(folder), cache).digest == found.digest


def test_an_interrupted_scan_goes_on_where_it_was(
    folder: Path, cache: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_STRETCH", 1)
    patched = reading.probe

    def interrupt(path: str) -> object:
        if len(opened) == 7:
            raise KeyboardInterrupt
        return patched(path)

    monkeypatch.setattr(reading, "probe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        scan(spec(folder), cache)
    assert not cache.exists()
    monkeypatch.setattr(reading, "probe", patched)
    found = scan(spec(folder), cache)
    assert found.source["images"] == 13
    assert len(opened) == len(set(opened)) == 13
    assert sorted(path.name for path in cache.parent.iterdir()) == ["images.cache", "images.json"]


def test_a_killed_scan_keeps_what_it_saved(folder: Path, cache: Path, opened: list[str]) -> None:
    code = (
        "import os, sys; from pathlib import Path; from scaling_tasks.config.specs import DatasetSpec\n"
        "from scaling_tasks.samples import journal, reading; from scaling_tasks.samples.scan import scan\n"
        "journal._SECONDS_AT_RISK, reading._STRETCH, probe, seen = 0, 1, reading.probe, []\n"
        "def die(path):\n"
        "    seen.append(path)\n"
        "    return probe(path) if len(seen) < 8 else os.kill(os.getpid(), 9)\n"
        "reading.probe = die\n"
        f"scan(DatasetSpec(path={str(folder)!r}), Path({str(cache)!r}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert not watch(spec(folder), cache)
    assert scan(spec(folder), cache).source["images"] == 13
    assert len(opened) == 13 - 7


def test_a_torn_journal_is_ignored_from_the_tear(folder: Path, cache: Path, opened: list[str]) -> None:
    cache.parent.mkdir(parents=True)
    cache.with_name("images.cache.partial").write_bytes(b'"part0"\t[["00.png"],[1')
    assert scan(spec(folder), cache).source["images"] == 13
    assert len(opened) == 13


def test_an_edit_during_the_scan_is_noticed(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, make_image: MakeImage
) -> None:
    patched = reading.probe

    def edit_after_reading(path: str) -> object:
        found = patched(path)
        if path.endswith("05.png"):
            make_image(Path(path), 321, 123, age=0)
        return found

    monkeypatch.setattr(reading, "probe", edit_after_reading)
    scan(spec(folder), cache)
    monkeypatch.setattr(reading, "probe", patched)
    assert not watch(spec(folder), cache)
    assert [321, 123] in scan(spec(folder), cache).values.tolist()


def test_a_file_as_young_as_its_listing_is_read_again(
    folder: Path, cache: Path, opened: list[str], make_image: MakeImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a file may change again within one tick of the file system's clock, here half a second."""
    time.sleep(0.6)
    young = make_image(folder / "young.png", 3, 3, age=0)
    monkeypatch.setattr(images, "_TICK", 500_000_000)
    wait = time.sleep
    monkeypatch.setattr(images.time, "sleep", lambda seconds: (make_image(young, 4, 4, age=0), wait(0.6)))
    found = scan(spec(folder), cache)
    assert opened.count("young.png") == 2
    assert len(opened) == 15
    assert [4, 4] in found.values.tolist()
    assert watch(spec(folder), cache)


def test_times_in_the_future_settle(folder: Path, cache: Path, make_old: Callable[..., None]) -> None:
    make_old(folder / "top.jpg", -100_000)
    scan(spec(folder), cache)
    assert watch(spec(folder), cache)


def test_progress_ends_at_the_total(folder: Path, cache: Path) -> None:
    steps: list[tuple[int, int]] = []
    scan(spec(folder), cache, progress=lambda done, total: steps.append((done, total)))
    assert steps[-1] == (13, 13)
    assert steps == sorted(steps)


def test_slow_storage_is_read_by_threads(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_SLOW_SECONDS", 0.0)
    monkeypatch.setattr(reading, "_STRETCH", 2)
    found = scan(spec(folder), cache)
    assert sorted(map(tuple, found.values.tolist())) == sorted([(10 + n, 50 - n) for n in range(12)] + [(40, 30)])


def test_watch_loads_neither_numpy_nor_an_image_library(folder: Path, cache: Path) -> None:
    scan(spec(folder), cache)
    code = (
        "import sys; from pathlib import Path; from scaling_tasks.config.specs import DatasetSpec\n"
        "from scaling_tasks.samples.scan import watch\n"
        f"assert watch(DatasetSpec(path={str(folder)!r}), Path({str(cache)!r}))\n"
        "print([name for name in ('numpy', 'imagesize', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_random_histories_equal_a_scan_from_nothing(
    tmp_path: Path, cache: Path, make_image: MakeImage, make_old: Callable[..., None]
) -> None:
    """After any edits the incremental scan finds what a fresh one finds, and the watch says so before and after."""
    generator = random.Random(7)
    root = tmp_path / "images"
    make_image(root / "first.png", 10, 10)
    for step in range(25):
        files = sorted(path for path in root.rglob("*") if path.is_file())
        action = generator.choice(["add", "add", "change", "remove", "move", "spoil"])
        victim = generator.choice(files)
        if action == "add":
            name = f"{generator.choice('abc')}/{generator.choice('xyz')}/{step}.png"
            make_image(root / name, generator.randint(1, 99), generator.randint(1, 99), age=step)
        elif action == "change":
            make_image(victim.with_suffix(".png"), generator.randint(1, 99), 100 + step, age=step)
        elif action == "remove" and len(files) > 3:
            victim.unlink()
        elif action == "move":
            victim.rename(victim.with_name(f"moved{step}{victim.suffix}"))
        else:
            victim.write_text(f"spoiled {step}")
            make_old(victim, step)
        make_image(root / "keep.png", 10, 10)
        found = scan(spec(root), cache)
        fresh = scan(spec(root), tmp_path / "fresh" / f"{step}.cache")
        np.testing.assert_array_equal(found.values, fresh.values)
        assert found.summary() == fresh.summary()
