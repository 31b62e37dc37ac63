"""What a unit, a file and a transfer cost here, measured on real builds at one real worker."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.scale.simulate import Costs, Job
from tests.doit_plugin.repository import Repository
from tests.execution.errands import Errand
from tests.execution.farm import Farm

__all__ = ["Build", "build", "costs_of", "image_costs", "rate"]

_BYTES = 64 << 20


@dataclass(frozen=True)
class Build:
    """One build of so many units.

    Attributes:
        units: How many were compiled, and verified.
        seconds: On the clock.
        client: Seconds of the client's processor.
        plan: Seconds of the worker for the plan.
        compiles: Of each compile, at its worker.
        verifications: Of each verification.
    """

    units: int
    seconds: float
    client: float
    plan: float
    compiles: list[float]
    verifications: list[float]

    def jobs(self, units: int) -> list[Job]:
        """Return as many units of the same kind, which take the mean."""
        verified = Job(float(np.mean(self.verifications)), 2000, 2000, 2000)
        return [Job(float(np.mean(self.compiles)), 2000, 0, 2000, verified)] * units


def build(root: Path, units: int, workers: int) -> Build:
    """Build a small repository of so many units at so many workers."""
    (root / "repository").mkdir(parents=True)
    repository = Repository(root / "repository")
    repository.write_target(sizes=[(16 + 8 * number, 64) for number in range(units)])
    farm = Farm(root / "farm")
    try:
        farm.start_scheduler()
        for number in range(workers):
            farm.start_worker(f"worker-{number}")
        farm.await_workers(workers)
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, "-m", "doit", "-n", str(workers), f"executor={farm.url}"]
        subprocess.run(command, cwd=repository.root, env=os.environ, capture_output=True, check=True)
        seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        took = {
            stage: [each["seconds"] for each in farm.events("done", stage)]
            for stage in ("buckets", "compile", "verify")
        }
    finally:
        farm.close()
    client = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Build(units, seconds, client, sum(took["buckets"]), took["compile"], took["verify"])


def rate(root: Path) -> float:
    """Return the bytes a second from a client to a worker."""
    farm = Farm(root / "farm")
    try:
        farm.start_scheduler()
        farm.start_worker("worker")
        farm.await_workers(1)
        (root / "errand").mkdir()
        errand = Errand(root / "errand", files={"big": np.random.default_rng(0).bytes(_BYTES)})
        done = errand.run(farm.address)
    finally:
        farm.close()
    return _BYTES / next(seconds for name, _, seconds in done.spans if name == "inputs")


def image_costs(root: Path, images: int = 20_000) -> tuple[float, float]:
    """Return the seconds for an image that is not known, and for one that is."""
    from scaling_tasks.config.specs import DatasetSpec
    from scaling_tasks.samples.scan import scan, watch

    directory = root / "images"
    directory.mkdir(parents=True)
    Image.new("RGB", (64, 48)).save(directory / "first.png")
    content = (directory / "first.png").read_bytes()
    for number in range(images - 1):
        (directory / f"{number:06}.png").write_bytes(content)
    dataset = DatasetSpec(path=str(directory))
    began = time.monotonic()
    scan(dataset, root / "cache" / "cache")
    scanned = time.monotonic()
    watch(dataset, root / "cache" / "cache")
    return (scanned - began) / images, (time.monotonic() - scanned) / images


def costs_of(few: Build, many: Build, rate: float, images: tuple[float, float]) -> Costs:
    """Return the costs that two builds at one worker show: what they have in common, and what each unit adds."""
    added = many.units - few.units
    client = (many.client - few.client) / added / 2  # Compiled and verified.

    def rest(one: Build) -> float:
        return one.seconds - sum(one.compiles) - sum(one.verifications)

    each = max(client, (rest(many) - rest(few)) / added / 2)
    start = max(0.0, rest(few) - 2 * few.units * each)
    return Costs(start, client, each - client, 0.0, rate, *images)
