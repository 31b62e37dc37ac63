"""A repository to which everything may happen that a user, a package manager or a failing disk does."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from PIL import Image

from tests.doit_plugin.repository import Repository

SIZES = [(16, 24), (24, 40), (32, 64), (40, 40)]
METRIC = "import helping\n\n\ndef score(run, dataset):\n    return helping.value() * len(dataset.read_text())\n"

PLANNED = """
model: models/net.onnx
input_shape: {{x: [1, 3, -1, -1]}}
dataset: datasets/images
auto_scaling: {{max_scaling_num: {most}, interval: 8}}
compile: {{backend: openvino, options: {{precision: {precision}}}}}
verify: {{absolute: 0.1, relative: 0.1}}
"""

# A backend whose own code, and whose helper's, is to be seen in what it makes.
STAMPING = """
import onnx

import stamping_helper
from scaling_tasks.compilers.onnxruntime import OnnxRuntimeBackend


class Stamping(OnnxRuntimeBackend):
    name = "stamping"

    def compile(self, job, workdir):
        artefact = super().compile(job, workdir)
        model = onnx.load(artefact.files[0], load_external_data=False)
        model.producer_name = f"{own} {{stamping_helper.STAMP}}"
        artefact.files[0].write_bytes(model.SerializeToString(deterministic=True))
        return artefact
"""

QUANTISED = (
    "  options: {{target: cpu, quantize: true, calibration: calibration, samples_count: {count}}}\n"
    "verify: {{absolute: 5, relative: 5}}\n"
)


class EditedRepository:
    """Targets of four backends over one model with external weights, with a metric and calibration images.

    Args:
        root: Where to make it.
        chance: What decides what happens.
        quantised: Whether there is a target of nncase, which is calibrated on images.
    """

    def __init__(self, root: Path, chance: random.Random, *, quantised: bool) -> None:
        self.repository, self.chance, self.quantised = Repository(root), chance, quantised
        self.sizes, self.remote, self.absolute, self.padding = SIZES[:2], "basic", 0.001, "exact"
        self.most, self.precision, self.count = 2, "FP32", 2
        (root / "scoring.py").write_text(METRIC)
        (root / "calibration").mkdir()
        for _ in range(3):
            self.calibration_image()
        for edit in (self.metric_helper, self.labels, self.weights, self.backend_source, self.backend_helper):
            edit()
        self.backend_version()
        self.configuration()

    @property
    def root(self) -> Path:
        """Where it is."""
        return self.repository.root

    def environment(self, root: Path) -> dict[str, str]:
        """Return the variables of a run in it or in a copy of it; Python tells versions of a source by the second."""
        path = os.pathsep.join([str(root / "site"), os.environ.get("PYTHONPATH", "")])
        return {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def configuration(self) -> None:
        more = f"  options: {{optimization: {self.remote}}}\nruntime: {{padding: {self.padding}}}\n"
        more += f"verify: {{metric: 'scoring:score', dataset: labels.txt, absolute: {self.absolute}}}\n"
        self.repository.write_target(sizes=self.sizes, more=more)
        self.repository.write_target("stamped", sizes=self.sizes[:1], backend="stamping")
        if self.quantised:
            more = QUANTISED.format(count=self.count)
            self.repository.write_target("photo", sizes=[(16, 24)], backend="nncase", more=more)
        planned = PLANNED.format(most=self.most, precision=self.precision)
        (self.root / "configs/planned.yaml").write_text(planned)

    def weights(self) -> None:
        """Another model, whose weights lie beside it."""
        self.repository.write_model(seed=self.chance.randrange(3))
        path = self.root / "models/net.onnx"
        model = onnx.load(path)
        (self.root / "models/net.data").unlink(missing_ok=True)
        onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)

    def weights_in_place(self) -> None:
        path = self.root / "models/net.data"
        (np.fromfile(path, np.float32) * np.float32(self.chance.choice([0.5, 2.0]))).tofile(path)

    def weights_renamed_over(self) -> None:
        """A file of the same size that replaces the weights in one step, with the time of the old one."""
        path, fresh = self.root / "models/net.data", self.root / "models/fresh.data"
        shutil.copy2(path, fresh)
        values = np.fromfile(path, np.float32)
        values[0] += 1
        status = path.stat()
        values.tofile(fresh)
        os.utime(fresh, ns=(status.st_atime_ns, status.st_mtime_ns))
        fresh.replace(path)

    def model_inside(self) -> None:
        """A model with its weights inside, while the file of the former weights stays."""
        self.repository.write_model(seed=self.chance.randrange(3))

    def buckets(self) -> None:
        self.sizes = self.chance.sample(SIZES, self.chance.choice([1, 2]))
        self.configuration()

    def most_buckets(self) -> None:
        self.most = self.chance.choice([1, 2, 3])
        self.configuration()

    def options(self) -> None:
        self.remote = self.chance.choice(["basic", "extended"])
        self.precision = self.chance.choice(["FP32", "FP16"])
        self.configuration()

    def padding_accepted(self) -> None:
        self.padding = self.chance.choice(["exact", "accept"])
        self.configuration()

    def tolerance(self) -> None:
        self.absolute = self.chance.choice([0.001, 0.002])
        self.configuration()

    def images(self) -> None:
        for _ in range(self.chance.choice([1, 3])):
            name = f"{self.chance.randrange(4)}.png"
            self.repository.write_image(name, 8 * self.chance.randrange(1, 4), 8 * self.chance.randrange(1, 4))

    def image_gone(self) -> None:
        images = sorted((self.root / "datasets/images").iterdir())
        if len(images) > 1:
            self.chance.choice(images).unlink()

    def calibration_image(self) -> None:
        pixels = np.random.default_rng(self.chance.randrange(5)).integers(0, 256, (16, 24, 3), np.uint8)
        Image.fromarray(pixels).save(self.root / "calibration" / f"{self.chance.randrange(3)}.png")

    def calibration_count(self) -> None:
        self.count = self.chance.choice([1, 2])
        self.configuration()

    def metric_code(self) -> None:
        (self.root / "scoring.py").write_text(METRIC + f"# {self.chance.randrange(3)}\n")

    def metric_helper(self) -> None:
        (self.root / "helping.py").write_text(f"def value():\n    return {self.chance.randrange(3)}\n")

    def labels(self) -> None:
        (self.root / "labels.txt").write_text("x" * self.chance.randrange(1, 4))

    def backend_source(self) -> None:
        self._installed("stamping.py", STAMPING.format(own=self.chance.randrange(3)))

    def backend_helper(self) -> None:
        self._installed("stamping_helper.py", f"STAMP = {self.chance.randrange(3)}\n")

    def backend_version(self) -> None:
        version = f"1.{self.chance.randrange(3)}"
        self._installed("stamping-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: stamping\nVersion: {version}\n")
        record = "stamping.py,,\nstamping_helper.py,,\n"
        self._installed("stamping-1.dist-info/RECORD", record)
        points = "[scaling_tasks.compilers]\nstamping = stamping:Stamping\n"
        self._installed("stamping-1.dist-info/entry_points.txt", points)

    def package_version(self) -> None:
        """What a package says of its version, as after an upgrade; back to the truth every other time."""
        name = self.chance.choice(["onnxruntime", "openvino", "numpy"])
        info = self.root / f"site/{name}-99.dist-info"
        if info.exists():
            shutil.rmtree(info)
        else:
            version = f"99.{self.chance.randrange(2)}"
            self._installed(f"{info.name}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")

    def _installed(self, name: str, text: str) -> None:
        path = self.root / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}")
        fresh.write_text(text)
        fresh.replace(path)

    def product_damaged(self) -> None:
        files = sorted(path for path in (self.root / "build").glob("*/*") if path.is_file())
        if files:
            path = self.chance.choice(files)
            path.write_bytes(b"damage" + path.read_bytes()[6:])

    def state_lost(self) -> None:
        lost = self.chance.choice([".scaling/targets", ".scaling/digests.jsonl", ".scaling/doit.sqlite", "build"])
        path = self.root / lost
        if lost == ".scaling/targets":
            # Without the manifest too, nothing tells what was published from what is the user's.
            for manifest in (self.root / "build").glob("*/manifest.json"):
                if manifest.read_bytes().startswith(b"damage"):
                    shutil.rmtree(manifest.parent)
        if path.is_dir():
            # At once, though a build may be writing there.
            aside = self.root / f"lost-{self.chance.random()}"
            path.rename(aside)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def store_damaged(self) -> None:
        blobs = sorted((self.root / ".scaling/store/blobs").glob("??/*"))
        if blobs:
            self.chance.choice(blobs).write_bytes(b"damage")

    def edit(self) -> str:
        """Do one thing; return what it was."""
        made: list[Callable[[], None]] = [
            *(self.weights, self.weights_in_place, self.weights_renamed_over, self.model_inside),
            *(self.buckets, self.most_buckets, self.options, self.padding_accepted, self.tolerance),
            *(self.images, self.image_gone, self.metric_code, self.metric_helper, self.labels),
            *(self.backend_source, self.backend_helper, self.backend_version, self.package_version),
            *(self.product_damaged, self.state_lost, self.store_damaged),
            *([self.calibration_image, self.calibration_count] if self.quantised else []),
        ]
        if not (self.root / "models/net.data").exists():
            made.remove(self.weights_in_place)
            made.remove(self.weights_renamed_over)
        chosen = self.chance.choice(made)
        chosen()
        return chosen.__name__
