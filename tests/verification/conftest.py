"""Small models compiled and bundled with OpenVINO."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
import pytest

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.files import digest_file
from scaling_tasks.onnx_model.reading import read_signature
from scaling_tasks.runtime.manifest import ArtefactFile, Manifest, make_manifest

Bundler = Callable[[Path, Sequence[tuple[int, ...]]], tuple[Path, Manifest]]


@pytest.fixture
def bundled(tmp_path: Path) -> Bundler:
    """Compile the model at ``path`` as it is for some buckets; returns the bundle's directory and manifest."""

    def build(path: Path, buckets: Sequence[tuple[int, ...]]) -> tuple[Path, Manifest]:
        backend, signature, directory = get_backend("openvino"), read_signature(path), tmp_path / "bundle"
        directory.mkdir()
        artefacts = []
        for unit in backend.units(path.stem, signature.inputs, buckets, {}):
            workdir = tmp_path / unit.name
            workdir.mkdir()
            files = backend.compile(CompileJob(path, signature.inputs, unit, {}), workdir).files
            moved = [Path(shutil.move(file, directory / file.name)) for file in files]
            artefacts.append((unit, [ArtefactFile(file.name, digest_file(file)) for file in moved]))
        behaviour = analyse_model(path).behaviour.accepted()
        return directory, make_manifest(path.stem, "openvino", {}, signature, behaviour, artefacts, {})

    return build


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str], Path]:
    """Save a model that onnx can parse from text."""

    def save(text: str) -> Path:
        path = tmp_path / "m.onnx"
        onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]>\n{text}'), str(path))
        return path

    return save
