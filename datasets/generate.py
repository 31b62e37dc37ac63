"""Generate the example's data set: images of receipts, pages and labels in many sizes, and their det annotation.

``python datasets/generate.py`` writes, beside this file,

- ``receipts/images/*.jpg`` and ``*.png``,
- ``receipts/det_gt.txt``, one line per image in PaddleOCR's det label format:
  ``file<TAB>[{"transcription": text, "points": [[x, y], [x, y], [x, y], [x, y]]}, ...]``, corners clockwise from the
  top left of the text as it is read, in pixels of the image as it is displayed (EXIF orientation applied),
- ``receipts/text_gt.txt``, the first lines of that: few enough to score a model's accuracy on in every build.

Everything follows from the seed: the same Pillow release gives the same bytes on every run. The font is the one inside
Pillow, so nothing is downloaded.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image, ImageChops, ImageDraw, ImageFont
from wording import Cell, Row, label_rows, page_rows, receipt_rows

from scaling_tasks.files import write_if_changed

__all__ = ["ANNOTATION", "COUNT", "IMAGES", "LABELLED", "Page", "TextLine", "generate", "pages"]

SEED = 20240613
COUNT = 60
IMAGES, ANNOTATION, LABELLED = "images", "det_gt.txt", "text_gt.txt"
LABELLED_COUNT = 12
_ORIENTATION_TAG = 0x0112
# EXIF orientation -> how the displayed picture must be turned to be stored.
_STORED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
Point = tuple[int, int]


@dataclass(frozen=True)
class TextLine:
    """One line of text and the corners of its box, clockwise from the top left, in pixels."""

    text: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Page:
    """One image as it is stored, with its text lines in displayed coordinates.

    Attributes:
        name: File name.
        content: The encoded image.
        lines: Its text lines.
    """

    name: str
    content: bytes
    lines: tuple[TextLine, ...]


@dataclass(frozen=True)
class _Layout:
    """What is to be drawn: the size in pixels, the size of the type, and the rows of text."""

    width: int
    height: int
    type_size: int
    rows: list[Row]


def pages(count: int = COUNT, seed: int = SEED) -> Iterator[Page]:
    """Yield the data set's images. Each has a generator of its own, so that one does not depend on another."""
    for index in range(count):
        # The kinds take turns, so that any first part of the data set is a fair sample of the whole.
        rng = Random(seed * 1000 + index)
        layout = (_receipt, _page, _receipt, _label)[index % 4](rng)
        yield _render(index, layout, rng)


def generate(directory: Path, count: int = COUNT, seed: int = SEED) -> int:
    """Make ``directory`` hold the data set and return the number of text lines.

    Files that are right already are left alone, so that nothing made from them looks outdated; other images go.
    """
    images = directory / IMAGES
    annotation: dict[str, str] = {}
    boxes = 0
    for page in pages(count, seed):
        write_if_changed(images / page.name, page.content, below=images)
        annotation[page.name] = _annotation(page)
        boxes += len(page.lines)
    for path in images.iterdir():
        if path.name not in annotation:
            path.unlink()
    # The annotation comes last: where it is, the images are complete.
    lines = [f"{name}\t{labels}\n" for name, labels in annotation.items()]
    write_if_changed(directory / LABELLED, "".join(lines[:LABELLED_COUNT]).encode(), below=directory)
    write_if_changed(directory / ANNOTATION, "".join(lines).encode(), below=directory)
    return boxes


def _annotation(page: Page) -> str:
    return json.dumps([{"transcription": line.text, "points": line.points} for line in page.lines])


def _receipt(rng: Random) -> _Layout:
    width = rng.randint(300, 760)
    height = min(1600, round(width * rng.uniform(1.2, 3.0)))
    size = max(16, width // rng.randint(20, 28))
    return _Layout(width, height, size, receipt_rows(rng, _row_count(height, size)))


def _page(rng: Random) -> _Layout:
    short, ratio = rng.randint(500, 1130), rng.choice((1.2, 1.33, math.sqrt(2)))
    width, height = (short, round(short * ratio)) if rng.random() < 0.6 else (round(short * ratio), short)
    size = rng.randint(18, 30)
    # A character is about half as wide as the type is high; very long lines are not what OCR models are trained on.
    characters = min(rng.randint(24, 60), round(0.85 * width / (0.5 * size)))
    # A page is seldom filled to the bottom.
    rows = round(_row_count(height, size) * rng.uniform(0.4, 1))
    return _Layout(width, height, size, page_rows(rng, rows, characters))


def _label(rng: Random) -> _Layout:
    width, height = rng.randint(300, 900), rng.randint(300, 700)
    size = min(width // 10, rng.randint(28, 64))
    return _Layout(width, height, size, label_rows(rng, rng.randint(1, max(1, _row_count(height, size)))))


def _row_count(height: int, size: int) -> int:
    return max(1, int((height - 2 * size) / (1.5 * size)))


def _render(index: int, layout: _Layout, rng: Random) -> Page:
    """Draw, wear and encode one image."""
    ink = Image.new("L", (layout.width, layout.height), 0)
    lines = list(_draw(ImageDraw.Draw(ink), layout))
    # A picture in two is photographed a little askew.
    angle = rng.uniform(-1.2, 1.2) if rng.random() < 0.5 else 0.0
    ink = ink.rotate(angle, Image.Resampling.BICUBIC)
    turned = (TextLine(line.text, _turn(line.points, ink.size, angle)) for line in lines)
    kept = tuple(line for line in turned if _inside(line.points, ink.size))
    paper = Image.new("RGB", ink.size, tuple(rng.randint(215, 255) for _ in range(3)))
    dark = rng.randint(0, 90)
    paper.paste((dark, dark, min(255, dark + rng.randint(0, 30))), mask=ink)
    # Every fifth image is lossless and clean, as a screenshot is; the others are photographs.
    return _lossless(index, paper, kept) if index % 5 == 4 else _photograph(index, paper, kept, rng)


def _draw(canvas: ImageDraw.ImageDraw, layout: _Layout) -> Iterator[TextLine]:
    """Draw the rows from the top down; a cell that would overlap its neighbour or leave the image is left out."""
    font = _font(layout.type_size)
    margin = layout.type_size
    for number, row in enumerate(layout.rows):
        baseline = margin + round((1.5 * number + 1) * layout.type_size)
        free = layout.width - 2 * margin
        for cell in row:
            length = math.ceil(font.getlength(cell.text))
            if length > free:
                continue
            free -= length + margin
            left = _left_edge(cell, length, layout.width, margin)
            canvas.text((left, baseline), cell.text, fill=255, font=font, anchor="ls")
            yield TextLine(cell.text, _box(left, baseline, length, layout.type_size))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("this Pillow is built without FreeType; install one of its wheels")
    # The basic layout engine, because the other one depends on libraries of the system.
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)


def _left_edge(cell: Cell, length: int, width: int, margin: int) -> int:
    return {"left": margin, "centre": (width - length) // 2, "right": width - margin - length}[cell.align]


def _box(left: int, baseline: int, length: int, size: int) -> tuple[Point, ...]:
    """Return the box of a line: from above its tallest to below its deepest letter, with a little air."""
    top, bottom = baseline - round(0.86 * size), baseline + round(0.3 * size)
    right, left = left + length + size // 8, left - size // 8
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def _turn(points: tuple[Point, ...], size: tuple[int, int], angle: float) -> tuple[Point, ...]:
    """Return ``points`` where Pillow's ``rotate`` takes them: counter-clockwise in degrees about the centre."""
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x0, y0 = size[0] / 2, size[1] / 2
    return tuple(
        (round(x0 + (x - x0) * cosine + (y - y0) * sine), round(y0 - (x - x0) * sine + (y - y0) * cosine))
        for x, y in points
    )


def _inside(points: tuple[Point, ...], size: tuple[int, int]) -> bool:
    return all(0 <= x < size[0] and 0 <= y < size[1] for x, y in points)


def _lossless(index: int, image: Image.Image, lines: tuple[TextLine, ...]) -> Page:
    return Page(f"{index:03d}.png", _encode(image, format="PNG"), lines)


def _photograph(index: int, image: Image.Image, lines: tuple[TextLine, ...], rng: Random) -> Page:
    """Add grain, and store every sixth image turned, with the EXIF tag that turns it back."""
    image = _grain(image, rng.randint(0, 14), rng)
    exif = Image.Exif()
    if index % 6 == 0:
        orientation = rng.choice(sorted(_STORED))
        image = image.transpose(_STORED[orientation])
        exif[_ORIENTATION_TAG] = orientation
    return Page(f"{index:03d}.jpg", _encode(image, format="JPEG", quality=rng.randint(70, 92), exif=exif), lines)


def _grain(image: Image.Image, strength: int, rng: Random) -> Image.Image:
    """Add noise, uniform over ±``strength`` grey levels and equal in all channels."""
    noise = Image.frombytes("L", image.size, rng.randbytes(image.width * image.height))
    noise = noise.point([round(value * 2 * strength / 255) for value in range(256)])
    return ImageChops.add(image, Image.merge("RGB", (noise,) * 3), offset=-strength)


def _encode(image: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def _main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    default = Path(__file__).parent / "receipts"
    parser.add_argument(
        "directory", nargs="?", type=Path, default=default, help="where to write (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=COUNT, help="number of images (default: %(default)s)")
    arguments = parser.parse_args()
    generate(arguments.directory, arguments.count)


if __name__ == "__main__":
    _main()
