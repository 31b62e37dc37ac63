"""Tar shards: sizes from the headers inside, shard by shard, whatever a tar says of itself."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import DatasetError
from scaling_tasks.samples import shards, tar_members
from scaling_tasks.samples.measurements import Measurements
from scaling_tasks.samples.scan import read_measurements, scan, watch
from tests.samples.tars import write_tar

FORMS = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT]


@pytest.fixture
def image(make_image: Callable[..., Path], tmp_path: Path) -> Callable[[int, int], bytes]:
    return lambda height, width: make_image(tmp_path / "one.png", height, width, age=0).read_bytes()


def measure(tmp_path: Path, path: object, **options: object) -> Measurements:
    dataset, cache = DatasetSpec(path=str(path), **options), tmp_path / "scan.cache"
    found = scan(dataset, cache)
    assert watch(dataset, cache)
    assert read_measurements(dataset, cache).digest == found.digest
    return found


@pytest.mark.parametrize("form", FORMS)
def test_images_of_every_form_of_tar(form: int, image: Callable[[int, int], bytes], tmp_path: Path) -> None:
    long = "deep/" * 30 + "x" * 60 if form != tarfile.USTAR_FORMAT else "deep/" * 10
    members = [("a.png", image(10, 20)), ("a.json", b"{}"), ("a.cls", b"7"), (f"{long}.left.PNG", image(30, 40))]
    members += [("bad.jpg", b"words"), ("ü.png", image(5, 6))]
    write_tar(tmp_path / "0.tar", members, form)
    found = measure(tmp_path, tmp_path / "0.tar")
    assert found.values.tolist() == [[5, 6], [10, 20], [30, 40]]
    assert found.source == {"images": 3, "skipped": 1, "not_an_image": 1}
    assert found.skipped == (f"{tmp_path}/0.tar/bad.jpg: not an image",)


def test_links_directories_and_names_that_lead_out_are_no_files(
    image: Callable[[int, int], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "0.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("l.png", tarfile.SYMTYPE), ("h.png", tarfile.LNKTYPE), ("d.png", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        for name in ("../../out.png", "/abs.png", "a\nb.png"):
            member = tarfile.TarInfo(name)
            member.size = len(image(10, 20))
            tar.addfile(member, io.BytesIO(image(10, 20)))
    before = sorted(tmp_path.parent.iterdir())
    assert measure(tmp_path, path).values.tolist() == [[10, 20]] * 3
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize("pattern", ["shards", "shards/{00..02}.tar", "shards/{00,01,02}.tar", "shards/*.tar"])
def test_only_changed_shards_are_read(
    pattern: str, image: Callable[[int, int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    for number in range(3):
        write_tar(tmp_path / f"shards/{number:02}.tar", [("a.png", image(10 + number, 20))])
    (tmp_path / "shards/index.json").write_text("{}")
    assert measure(tmp_path, tmp_path / pattern).values[:, 0].tolist() == [10, 11, 12]

    read: list[str] = []
    members = shards._members
    monkeypatch.setattr(shards, "_members", lambda path: read.append(path) or members(path))
    write_tar(tmp_path / "shards/01.tar", [("a.png", image(99, 20)), ("b.png", image(98, 20))])
    dataset = DatasetSpec(path=str(tmp_path / pattern))
    assert not watch(dataset, tmp_path / "scan.cache")
    assert scan(dataset, tmp_path / "scan.cache").values[:, 0].tolist() == [10, 12, 98, 99]
    assert [Path(path).name for path in read] == ["01.tar"]
    (tmp_path / "shards/02.tar").unlink()
    assert not watch(dataset, tmp_path / "scan.cache")
    if "{" in pattern:
        with pytest.raises(DatasetError, match="No such file") as caught:
            scan(dataset, tmp_path / "scan.cache")
        assert caught.value.where.endswith("02.tar")
    else:
        assert len(scan(dataset, tmp_path / "scan.cache").values) == 3


def test_an_interrupted_scan_keeps_the_shards_that_it_read(
    image: Callable[[int, int], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shards").mkdir()
    for number in range(4):
        write_tar(tmp_path / f"shards/{number}.tar", [("a.png", image(10 + number, 20))])
    members, read = shards._members, []

    def interrupted(path: str) -> object:
        read.append(path)
        if len(read) == 3:
            raise KeyboardInterrupt
        return members(path)

    monkeypatch.setattr(shards, "_members", interrupted)
    dataset, cache = DatasetSpec(path=str(tmp_path / "shards")), tmp_path / "scan.cache"
    with pytest.raises(KeyboardInterrupt):
        scan(dataset, cache)
    assert not watch(dataset, cache)
    assert len(scan(dataset, cache).values) == 4
    assert [Path(path).name for path in read] == ["0.tar", "1.tar", "2.tar", "2.tar", "3.tar"]


@pytest.mark.parametrize("cut", [100, 512, 700, 1500])
def test_a_cut_shard_gives_what_is_whole(cut: int, image: Callable[[int, int], bytes], tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [("a.png", image(10, 20)), ("b.png", image(30, 40))])
    path = tmp_path / "0.tar"
    path.write_bytes(path.read_bytes()[:cut])
    dataset = DatasetSpec(path=str(path))
    if cut <= 512:
        with pytest.raises(DatasetError, match="no image"):
            scan(dataset, tmp_path / "scan.cache")
        return
    found = scan(dataset, tmp_path / "scan.cache")
    assert found.values.tolist()[0] == [10, 20]
    assert found.source["corrupt"] == 1
    assert "(from byte" in found.skipped[0]
    with pytest.raises(DatasetError, match="could not be measured"):
        scan(DatasetSpec(path=str(path), strict=True), tmp_path / "scan.cache")


def test_sizes_that_lie(image: Callable[[int, int], bytes], tmp_path: Path) -> None:
    """Sizes beyond the file, below zero, and of names longer than any: the shard ends there, at once."""
    picture = image(10, 20)
    for kind, size in ((b"0", 1 << 60), (b"0", -512), (b"L", 1 << 40), (b"x", 1 << 40), (b"S", 512)):
        member = tarfile.TarInfo("b.png")
        member.type = kind
        header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
        header[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
        header[148:156] = b"%06o\0 " % tarfile.calc_chksums(bytes(header))[0]
        write_tar(tmp_path / "0.tar", [("a.png", picture)])
        whole = (tmp_path / "0.tar").read_bytes()
        end = 512 + -(-len(picture) // 512) * 512
        (tmp_path / "0.tar").write_bytes(whole[:end] + bytes(header) + bytes(2048))
        found = scan(DatasetSpec(path=str(tmp_path / "0.tar")), tmp_path / "scan.cache")
        assert found.values.tolist() == [[10, 20]]
        assert found.source["skipped"] >= 1


@pytest.mark.parametrize("record", [b"0 path=x\n", b"99999 path=x\n", b"x", b"9 size=-1\n", b"12 size=abc\n"])
def test_attributes_that_lie(record: bytes, image: Callable[[int, int], bytes], tmp_path: Path) -> None:
    extended = tarfile.TarInfo("attributes")
    extended.type, extended.size = tarfile.XHDTYPE, len(record)
    write_tar(tmp_path / "0.tar", [("a.png", image(10, 20))])
    whole = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(extended.tobuf() + record.ljust(512, b"\0") + whole)
    with pytest.raises(DatasetError, match=r"no image in it \(1 other"):
        scan(DatasetSpec(path=str(tmp_path / "0.tar")), tmp_path / "scan.cache")


@pytest.mark.parametrize("seed", range(200))
def test_spoiled_tars_end_and_tell_sizes_or_nothing(
    seed: int, image: Callable[[int, int], bytes], tmp_path: Path
) -> None:
    random = Random(seed)
    form = random.choice(FORMS)
    name = "m" * (90 if form == tarfile.USTAR_FORMAT else 180) + ".png"
    write_tar(tmp_path / "0.tar", [("a.png", image(10, 20)), (name, image(3, 4))], form)
    content = bytearray((tmp_path / "0.tar").read_bytes())
    for _ in range(random.randrange(1, 6)):
        content[random.randrange(min(len(content), 3000))] = random.randrange(256)
    found = tar_members.read_members(io.BytesIO(bytes(content)))
    assert len(found.names) <= len(content) // 512
    assert len(found.names) == len(found.sizes) == len(found.heights) == len(found.widths)


@pytest.mark.parametrize(
    ("path", "what"),
    [("nothing/{0..3}.tar", "No such file"), ("{0..99999999}.tar", "more than"), ("empty", "there is no image")],
)
def test_no_shards(path: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=what):
        scan(DatasetSpec(path=str(tmp_path / path)), tmp_path / "scan.cache")
    with pytest.raises(DatasetError, match="there is no shard"):
        scan(DatasetSpec(path=str(tmp_path / "empty"), format="shards"), tmp_path / "scan.cache")


def test_a_tar_among_images_is_one_more_file(
    make_image: Callable[..., Path], image: Callable[[int, int], bytes], tmp_path: Path
) -> None:
    make_image(tmp_path / "images/a.png", 10, 20)
    write_tar(tmp_path / "images/0.tar", [("b.png", image(30, 40))])
    assert measure(tmp_path, tmp_path / "images").values.tolist() == [[10, 20]]
