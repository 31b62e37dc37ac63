"""Configurations of targets: YAML of a user's own."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import msgspec
import yaml

from scaling_tasks.config.load import load_target
from tests.fuzz.mutations import HOSTILE_VALUES, change_value
from tests.fuzz.reader import Reader, anything

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
READERS = (Reader("configuration", _make, _read, allowed=anything, mutators=(_change, _scalar, _scalar), words=_WORDS),)
