"""Images and boxes as samples by which nncase chooses its quantisation."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_tasks.compilers.nncase import NncaseBackend
from scaling_tasks.compilers.nncase_calibration import calibration_samples
from scaling_tasks.errors import CompileError


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    from PIL import Image

    directory = tmp_path / "pictures" / "deep"
    directory.mkdir(parents=True)
    Image.new("RGB", (100, 50), (255, 0, 0)).save(directory / "wide.png")
    return directory.parent


def test_images_are_scaled_into_the_bucket_normalised_and_padded(pictures: Path):
    options = {"options": {"calibration": str(pictures)}}
    (sample,) = calibration_samples(options, {"x": (1, 3, 16, 24)}, {"x": "float32"})
    assert sample["x"].shape == (1, 3, 16, 24)
    assert sample["x"][0, :, :12].reshape(3, -1).T.tolist() == [[1.0, -1.0, -1.0]] * (12 * 24)  # 100x50 becomes 24x12
    assert not sample["x"][0, :, 12:].any()
    own = {"calibration": str(pictures), "calibration_mean": 0, "calibration_std": 1, "calibration_bgr": True}
    (last,) = calibration_samples({"options": own}, {"x": (1, 8, 16, 3)}, {"x": "float32"})
    assert last["x"][0, 3, 5].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("shapes", [{"x": (1, 16)}, {"x": (1, 3, 8, 8), "y": (1, 3, 8, 8)}, {"x": (1, 7, 8, 8)}])
def test_images_for_an_input_that_is_none_are_refused(pictures: Path, shapes):
    with pytest.raises(CompileError, match=r"wide\.png: an image cannot fill the inputs"):
        calibration_samples({"options": {"calibration": str(pictures)}}, shapes, dict.fromkeys(shapes, "float32"))


def test_boxes_of_an_annotation_are_cut_out_upright(pictures: Path):
    from PIL import Image

    image = Image.new("RGB", (40, 40), (0, 0, 255))
    image.paste((255, 0, 0), (10, 5, 30, 15))  # 20 wide, 10 high, lying
    image.save(pictures / "page.png")
    upright = [[10, 5], [30, 5], [30, 15], [10, 15]]
    turned = [[30, 5], [30, 15], [10, 15], [10, 5]]  # read downwards: 10 wide, 20 high
    lines = [f'page.png\t[{{"transcription": "a", "points": {box}}}]' for box in (upright, turned)]
    (pictures / "gt.txt").write_text("\n".join(lines))
    options = {"options": {"calibration": str(pictures / "gt.txt")}}
    first, second = calibration_samples(options, {"x": (1, 3, 20, 40)}, {"x": "float32"})
    for sample, (height, width) in ((first, (20, 40)), (second, (20, 10))):
        inside = sample["x"][0, :, 1 : height - 1, 1 : width - 1].reshape(3, -1)
        assert (inside.T == [1.0, -1.0, -1.0]).all()
        assert not sample["x"][0, :, :, width:].any()
    files = NncaseBackend().input_files(options)
    assert files == (pictures / "gt.txt", pictures / "page.png")


def test_what_is_neither_files_nor_boxes_is_named(pictures: Path):
    (pictures / "gt.txt").write_text("no boxes here")
    for path, message in ((pictures / "gt.txt", "no directory and no det annotation"), (pictures / "x", "cannot be")):
        with pytest.raises(CompileError, match=f"compile.options.calibration: .*{message}"):
            calibration_samples({"options": {"calibration": str(path)}}, {"x": (1, 3, 8, 8)}, {"x": "float32"})


def test_a_broken_image_is_named(pictures: Path):
    (pictures / "bad.jpg").write_bytes(b"no image")
    with pytest.raises(CompileError, match=r"bad\.jpg: is no readable image"):
        calibration_samples({"options": {"calibration": str(pictures)}}, {"x": (1, 3, 8, 8)}, {"x": "float32"})


@pytest.mark.parametrize(
    "boxes", ["[" * 20_000, "{}", '[{"points": 3}]', '[{"points": [[NaN, 0], [9, 0], [9, 9], [0, 9]]}]']
)
def test_an_annotation_that_is_none_is_one_error(pictures: Path, boxes: str):
    path = pictures / "deep/gt.txt"
    path.write_text(f"wide.png\t{boxes}\n")
    with pytest.raises(CompileError, match=r"no det annotation|no readable image"):
        calibration_samples({"options": {"calibration": str(path)}}, {"x": (1, 3, 16, 24)}, {"x": "float32"})


def test_a_damaged_image_is_one_error(pictures: Path):
    (pictures / "deep/wide.png").write_bytes((pictures / "deep/wide.png").read_bytes()[:60])
    with pytest.raises(CompileError, match="no readable image"):
        calibration_samples({"options": {"calibration": str(pictures)}}, {"x": (1, 3, 16, 24)}, {"x": "float32"})
