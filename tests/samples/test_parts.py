"""Data sets elsewhere measured in parts by others: the same caches, and nothing stale."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples import image_parts, shards
from scaling_tasks.samples import scan as scanning
from scaling_tasks.samples.part_work import measure_part
from scaling_tasks.samples.parts import DOCUMENT, RESULT, Part
from scaling_tasks.samples.remote import Remote
from scaling_tasks.samples.scan import scan, watch
from tests.samples.tars import write_tar

pytest.importorskip("s3fs")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts be small, and little be worth giving away."""
    monkeypatch.setattr(image_parts, "_FEWEST", 2)
    monkeypatch.setattr(image_parts, "_MEAN", 4)
    for module in (shards, scanning):
        monkeypatch.setattr(module, "_WORTH_GIVING_AWAY", 1)
    monkeypatch.setattr(shards, "_TOGETHER", 1)


class Others:
    """Measures parts as a worker would, by what their documents say."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.parts: list[Part] = []
        self.refused: list[str] = []
        self.before: Callable[[], object] = lambda: None

    def __call__(self, parts: Sequence[Part]) -> Iterator[tuple[Part, Path | None]]:
        for part in reversed(parts):
            place = self.root / secrets.token_hex(4)
            place.mkdir(parents=True)
            self.parts.append(part)
            (place / DOCUMENT).write_text(part.document())
            self.before()
            try:
                measure_part(place, place, {**part.parameters, "listed": part.listed})
            except DatasetError as error:
                self.refused.append(str(error))
                yield part, None
            else:
                yield part, place / RESULT

    @property
    def names(self) -> list[str]:
        return sorted(file.path.rpartition("/")[2] for part in self.parts for file in part.files)


@pytest.fixture
def others(tmp_path: Path) -> Others:
    return Others(tmp_path / "parts")


def images(directory: Path, make_image: Callable[..., Path], count: int = 12) -> None:
    for number in range(count):
        make_image(directory / f"images/{'deep/' * (number % 3)}{number:02}.png", 10 + number, 20, age=10)
    (directory / "images/notes.txt").write_bytes(b"words")
    (directory / "images/empty.jpg").write_bytes(b"")


def test_an_image_folder(bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others) -> None:
    images(bucket, make_image)
    dataset, cache, alone = DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "a.cache", tmp_path / "b.cache"
    found = scan(dataset, cache, elsewhere=others)
    assert scan(dataset, alone).digest == found.digest
    assert cache.read_bytes() == alone.read_bytes()
    assert others.refused == []
    assert len(others.parts) > 2
    assert others.names == sorted([f"{number:02}.png" for number in range(12)] + ["notes.txt"])
    assert watch(dataset, cache)

    # What is known is not given away again.
    others.parts.clear()
    for number in (3, 30, 31):
        make_image(bucket / f"images/{number:02}.png", 50 + number, 70)
    assert scan(dataset, cache, elsewhere=Others(tmp_path / "more")).digest == scan(dataset, alone).digest
    assert cache.read_bytes() == alone.read_bytes()


def test_only_what_is_new_is_given_away(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others
) -> None:
    images(bucket, make_image)
    dataset, cache = DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "a.cache"
    scan(dataset, cache)
    for number in (3, 30, 31):
        make_image(bucket / f"images/{number:02}.png", 50 + number, 70)
    scan(dataset, cache, elsewhere=others)
    assert others.names == ["03.png", "30.png", "31.png"]


def test_nothing_is_read_here_that_others_have_read(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others
) -> None:
    images(bucket, make_image, 4)
    dataset = DatasetSpec(path=f"s3://{bucket.name}/images")
    read: list[str] = []
    original = Remote.beginnings

    def counted(own: Remote, paths: Sequence[str], sizes: Sequence[int]) -> list[bytes | None]:
        read.extend(paths)
        return original(own, paths, sizes)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Remote, "beginnings", counted)
        scan(dataset, tmp_path / "a.cache", elsewhere=others)
    assert len(read) == len(set(read)) == 5


def test_files_that_changed_since_they_were_listed_are_refused_and_read_here(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others
) -> None:
    images(bucket, make_image)
    dataset, cache = DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "a.cache"
    others.before = lambda: make_image(bucket / "images/00.png", 333, 444, age=5)
    scan(dataset, cache, elsewhere=others)
    assert len(others.refused) == 1
    assert "00.png is another version here than was listed" in others.refused[0]
    # As after any scan during which something changed: it is noticed.
    assert not watch(dataset, cache)
    assert [333, 444] in scan(dataset, cache).values.tolist()


def test_what_others_cannot_read_is_read_here(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    images(bucket, make_image)
    dataset, cache, alone = DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "a.cache", tmp_path / "b.cache"
    original = Remote.beginnings

    def failing(own: Remote, paths: Sequence[str], sizes: Sequence[int]) -> list[bytes | None]:
        found = original(own, paths, sizes)
        lost = "05.png" if failing_now else "none"
        return [None if path.endswith(lost) else head for path, head in zip(paths, found, strict=True)]

    failing_now = [True]
    monkeypatch.setattr(Remote, "beginnings", failing)

    def given(parts: Sequence[Part]) -> Iterator[tuple[Part, Path | None]]:
        yield from others(parts)
        failing_now.clear()

    scan(dataset, cache, elsewhere=given)
    scan(dataset, alone)
    assert cache.read_bytes() == alone.read_bytes()
    assert others.refused == []


def test_shards(bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others) -> None:
    (bucket / "shards").mkdir()
    for number in range(3):
        image = make_image(tmp_path / "small.png", 10 + number, 20).read_bytes()
        write_tar(bucket / f"shards/{number:02}.tar", [("0.png", image), ("0.json", b"{}"), ("1.png", image)])
    whole = (bucket / "shards/02.tar").read_bytes()
    (bucket / "shards/02.tar").write_bytes(whole[:1500])
    dataset = DatasetSpec(path=f"s3://{bucket.name}/shards/{{00..02}}.tar")
    cache, alone = tmp_path / "a.cache", tmp_path / "b.cache"
    found = scan(dataset, cache, elsewhere=others)
    assert scan(dataset, alone).digest == found.digest
    assert cache.read_bytes() == alone.read_bytes()
    assert others.names == ["00.tar", "01.tar", "02.tar"]
    assert len(others.parts) == 3
    others.parts.clear()
    (bucket / "shards/02.tar").write_bytes(whole)
    others.before = lambda: (bucket / "shards/02.tar").write_bytes(whole + bytes(512))
    scan(dataset, cache, elsewhere=others)
    assert others.names == ["02.tar"]
    assert "02.tar is another version" in others.refused[0]
    assert not watch(dataset, cache)


@pytest.mark.parametrize("name", ["sizes.csv", "sizes.parquet"])
def test_a_table(name: str, bucket: Path, tmp_path: Path, others: Others) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    if name == "sizes.parquet":
        parquet.write_table(pyarrow.table({"H": [10, 20], "W": [30, 40]}), bucket / name)
    else:
        (bucket / name).write_text("H,W\n10,30\n20,40\nx,1\n")
    dataset, cache, alone = DatasetSpec(path=f"s3://{bucket.name}/{name}"), tmp_path / "a.cache", tmp_path / "b.cache"
    assert scan(dataset, cache, elsewhere=others).values.tolist()[:2] == [[10, 30], [20, 40]]
    scan(dataset, alone)
    assert cache.read_bytes() == alone.read_bytes()
    assert len(others.parts) == 1
    assert watch(dataset, cache)


def test_a_table_that_is_none_is_told_as_ever(bucket: Path, tmp_path: Path, others: Others) -> None:
    (bucket / "sizes.csv").write_text("H,W\n1,2,3\n")
    with pytest.raises(DatasetError, match=r"3 cells stand below 2 names") as caught:
        scan(DatasetSpec(path=f"s3://{bucket.name}/sizes.csv"), tmp_path / "a.cache", elsewhere=others)
    assert caught.value.where == f"s3://{bucket.name}/sizes.csv, line 2"


def test_little_is_read_sooner_than_given_away(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, others: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_parts, "_FEWEST", 1000)
    images(bucket, make_image, 3)
    assert len(scan(DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "a.cache", elsewhere=others).values) == 3
    assert others.parts == []


def test_what_is_on_this_machine_stays_here(make_image: Callable[..., Path], tmp_path: Path, others: Others) -> None:
    images(tmp_path, make_image, 3)
    for path in (str(tmp_path / "images"), f"file://{tmp_path}/images"):
        assert len(scan(DatasetSpec(path=path), tmp_path / "a.cache", elsewhere=others).values) == 3
    assert others.parts == []
