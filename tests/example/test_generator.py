"""The example's data set: the same bytes each time, true boxes, and sizes worth planning for."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

ORIENTATION = 0x0112
# Grain and JPEG stay within this of the paper; ink is far darker.
CLEARLY_DARKER = 60


@dataclass(frozen=True)
class Labelled:
    """One generated image as it is displayed, grey levels [h, w], with its boxes."""

    name: str
    grey: NDArray[np.uint8]
    turned: bool
    boxes: list[dict[str, Any]]

    def corners(self) -> NDArray[np.int64]:
        return np.array([box["points"] for box in self.boxes])


@pytest.fixture(scope="module")
def directory(generator: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("receipts")
    generator.generate(directory)
    return directory


@pytest.fixture(scope="module")
def images(directory: Path) -> list[Labelled]:
    lines = (directory / "det_gt.txt").read_text(encoding="utf-8").splitlines()
    return [_labelled(directory / "images", *line.split("\t")) for line in lines]


def _labelled(images: Path, name: str, boxes: str) -> Labelled:
    from PIL import Image, ImageOps

    with Image.open(images / name) as image:
        grey = np.asarray(ImageOps.exif_transpose(image).convert("L"))
        return Labelled(name, grey, ORIENTATION in image.getexif(), json.loads(boxes))


def _contents(directory: Path) -> dict[str, bytes]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def test_the_labelled_part_is_the_first_of_the_annotation(directory: Path) -> None:
    whole, part = ((directory / name).read_text(encoding="utf-8") for name in ("det_gt.txt", "text_gt.txt"))
    assert whole.startswith(part)
    assert 0 < len(part.splitlines()) < len(whole.splitlines())


def test_every_run_gives_the_same_bytes(repository: Path, generator: ModuleType, tmp_path: Path) -> None:
    for hash_seed in ("1", "2"):
        command = [sys.executable, repository / "datasets/generate.py", tmp_path / hash_seed, "--count", "8"]
        subprocess.run(command, check=True, cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": hash_seed})
    first, second = _contents(tmp_path / "1"), _contents(tmp_path / "2")
    assert first == second
    assert len(first) == 10  # eight images and two annotations


def test_an_image_does_not_depend_on_those_before_it(generator: ModuleType, directory: Path, tmp_path: Path) -> None:
    generator.generate(tmp_path, count=6)
    part = _contents(tmp_path / "images")
    whole = _contents(directory / "images")
    assert len(part) == 6
    assert part.items() <= whole.items()


def test_another_seed_gives_other_images(generator: ModuleType) -> None:
    ours, theirs = (list(generator.pages(4, seed)) for seed in (1, 2))
    assert not {page.content for page in ours} & {page.content for page in theirs}


def test_a_second_run_leaves_right_files_alone_and_mends_the_rest(generator: ModuleType, tmp_path: Path) -> None:
    generator.generate(tmp_path, count=3)
    before = _contents(tmp_path)
    for path in tmp_path.rglob("*.*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    damaged = tmp_path / "images/001.jpg"
    damaged.write_bytes(damaged.read_bytes()[:100])
    (tmp_path / "images/999.png").write_bytes(b"from an earlier seed")
    generator.generate(tmp_path, count=3)
    assert _contents(tmp_path) == before
    rewritten = {path.name for path in tmp_path.rglob("*.*") if path.stat().st_mtime > 1_000_000_000}
    assert rewritten == {"001.jpg"}


def test_annotation_names_every_image_once(generator: ModuleType, directory: Path, images: list[Labelled]) -> None:
    names = [image.name for image in images]
    assert names == sorted(path.name for path in (directory / "images").iterdir())
    assert len(names) == generator.COUNT
    assert all(image.boxes for image in images)
    assert all(box["transcription"].strip() for image in images for box in image.boxes)


def test_boxes_are_clockwise_and_inside_their_image(images: list[Labelled]) -> None:
    for image in images:
        corners = image.corners()
        height, width = image.grey.shape
        assert corners.shape == (len(image.boxes), 4, 2)
        assert (corners >= 0).all(), image.name
        assert (corners < (width, height)).all(), image.name
        right, down = corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
        assert (right[:, 0] > 0).all(), image.name
        assert (right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0] > 0).all(), image.name


def test_every_box_holds_ink_and_all_ink_is_in_a_box(images: list[Labelled]) -> None:
    for image in images:
        ink = image.grey < np.median(image.grey) - CLEARLY_DARKER
        uncovered = ink.copy()
        for left, top, right, bottom in _extents(image.corners()):
            assert ink[top:bottom, left:right].any(), (image.name, left, top)
            uncovered[top:bottom, left:right] = False
        assert not uncovered.any(), image.name


def _extents(corners: NDArray[np.int64]) -> list[list[int]]:
    # Two pixels of tolerance: corners are rounded, and smoothing spreads the ink.
    low, high = corners.min(axis=1) - 2, corners.max(axis=1) + 2
    return np.concatenate([low.clip(min=0), high], axis=1).tolist()  # type: ignore[no-any-return]


def test_boxes_of_a_level_image_do_not_overlap(images: list[Labelled]) -> None:
    level = [image for image in images if (image.corners()[:, 0, 1] == image.corners()[:, 1, 1]).all()]
    assert len(level) >= 10
    for image in level:
        rectangles = np.concatenate([image.corners()[:, 0], image.corners()[:, 2]], axis=1).tolist()
        for a, b in itertools.combinations(rectangles, 2):
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], image.name


def test_sizes_are_many_and_far_apart(images: list[Labelled]) -> None:
    heights, widths = np.array([image.grey.shape for image in images]).T
    assert min(heights.min(), widths.min()) >= 300
    assert max(heights.max(), widths.max()) in range(1400, 1601)
    assert len({image.grey.shape for image in images}) >= 50
    assert (heights > 1.3 * widths).sum() >= 10
    assert (widths > 1.3 * heights).sum() >= 10


def test_lines_are_many_and_of_all_lengths(images: list[Labelled]) -> None:
    counts = [len(image.boxes) for image in images]
    assert min(counts) <= 2
    assert max(counts) >= 64
    corners = np.concatenate([image.corners() for image in images])
    sides = np.linalg.norm(corners[:, (1, 3)] - corners[:, (0,)], axis=2)
    widths = 48 * sides[:, 0] / sides[:, 1]
    assert widths.max() >= 12 * widths.min()
    assert len(np.unique((widths // 32).astype(int))) >= 25


def test_files_are_mixed_and_small(directory: Path, images: list[Labelled]) -> None:
    suffixes = [Path(image.name).suffix for image in images]
    assert suffixes.count(".jpg") >= 30
    assert suffixes.count(".png") >= 10
    assert 3 <= sum(image.turned for image in images) <= 15
    assert sum(map(len, _contents(directory).values())) < 15_000_000
