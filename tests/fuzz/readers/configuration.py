"""Configurations of targets: YAML of a user's own."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import onnx
import yaml
from onnx import helper

from scaling_tasks.builds.mistakes import find_mistakes
from scaling_tasks.config.load import load_target, read_targets
from scaling_tasks.doit_plugin.loader import WrongConfigurations, load_targets
from scaling_tasks.errors import all_of
from tests.fuzz.mutations import HOSTILE_VALUES, change_value
from tests.fuzz.reader import Reader, anything
from tests.fuzz.readers.state_files import at

_TARGET = """\
# A target with every section.
model: models/detector.onnx
input_shape: &shape {x: [-1, 3, -1, -1], ids: [batch, "past + seq"]}
inputs: {sr: 16000, scale: [1.0, 2.5]}
dataset:
  path: datasets/pages
  format: images
  preprocessing: {kind: keep_ratio, side: 640, edge: longer}
auto_scaling:
  strategy: explicit
  max_scaling_num: 16
  width_range: [1, 8192]
  mean_std: {n_std: 2}
  limits: {bytes: {each: 2.0e+6, per_element: 12, most: 1.0e+9}}
  buckets: [{H: 320, W: 640}]
shape_bucket:
  shape_bucket_enable: false
  shape_bucket_range_info: {seq_len: [1, 100]}
compile: &compile
  backend: openvino
  options: {precision: f16, deep: {a: [1, 2, {b: c}]}}
verify: {absolute: 1.0e-4, samples: datasets/real, drop: 0.01}
runtime: {padding: {x: {mode: edge, side: end}}, multiples: {H: 32}}
output: build/detector
"""
_DEFAULTS = """\
compile: {backend: lite, timeout: 60}
verify:
  relative: 0.001
auto_scaling: {interval: 16}
"""


def _make(directory: Path) -> list[Path]:
    paths = [directory / "detector.yaml", directory / "_defaults.yaml"]
    for path, text in zip(paths, (_TARGET, _DEFAULTS), strict=True):
        path.write_text(text)
    return [paths[0], *paths]


def _read(directory: Path) -> Any:
    return msgspec.to_builtins(load_target(directory / "detector.yaml"))


def _change(content: bytes, chance: Random) -> bytes:
    try:
        return yaml.safe_dump(change_value(yaml.safe_load(content), chance), allow_unicode=True).encode(
            "utf-8", "replace"
        )
    except Exception:
        return content


def _scalar(content: bytes, chance: Random) -> bytes:
    """Put another value behind a key."""
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    key, colon, _ = lines[place].partition(b":")
    lines[place] = (
        key + colon + b" " + chance.choice((*_VALUES, str(chance.choice(HOSTILE_VALUES)).encode("utf-8", "replace")))
    )
    return b"\n".join(lines)


_VALUES = (
    b"!!int x", b"!!float x", b"!!bool 3", b"!!null x", b"!!binary a", b"!!timestamp x", b"!!set {a, b}",
    b"!!omap [a: 1]", b"!!pairs [a]", b"!!str [1]", b"!!map [1]", b"!!seq {a: 1}", b"!!python/object:os.system {}",
    b"!own x", b"2020-13-45", b"2020-01-01", b"2020-01-01 99:99:99", b"0x", b"0o9", b"0b2", b"1_000", b"1:60:60",
    b"1:99999999999", b"~", b".inf", b".nan", b"1" * 5000, b"*shape", b"*nothing", b"&shape [*shape]", b"<<",
    b"{<<: *shape}", b"{<<: [*shape, 3]}", b"{<<: x}", b"{? [1, 2] : 3}", b"{1: 2}", b"{~: 1}", b"{true: 1}",
    b"{a: 1, a: 2}", b"|", b">", b"@x", b"`x", b"%YAML 9", b"\t x", b"\"\\ud800\"", b"\"\\x00\"", b"[" * 3000,
    b"{a: " * 2000, b"=",
)  # fmt: skip
_BOMB = b"a: &a [1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (after, after, b",".join([b"*%c" % name] * 9))
    for name, after in zip(b"abcdefgh", b"bcdefghi", strict=True)
)
_WORDS = (b"<<: *compile\n", b"- ", b"? ", b"---\n", b"...\n", b"&a ", b"*a", b"!!int ", b"inputs:\n", _BOMB)
_MATRIX = """\
model: models/detector.onnx
matrix:
  name: "{name}-{backend}-{precision}-{path}-{drop}"
  compile.backend: [openvino, onnxruntime]
  compile:
    - {timeout: 60, options: {precision: FP16}}
    - {timeout: 90, options: {precision: FP32}}
  dataset: [{path: datasets/pages}, {path: datasets/other, format: images}]
  exclude:
    - {compile.backend: onnxruntime, dataset: {path: datasets/pages}}
  include:
    - {compile.backend: lite, verify.drop: 0.5, dataset.path: x, compile.options.precision: FP16}
"""


def _make_matrix(directory: Path) -> list[Path]:
    (directory / "net.yaml").write_text(_MATRIX)
    (directory / "_defaults.yaml").write_text("matrix: {verify.drop: [0.1, 0.2]}\nruntime: {oversize: split}\n")
    return [directory / "net.yaml", directory / "net.yaml", directory / "_defaults.yaml"]


def _read_matrix(directory: Path) -> Any:
    """Read every target, and those with mistakes as far as they can be read."""
    found = read_targets(directory / "net.yaml")
    if wrong := [error for each in found for error in each.mistakes]:
        raise all_of(wrong)
    return [msgspec.to_builtins(each.spec) for each in found]


_CHECKED = """\
model: net.onnx
input_shape: {x: [N, 3, H, W]}
inputs: {scale: [1.0, 2.0]}
dataset: {path: sizes.csv}
auto_scaling:
  strategy: explicit
  buckets: [{N: 1, H: 16, W: 32}, {N: 2, H: 32, W: 32}]
  headroom: {H: 8}
  buckets_per: {N: 2}
  reachable: {"N * H": 64}
compile: {backend: openvino, options: {precision: FP16, device: CPU, blob: true}}
verify: {metric: "scoring:score", dataset: sizes.csv, samples: samples}
runtime: {padding: {x: {mode: edge}}, multiples: {H: 8}, oversize: split}
output: out
"""


def _make_checked(directory: Path) -> list[Path]:
    ends = [helper.make_tensor_value_info(name, 1, ["n", 3, "h", "w"]) for name in "xy"]
    ends.insert(1, helper.make_tensor_value_info("scale", 1, [2]))
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", ends[:2], ends[2:])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(directory / "net.onnx"))
    (directory / "sizes.csv").write_text("N,H,W\n1,16,32\n")
    (directory / "scoring.py").write_text("def score(run, dataset):\n    return 1.0\n")
    (directory / "samples").mkdir()
    np.savez(directory / "samples/0.npz", x=np.zeros((1, 3, 8, 8), np.float32))
    (directory / "configs").mkdir()
    (directory / "configs/net.yaml").write_text(_CHECKED)
    return [directory / "configs/net.yaml"] * 8 + [directory / "scoring.py", directory / "net.onnx"]


def _check(directory: Path) -> Any:
    """Look for every mistake, as ``doit check`` does."""
    with at(directory):
        try:
            targets = load_targets()
        except WrongConfigurations as wrong:
            raise all_of(wrong.mistakes(thorough=True)) from wrong
        if found := [error for target in targets for error in find_mistakes(target, thorough=True)]:
            raise all_of(found)
        return [target.options_text for target in targets]


READERS = (
    Reader("check", _make_checked, _check, allowed=anything, mutators=(_change, _scalar, _scalar), words=_WORDS),
    Reader("configuration", _make, _read, allowed=anything, mutators=(_change, _scalar, _scalar), words=_WORDS),
    Reader("matrix", _make_matrix, _read_matrix, allowed=anything, mutators=(_change, _scalar, _scalar), words=_WORDS),
)
