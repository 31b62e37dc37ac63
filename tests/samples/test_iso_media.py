"""HEIF and AVIF: sizes as images are shown, also turned ones."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from PIL import Image

from scaling_tasks.samples.headers import Fault, probe


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def heic(path: Path, width: int, height: int, quarters: int, *, wide: bool = False) -> Path:
    """Write what describes a picture of a telephone: tiles of 512 and a grid of them, which is turned."""
    tile = _box(b"ispe", bytes(4), struct.pack(">II", 512, 512))
    whole = _box(b"ispe", bytes(4), struct.pack(">II", width, height))
    turn = _box(b"irot", bytes([quarters]))
    form = ">H" if wide else ">B"

    def item(number: int, *properties: int) -> bytes:
        return struct.pack(">HB", number, len(properties)) + b"".join(struct.pack(form, one) for one in properties)

    links = _box(b"ipma", bytes([0, 0, 0, int(wide)]), struct.pack(">I", 2), item(1, 1), item(49, 2, 3))
    meta = _box(
        b"meta", bytes(4),
        _box(b"pitm", bytes(4), struct.pack(">H", 49)),
        _box(b"iprp", _box(b"ipco", tile, whole, turn), links),
    )  # fmt: skip
    path.write_bytes(_box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta + _box(b"mdat", bytes(100)))
    return path


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("quarters", "shown"), [(0, (3024, 4032)), (1, (4032, 3024)), (2, (3024, 4032)), (3, (4032, 3024))]
)
def test_a_picture_of_a_telephone_is_as_it_is_shown(tmp_path: Path, quarters: int, shown: tuple[int, int], wide: bool):
    assert probe(str(heic(tmp_path / "a.heic", 4032, 3024, quarters, wide=wide))) == shown


@pytest.mark.parametrize(
    ("orientation", "shown"), [(1, (64, 96)), (3, (64, 96)), (6, (96, 64)), (8, (96, 64)), (5, (96, 64))]
)
def test_an_encoder_that_writes_the_orientation_as_a_box(tmp_path: Path, orientation: int, shown: tuple[int, int]):
    exif = Image.Exif()
    exif[0x112] = orientation
    path = tmp_path / "a.avif"
    Image.new("RGB", (96, 64)).save(path, exif=exif.tobytes())
    assert probe(str(path)) == shown


def test_a_picture_that_is_cut_off_is_corrupt(tmp_path: Path):
    path = heic(tmp_path / "a.heic", 4032, 3024, 1)
    for length in (30, 60, 120):
        cut = tmp_path / f"{length}.heic"
        cut.write_bytes(path.read_bytes()[:length])
        assert probe(str(cut)) == (0, int(Fault.CORRUPT))
