"""Bundles: what is published for a runtime, which the runtime and the server open by the same function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from scaling_tasks.files import digest_file
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.manifest import ArtefactFile, make_manifest
from scaling_tasks.shapes.behaviour import Behaviour, plain_layouts
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit
from tests.fuzz.mutations import json_document
from tests.fuzz.reader import Reader, anything
from tests.fuzz.readers.documents import WORDS, resealed

WIDTHS = (8, 16)


def _artefact(path: Path, width: int) -> ArtefactFile:
    """Write ``y = x + x`` at one width."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return ArtefactFile.of(path.name, digest_file(path), path.stat().st_size)


def _make(directory: Path) -> list[Path]:
    units = [(Unit(f"W{w}", f"m_W{w}", ("W",), ((w,),)), [_artefact(directory / f"m_W{w}.onnx", w)]) for w in WIDTHS]
    x, y = (TensorSpec(name, (1, "W"), "float32") for name in "xy")
    behaviour = Behaviour(plain_layouts({"y": (1, "W")}))
    signature = ModelSignature(Signature((x,)), (y,))
    manifest = make_manifest("m", "onnxruntime", {}, signature, behaviour, units, {}, oversize="split")
    (directory / "manifest.json").write_text(manifest.to_json(), encoding="utf-8")
    return [directory / "manifest.json", *sorted(directory.glob("*.onnx"))]


def _read(directory: Path) -> Any:
    with load_bundle(directory, threads=1) as model:
        return [model.run({"x": np.ones((1, width), np.float32)})["y"].tolist() for width in (5, 12, 20)]


_BUNDLE = Reader("bundle", _make, _read, mutators=(json_document,), words=WORDS, share=0.5)
READERS = (_BUNDLE, replace(_BUNDLE, name="bundle, forged", read=resealed(_read, "manifest.json"), allowed=anything))
