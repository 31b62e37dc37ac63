"""Requests that no bucket contains are cut so that each piece has a bucket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.errors import BundleError
from scaling_tasks.files import digest_file
from scaling_tasks.runtime.manifest import ArtefactFile, Manifest, make_manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.runtime.oversize import OversizeServer
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.shapes.behaviour import Behaviour, plain_layouts
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec
from scaling_tasks.shapes.unit import Unit

Bucket = tuple[int, int]


class Doubling:
    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        assert inputs["x"].shape == (1, *self.bucket)
        return {"y": 2 * inputs["x"]}

    def close(self) -> None:
        pass


def manifest_of(buckets: Sequence[Bucket], files: Mapping[Bucket, ArtefactFile] | None = None) -> Manifest:
    tensor, answer = (TensorSpec(name, (1, "H", "W"), "float32") for name in "xy")
    artefacts = []
    for height, width in buckets:
        name = f"H{height}_W{width}"
        file = (files or {}).get((height, width), ArtefactFile(name, ""))
        artefacts.append((Unit(name, f"m_{name}", ("H", "W"), ((height, width),)), [file]))
    signature = ModelSignature(Signature((tensor,)), (answer,))
    behaviour = Behaviour(plain_layouts({"y": (1, "H", "W")}))
    return make_manifest("m", "fake", {}, signature, behaviour, artefacts, {}, oversize="split")


def server_of(buckets: Sequence[Bucket]) -> OversizeServer:
    table = BucketTable(buckets, [float(height * width) for height, width in buckets])
    return OversizeServer(Path("/nowhere"), manifest_of(buckets), None, table)


def pieces_of(buckets: Sequence[Bucket], height: int, width: int) -> list[Bucket]:
    array = np.zeros((1, height, width), np.float32)
    pieces, _ = server_of(buckets).pieces({"x": array}, (height, width))
    assert all(arrays["x"].shape == (1, *shape) for arrays, shape in pieces)
    return [shape for _, shape in pieces]


def test_the_longest_bucket_does_not_take_the_other_size() -> None:
    assert pieces_of([(32, 640), (64, 320)], 64, 700) == [(64, 320), (64, 320), (64, 60)]


def test_a_size_that_is_too_large_in_no_single_variable_is_cut_too() -> None:
    assert pieces_of([(32, 640), (64, 160)], 64, 640) == [(32, 640), (32, 640)]
    # As many pieces along either side, of which those of the smaller buckets cost less.
    assert pieces_of([(40, 640), (64, 320)], 64, 640) == [(64, 320), (64, 320)]


def test_a_size_that_is_too_large_in_both_is_refused() -> None:
    with pytest.raises(BundleError, match="no bucket contains"):
        pieces_of([(32, 640), (64, 320)], 65, 641)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4, unique=True),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
)
def test_every_piece_has_a_bucket_and_together_they_are_the_request(buckets: list[Bucket], shape: Bucket) -> None:
    def fewest(axis: int) -> int:
        sizes = [bucket[axis] for bucket in buckets if bucket[1 - axis] >= shape[1 - axis]]
        return -(-shape[axis] // max(sizes)) if sizes else 10**9

    least = min(fewest(0), fewest(1))
    if least == 10**9:
        with pytest.raises(BundleError, match="no bucket contains"):
            pieces_of(buckets, *shape)
        return
    pieces = pieces_of(buckets, *shape)
    assert len(pieces) == least
    assert all(any(h >= piece[0] and w >= piece[1] for h, w in buckets) for piece in pieces)
    assert sum(height * width for height, width in pieces) == shape[0] * shape[1]


def test_the_answer_is_put_together(tmp_path: Path) -> None:
    buckets, files = [(32, 640), (64, 320)], {}
    for height, width in buckets:
        path = tmp_path / f"{height}x{width}"
        path.write_text(path.name)
        files[height, width] = ArtefactFile(path.name, digest_file(path))

    def load(path: Path, options: Mapping[str, Any]) -> Doubling:
        height, width = map(int, path.name.split("x"))
        return Doubling((height, width))

    x = np.random.default_rng(0).random((1, 64, 700), dtype=np.float32)
    with BucketedModel(tmp_path, manifest_of(buckets, files), load) as model:
        np.testing.assert_array_equal(model.run({"x": x})["y"], 2 * x)
