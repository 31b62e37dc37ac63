"""Padding to buckets costs no accuracy: the bundle of ``ppocr_rec`` on real receipts against the original model."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import scaling_tasks as st
from tests.accuracy.ocr import LabelledCrop, decode, labelled_crops, same_text

REPOSITORY = Path(__file__).resolve().parents[2]
# Of 802 lines, none may be lost by padding that changes nothing; one in a thousand by rounding.
ALLOWED_DROP = 0.001
# What is padded is cleaned: what is left are lines where two characters are equally likely to rounding.
LEAST_IDENTICAL = 0.999
# `SCALING_TASKS_TEST_ALL=1 pytest -s tests/accuracy` reads every page; every second one takes half the time.
ALL_RECEIPTS = bool(os.environ.get("SCALING_TASKS_TEST_ALL"))


@pytest.fixture(scope="module")
def crops(data_dir: Path) -> list[LabelledCrop]:
    pytest.importorskip("cv2", reason="OpenCV comes with the extra 'example'")
    found = labelled_crops(data_dir / "sroie/images", data_dir / "sroie/text_gt.txt")
    pages = sorted({crop.file for crop in found})[:: 1 if ALL_RECEIPTS else 2]
    return [crop for crop in found if crop.file in pages]


@pytest.fixture(scope="module")
def bundle(data_dir: Path, ocr_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the example's target ``ppocr_rec`` for the widths of all 313 receipts, as a user would."""
    pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
    repository = tmp_path_factory.mktemp("receipts")
    target = yaml.safe_load((REPOSITORY / "configs/ppocr_rec.yaml").read_text())
    target["model"] = str(ocr_models / "ch_PP-OCRv4_rec_infer.onnx")
    target["dataset"]["path"] = str(data_dir / "sroie/det_gt.txt")
    del target["verify"]  # Its labelled lines are the example's own; here the test scores real ones.
    (repository / "configs").mkdir()
    (repository / "configs/ppocr_rec.yaml").write_text(yaml.safe_dump(target))
    (repository / "dodo.py").write_bytes((REPOSITORY / "dodo.py").read_bytes())
    command = [sys.executable, "-m", "doit", "-n", "2", "bundle:ppocr_rec"]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert result.returncode == 0, result.stdout + result.stderr
    return repository / "build/ppocr_rec"


def test_receipts_are_read_as_well_through_buckets(
    crops: list[LabelledCrop],
    bundle: Path,
    alphabet: list[str],
    read_exactly: Callable[[Any], str],
    record_property: Callable[[str, object], None],
) -> None:
    exact = [read_exactly(crop.pixels) for crop in crops]
    bucketed = _read_by_page(bundle, crops, alphabet)
    figures = {
        "lines": len(crops),
        "right at exact widths": _share(same_text(text, crop.text) for text, crop in zip(exact, crops, strict=True)),
        "right through buckets": _share(same_text(text, crop.text) for text, crop in zip(bucketed, crops, strict=True)),
        "identical": _share(one == other for one, other in zip(bucketed, exact, strict=True)),
    }
    print(figures)
    for name, value in figures.items():
        record_property(name, value)
    assert figures["lines"] > (700 if ALL_RECEIPTS else 300)
    assert figures["right at exact widths"] > 0.75
    assert figures["right through buckets"] >= figures["right at exact widths"] - ALLOWED_DROP
    assert figures["identical"] >= LEAST_IDENTICAL


def _read_by_page(bundle: Path, crops: list[LabelledCrop], alphabet: list[str]) -> list[str]:
    """Read all lines of a page at once, as OCR does, so that batches are padded together as well."""
    texts = []
    with st.load_bundle(bundle) as model:
        for _, page in itertools.groupby(crops, key=lambda crop: crop.file):
            results = model.run_many([{"x": crop.pixels[None]} for crop in page])
            for result in results:
                (probabilities,) = result.values()
                texts.append(decode(probabilities[0], alphabet))
    return texts


def _share(outcomes: Any) -> float:
    values = list(outcomes)
    return sum(values) / len(values)
