"""Headers of images of every format."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

from scaling_tasks.samples.headers import Fault, probe
from tests.fuzz.mutations import binary_numbers
from tests.fuzz.reader import Reader, anything


def heic(width: int, height: int) -> bytes:
    """Return what describes a picture of a telephone: tiles of 512 and a grid of them, which is turned."""

    def box(kind: bytes, *parts: bytes) -> bytes:
        body = b"".join(parts)
        return struct.pack(">I4s", 8 + len(body), kind) + body

    sizes = [box(b"ispe", bytes(4), struct.pack(">II", *size)) for size in ((512, 512), (width, height))]
    links = box(
        b"ipma", bytes(4), struct.pack(">I", 2), struct.pack(">HBB", 1, 1, 1), struct.pack(">HBBB", 49, 2, 2, 3)
    )
    meta = box(
        b"meta", bytes(4),
        box(b"pitm", bytes(4), struct.pack(">H", 49)),
        box(b"iprp", box(b"ipco", *sizes, box(b"irot", bytes([1]))), links),
    )  # fmt: skip
    return box(b"ftyp", b"heic", bytes(4), b"mif1heic") + meta + box(b"mdat", bytes(100))


def _make(directory: Path) -> list[Path]:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    paths = []
    for suffix in ("jpg", "png", "gif", "bmp", "webp", "tif", "ppm", "jp2", "avif"):
        buffer = io.BytesIO()
        options = {"exif": exif.tobytes()} if suffix in ("jpg", "png", "webp", "avif", "tif") else {}
        Image.new("RGB", (91, 37), (10, 20, 30)).save(buffer, _FORMATS.get(suffix, suffix), **options)
        paths.append(directory / f"image.{suffix}")
        paths[-1].write_bytes(buffer.getvalue())
    paths.append(directory / "image.heic")
    paths[-1].write_bytes(heic(4032, 3024))
    return paths


_FORMATS = {"jpg": "JPEG", "tif": "TIFF", "jp2": "JPEG2000"}


def _read(directory: Path) -> Any:
    # As the listing of a folder has it: what is no regular file is not opened.
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    found = {name: probe(str(directory / name)) for name in names}
    for height, width in found.values():
        assert (0 < height <= 1 << 24 and 0 < width <= 1 << 24) or (height == 0 and width in list(Fault)), found
    return found


_WORDS = (
    b"\xff\xd8\xff", b"\xff" * 70_000, b"IHDR", b"eXIf", b"IDAT", b"VP8X", b"EXIF", b"RIFF", b"MM\0*", b"II*\0",
    b"\x01\x12\0\x03", b"meta", b"ispe", b"irot", b"ipma", b"jP  ", b"P6\n#" + b"x" * 70_000, b"\xff\xe1\xff\xff",
)  # fmt: skip
READERS = (Reader("images", _make, _read, allowed=anything, mutators=(binary_numbers,) * 4, words=_WORDS, share=3),)
