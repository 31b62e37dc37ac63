"""Image sizes from headers: equal to what Pillow shows, and never an exception on damaged files."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.samples.headers import Fault, probe

pytest.importorskip("PIL")
from PIL import Image, ImageOps

MakeImage = Callable[..., Path]

FORMATS = ["jpg", "png", "gif", "bmp", "webp", "tif", "ppm", "jp2"]


def shown_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        turned = ImageOps.exif_transpose(image)
        return turned.height, turned.width


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("orientation", [None, 1, 2, 3, 4, 5, 6, 7, 8])
def test_size_is_the_one_shown(suffix: str, orientation: int | None, tmp_path: Path, make_image: MakeImage) -> None:
    path = make_image(tmp_path / f"image.{suffix}", 37, 91, orientation=orientation)
    assert probe(str(path)) == shown_size(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_large_metadata_before_the_size(suffix: str, tmp_path: Path, make_image: MakeImage) -> None:
    profile = random.Random(5).randbytes(230_000)
    path = make_image(tmp_path / f"image.{suffix}", 50, 60, orientation=6, icc_profile=profile)
    assert path.stat().st_size > 200_000
    assert probe(str(path)) == (60, 50)


@pytest.mark.parametrize("options", [{"progressive": True}, {"optimize": True}, {"quality": 5}])
def test_jpeg_variants(options: dict[str, object], tmp_path: Path, make_image: MakeImage) -> None:
    assert probe(str(make_image(tmp_path / "image.jpg", 33, 44, **options))) == (33, 44)


def test_lossless_webp(tmp_path: Path, make_image: MakeImage) -> None:
    assert probe(str(make_image(tmp_path / "image.webp", 333, 1444, lossless=True))) == (333, 1444)


def test_bmp_with_rows_from_the_top(tmp_path: Path) -> None:
    path = tmp_path / "image.bmp"
    path.write_bytes(struct.pack("<2sIII Iii 28x", b"BM", 100, 0, 54, 40, 20, -10))
    assert probe(str(path)) == (10, 20)


def test_padded_jpeg_markers(tmp_path: Path, make_image: MakeImage) -> None:
    path = make_image(tmp_path / "image.jpg", 21, 22)
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff" * 5000 + content[2:])
    assert probe(str(path)) == (21, 22)


def test_pixels_may_be_missing(tmp_path: Path, make_image: MakeImage) -> None:
    path = make_image(tmp_path / "image.jpg", 400, 500)
    path.write_bytes(path.read_bytes()[:700])
    assert probe(str(path)) == (400, 500)


@pytest.mark.parametrize("content", [b"", b"hello, world", b"%PDF-1.4", b"BMW is a car and not a bitmap", b"P1ease"])
def test_other_files_are_not_images(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    assert probe(str(path)) == (0, Fault.NOT_AN_IMAGE)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tif"])
def test_damaged_headers(suffix: str, tmp_path: Path, make_image: MakeImage) -> None:
    path = make_image(tmp_path / f"image.{suffix}", 37, 91)
    path.write_bytes(path.read_bytes()[: 8 if suffix == "gif" else 18])
    assert probe(str(path)) in ((0, Fault.CORRUPT), (0, Fault.NOT_AN_IMAGE))


def test_jpeg_with_a_side_of_zero(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 0, 100) + b"\x03" + bytes(20))
    assert probe(str(path)) == (0, Fault.CORRUPT)


def test_absent_file(tmp_path: Path) -> None:
    assert probe(str(tmp_path / "absent.jpg")) == (0, Fault.UNREADABLE)


STARTS = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"BM",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"II*\0",
    b"P5\n",
    b"",
]


@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=300))
def test_no_file_raises(start: bytes, rest: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(start + rest)
    found = probe(str(path))
    assert (found[0] > 0 and found[1] > 0) or (found[0] == 0 and found[1] in list(Fault))
