"""The decoder example: a cache that starts empty and grows through buckets, with the original's tokens."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from examples.decoder.make_decoder import HEADS, SIZE, VOCABULARY, cache_names
from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.model import BucketedModel
from tests.doit_plugin.repository import DODO

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/decoder"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's own commands, run in a repository of its own."""
    root = tmp_path_factory.mktemp("decoder")
    (root / "configs").mkdir()
    (root / "dodo.py").write_text(DODO)
    shutil.copy(EXAMPLE / "decoder.yaml", root / "configs")
    run(root, str(EXAMPLE / "make_decoder.py"), "models/decoder.onnx", "datasets/calls.csv")
    built = run(root, "-m", "doit", "-n", "2", "bundle:decoder")
    assert ".  analysis:decoder  exact by cleaning (" in built
    return root


@pytest.fixture(scope="module")
def model(repository: Path) -> Iterator[BucketedModel]:
    with load_bundle(repository / "build/decoder") as loaded:
        yield loaded


def run(root: Path, *arguments: str) -> str:
    """Run Python in the repository and return what it wrote."""
    done = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def request(past: int, seq: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng([past, seq])
    arrays = {f"past_{name}": random.standard_normal((1, HEADS, past, SIZE), np.float32) for name in cache_names()}
    tokens = random.integers(0, VOCABULARY, (1, seq))
    return {"tokens": tokens, "attention_mask": np.ones((1, past + seq), np.int64), **arrays}


def test_two_hundred_tokens_are_those_of_the_original(repository: Path) -> None:
    said = run(repository, str(EXAMPLE / "decode.py"), "build/decoder", "models/decoder.onnx", "--count", "200")
    assert said.startswith("200 of 200 tokens are the same")
    assert said.endswith("8 buckets used\n")


@pytest.mark.parametrize(
    ("past", "seq"), [(0, 1), (0, 5), (0, 16), (1, 1), (1, 16), (5, 1), (38, 1), (39, 1), (40, 1), (150, 1), (223, 1)]
)
def test_answers_are_exact_at_every_past(model: BucketedModel, repository: Path, past: int, seq: int) -> None:
    session = onnxruntime.InferenceSession(str(repository / "models/decoder.onnx"))
    given = request(past, seq)
    expected = dict(zip([each.name for each in session.get_outputs()], session.run(None, given), strict=True))
    # The cache before it was larger: nothing of that may be left.
    model.run(request(model.select({"past": past, "seq": seq})["past"], seq))
    for without in (set(), {"attention_mask"}):
        found = model.run({name: array for name, array in given.items() if name not in without})
        for name, array in expected.items():
            assert found[name].shape == array.shape
            np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-5, err_msg=name)


def test_only_the_past_may_be_empty(model: BucketedModel) -> None:
    assert model.manifest.behaviour.empty == ("past",)
    assert model.select({"past": 0, "seq": 1}) == {"seq": 16, "past": 1}
    with pytest.raises(BundleError, match="seq is 0"):
        model.select({"past": 3, "seq": 0})
    with pytest.raises(BundleError, match=r"axis 1 \(seq\) is empty"):
        model.run(request(3, 0))


def test_traffic_with_empty_pasts_is_a_data_set(model: BucketedModel, repository: Path) -> None:
    model.run(request(0, 3))
    model.stats().save(repository / "datasets/calls.csv")
    with (repository / "datasets/calls.csv").open() as file:
        assert any(row["past"] == "0" for row in csv.DictReader(file))
    assert "buckets:decoder" in run(repository, "-m", "doit", "buckets:decoder")
