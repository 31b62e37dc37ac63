"""Image sizes from headers: equal to what Pillow shows, and never an exception on damaged files."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.samples.header_file import HEAD_BYTES, MOST_HEADER_BYTES
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


def _tiff(*entries: tuple[int, int, int, int], next_directory: int = 8) -> bytes:
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + struct.pack("<I", next_directory)


_PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 91, 37, 8, 2, 0, 0, 0) + bytes(4)
_WEBP = b"RIFF\xff\xff\xff\xffWEBPVP8X" + struct.pack("<IB3xHBHB", 10, 8, 90, 0, 36, 0)
_FTYP = struct.pack(">I4s4sI", 16, b"ftyp", b"heic", 0)
HOSTILE = {
    "sparse PNG": _PNG + struct.pack(">I4s", 0x7FFFFFFF, b"iTXt"),
    "PNG of empty chunks": _PNG + struct.pack(">I4sI", 0, b"tEXt", 0) * 200_000,
    "PNG whose EXIF claims 2 GiB": _PNG + struct.pack(">I4s", 1 << 31, b"eXIf") + b"MM\0*" + bytes(100),
    "sparse WebP": _WEBP + b"ALPH" + struct.pack("<I", 0xFFFFFFFE),
    "WebP of empty chunks": _WEBP + (b"ANMF" + bytes(4)) * 400_000,
    "WebP whose EXIF claims 2 GiB": _WEBP + b"EXIF" + struct.pack("<I", 1 << 31) + b"II*\0",
    "JPEG of 0xFF": b"\xff\xd8" + b"\xff" * (3 << 20),
    "JPEG of shortest segments": b"\xff\xd8" + b"\xff\xfe\0\2" * (1 << 19),
    "JPEG of a segment without a length": b"\xff\xd8\xff\xfe\0\0" + b"\xff\xfe\0\0" * 1000,
    "PPM with a comment": b"P6\n#" + b"x" * (3 << 20) + b"\n91 37\n255\n",
    "PPM of comments": b"P6\n" + b"#\n" * (3 << 19) + b"91 37\n255\n",
    "PPM of a long number": b"P6\n91 " + b"9" * 5000 + b"\n255\n",
    "TIFF of many entries": b"II*\0" + struct.pack("<IH", 8, 65535) + bytes(1000),
    "TIFF that begins nowhere": b"II*\0" + struct.pack("<I", 0xFFFFFFF0),
    "TIFF in a circle": _tiff((254, 4, 1, 0), (330, 4, 1, 8)),
    "BigTIFF of many entries": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 63),
    "HEIF box of 0": _FTYP + struct.pack(">I4s", 0, b"free") + bytes(100),
    "HEIF box of 1": _FTYP + struct.pack(">I4sQ", 1, b"free", 1),
    "HEIF box of 2^63": _FTYP + struct.pack(">I4sQ", 1, b"free", 1 << 63) + bytes(100),
    "HEIF box of 2^64": _FTYP + struct.pack(">I4sQ", 1, b"meta", (1 << 64) - 1) + bytes(100),
    "HEIF of empty boxes": _FTYP + struct.pack(">I4s", 8, b"free") * 400_000,
    "JPEG 2000 box of 2^63": b"\0\0\0\x0cjP  \r\n\x87\n" + struct.pack(">I4sQ", 1, b"jp2h", 1 << 63),
    "GIF cut off": b"GIF89a\x05",
    "BMP cut off": b"BM" + bytes(12) + b"\x28\0\0\0\x05",
    "PNG with a side of 2^31": _PNG[:16] + struct.pack(">II", 1 << 31, 1) + bytes(30),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_of_no_file_more_is_read_than_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And in few steps, also where it goes on for a terabyte."""
    read: list[int] = []
    pread = os.pread

    def spy(descriptor: int, length: int, position: int) -> bytes:
        found = pread(descriptor, length, position)
        read.append(len(found))
        assert length <= MOST_HEADER_BYTES
        return found

    monkeypatch.setattr(os, "pread", spy)
    path = tmp_path / "image"
    for size in (None, 1 << 40):
        path.write_bytes(HOSTILE[name])
        if size:
            os.truncate(path, size)
        found = probe(str(path))
        assert found in ((0, Fault.CORRUPT), (37, 91))
        assert sum(read) <= MOST_HEADER_BYTES + HEAD_BYTES
        assert len(read) <= MOST_HEADER_BYTES // 64
        read.clear()
