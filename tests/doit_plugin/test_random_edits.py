"""Whatever is edited, between builds and during them, the next build gives what one from nothing gives."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx

from tests.doit_plugin.repository import Repository

# More with SCALING_TASKS_TEST_EDITS=200, which takes about half an hour on two cores.
EDITS = int(os.environ.get("SCALING_TASKS_TEST_EDITS", "8"))
SIZES = [(16, 24), (24, 40), (32, 64), (40, 40)]
METRIC = "import helping\n\n\ndef score(run, dataset):\n    return helping.value() * len(dataset.read_text())\n"


class Edits:
    """A repository with weights beside its model and a metric, and everything that may happen to it."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.repository, self.chance = Repository(root), chance
        self.sizes, self.level, self.absolute = SIZES[:2], "basic", 0.001
        (root / "scoring.py").write_text(METRIC)
        self.metric()
        self.labels()
        self.weights()
        self.configuration()

    @property
    def root(self) -> Path:
        return self.repository.root

    def configuration(self) -> None:
        more = f"  options: {{optimization: {self.level}}}\n"
        more += f"verify: {{metric: 'scoring:score', dataset: labels.txt, absolute: {self.absolute}}}\n"
        self.repository.write_target(sizes=self.sizes, more=more)

    def weights(self) -> None:
        self.repository.write_model(seed=self.chance.randrange(3))
        path = self.root / "models/net.onnx"
        model = onnx.load(path)
        (self.root / "models/net.data").unlink(missing_ok=True)
        onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)

    def weights_in_place(self) -> None:
        path = self.root / "models/net.data"
        (np.fromfile(path, np.float32) * np.float32(self.chance.choice([0.5, 2.0]))).tofile(path)

    def buckets(self) -> None:
        self.sizes = self.chance.sample(SIZES, self.chance.choice([1, 2]))
        self.configuration()

    def options(self) -> None:
        self.level = self.chance.choice(["basic", "extended"])
        self.configuration()

    def tolerance(self) -> None:
        self.absolute = self.chance.choice([0.001, 0.002])
        self.configuration()

    def data(self) -> None:
        for _ in range(self.chance.choice([1, 3])):
            name = f"{self.chance.randrange(4)}.png"
            self.repository.write_image(name, 8 * self.chance.randrange(1, 4), 8 * self.chance.randrange(1, 4))

    def metric(self) -> None:
        (self.root / "helping.py").write_text(f"def value():\n    return {self.chance.randrange(3)}\n")

    def labels(self) -> None:
        (self.root / "labels.txt").write_text("x" * self.chance.randrange(1, 4))

    def product(self) -> None:
        files = sorted((self.root / "build/net").glob("*"))
        if files:
            path = self.chance.choice(files)
            path.write_bytes(b"damage" + path.read_bytes()[6:])

    def state(self) -> None:
        lost = self.chance.choice([".scaling/targets", ".scaling/digests.jsonl", ".scaling/doit.sqlite", "build"])
        path = self.root / lost
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def any(self) -> None:
        made: list[Callable[[], None]] = [
            *(self.weights, self.weights_in_place, self.buckets, self.options, self.tolerance),
            *(self.data, self.metric, self.labels, self.product, self.state),
        ]
        self.chance.choice(made)()


def products(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "build/net").iterdir()}


def from_nothing(root: Path, place: Path) -> dict[str, bytes]:
    shutil.copytree(root, place, ignore=shutil.ignore_patterns(".scaling", "build", "scaling.lock"))
    run = Repository.at(place).doit("-n", "2")
    assert run.ok, run.output
    found = products(place)
    found["scaling.lock"] = (place / "scaling.lock").read_bytes()
    shutil.rmtree(place)
    return found


def test_every_build_gives_what_one_from_nothing_gives(tmp_path: Path) -> None:
    edits = Edits(tmp_path / "repository", random.Random(20240711))
    for turn in range(EDITS):
        if turn % 3 == 2:  # In the middle of a build; whatever it says, it must spoil nothing.
            build = subprocess.Popen(
                [sys.executable, "-m", "doit", "-n", "2", "--continue"],
                cwd=edits.root,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                build.wait(timeout=edits.chance.uniform(0.3, 3.0))
            except subprocess.TimeoutExpired:
                edits.any()
            build.wait(timeout=120)
        edits.any()
        run = edits.repository.doit("-n", "2")
        assert run.ok, run.output
        wanted = from_nothing(edits.root, tmp_path / "fresh")
        found = {**products(edits.root), "scaling.lock": (edits.root / "scaling.lock").read_bytes()}
        assert found == wanted, turn
        assert edits.repository.doit().executed == [], turn
