"""What units of a target have in common is made once, survives its removal, and changes no byte of a result."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import msgspec
import pytest

from scaling_tasks.compilers.conformance_models import ConformanceCase, image_case
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.lite_rewrite import importable_model
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.compilers.shared import made_once
from scaling_tasks.files import digest_file

NAMES = ("a", "b")


@pytest.fixture
def job(tmp_path: Path) -> CompileJob:
    return jobs_of(image_case(tmp_path), tmp_path / "shared")[0]


def jobs_of(case: ConformanceCase, shared: Path | None, level: str = "basic") -> list[CompileJob]:
    options = {"backend": "onnxruntime", "options": {"optimization": level}}
    units = get_backend("onnxruntime").units(case.model.stem, case.signature, case.buckets, options)
    return [CompileJob(case.model, case.signature, unit, options, shared) for unit in units]


class Maker:
    """Writes the files and counts how often it had to."""

    def __init__(self, job: CompileJob, root: Path) -> None:
        self.job, self.root, self.calls = job, root, 0

    def unit(self, name: str) -> dict[str, str]:
        workdir = self.root / name
        workdir.mkdir()

        def make() -> None:
            self.calls += 1
            for each in NAMES:
                (workdir / each).write_text(f"content of {each}")

        made_once(self.job, workdir, NAMES, make)
        return {each: (workdir / each).read_text() for each in NAMES}


def test_the_second_unit_takes_what_the_first_made(job: CompileJob, tmp_path: Path):
    maker = Maker(job, tmp_path)
    assert maker.unit("one") == maker.unit("two") == {"a": "content of a", "b": "content of b"}
    assert maker.calls == 1
    assert sorted(path.name for path in job.shared.iterdir()) == [*NAMES, "digests.json"]


@pytest.mark.parametrize("lost", [*NAMES, "digests.json", "directory"])
def test_what_was_lost_is_made_again(lost: str, job: CompileJob, tmp_path: Path):
    maker = Maker(job, tmp_path)
    maker.unit("one")
    shutil.rmtree(job.shared) if lost == "directory" else (job.shared / lost).unlink()
    assert maker.unit("two") == {"a": "content of a", "b": "content of b"}
    assert (maker.calls, maker.unit("three")["a"], maker.calls) == (2, "content of a", 2)


@pytest.mark.parametrize("damaged", [*NAMES, "digests.json"])
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"content of c"])
def test_what_was_damaged_is_made_again(damaged: str, content: bytes, job: CompileJob, tmp_path: Path):
    maker = Maker(job, tmp_path)
    maker.unit("one")
    (job.shared / damaged).unlink()  # The first unit's own file has the same bytes on the disk.
    (job.shared / damaged).write_bytes(content)
    assert maker.unit("two") == maker.unit("three") == {"a": "content of a", "b": "content of b"}
    assert maker.calls == 2


def test_without_a_usable_directory_each_unit_makes_its_own(job: CompileJob, tmp_path: Path):
    (tmp_path / "file").touch()
    for index, shared in enumerate((None, tmp_path / "file" / "below")):
        maker = Maker(msgspec.structs.replace(job, shared=shared), tmp_path)
        assert [maker.unit(f"{index}{name}")["b"] for name in "xy"] == ["content of b"] * 2
        assert maker.calls == 2


@pytest.mark.parametrize("level", ["basic", "extended"])
def test_sharing_changes_no_byte(level: str, ocr_models: Path, tmp_path: Path):
    case = dataclasses.replace(image_case(tmp_path), model=ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx")
    signature = type(case.signature)((dataclasses.replace(case.signature.inputs[0], dims=("N", 3, 48, "W")),))
    case = dataclasses.replace(case, signature=signature)
    alone, together = jobs_of(case, None, level), jobs_of(case, tmp_path / "shared", level)
    digests = [
        {path.name: digest_file(path) for path in compiled(each, tmp_path / f"{index}")}
        for index, each in enumerate((alone[1], *together))
    ]
    assert digests[0] == digests[2]
    assert (tmp_path / "shared" / "dynamic.onnx").is_file()
    weights = [digest for each in digests for name, digest in each.items() if name.endswith(".weights")]
    assert len(weights) == 3
    assert len(set(weights)) == 1


def compiled(job: CompileJob, workdir: Path) -> tuple[Path, ...]:
    return run_job(job, workdir, log=workdir.with_suffix(".log"), timeout=120).artefact.files


def test_a_model_is_looked_through_once_for_lite(job: CompileJob, tmp_path: Path):
    models = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        models.append(importable_model(job, tmp_path / name))
    assert models[0].samefile(models[1])
    assert models[0].read_bytes() != job.model.read_bytes()  # Its HardSigmoid is spelled out.
