"""What a command costs that has nothing to do, beside what it costs in another checkout of this repository.

Usage: python -m benchmarks.noop OTHER [--targets 3] [--buckets 8] [--images 20000] [--runs 30]

``OTHER`` is a directory with a checkout and a ``.venv`` in it that runs it. Both get a repository of their own, built
by themselves, and are asked in turns, so that a busy moment of the machine hits both alike. What counts is the
processor's time, user and system, of processes that find their bytecode on disk.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.farm.repository import write_repository
from benchmarks.scan.scan_images import write_images

_COMMANDS = ("run", "list", "list --all", "plan")
_SCANS = """
import sys, time
from pathlib import Path
from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples.scan import scan, watch

dataset, cache = DatasetSpec(path=sys.argv[1]), Path(sys.argv[2])
cache.unlink(missing_ok=True)
for work in (scan, watch, scan):
    began = time.process_time()
    work(dataset, cache)
    print(time.process_time() - began)
    time.sleep(0.05)
"""
_SCANNED = ("scan, cold", "watch, unchanged", "scan, unchanged")


@dataclass(frozen=True)
class Checkout:
    """A checkout, and the directory in which it is measured."""

    root: Path
    place: Path

    @property
    def python(self) -> str:
        """The interpreter that runs it."""
        own = self.root / ".venv/bin/python"
        return str(own) if own.exists() else sys.executable

    @property
    def environment(self) -> dict[str, str]:
        """An environment in which it finds itself, and keeps bytecode."""
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, "PYTHONPATH": str(self.root)}

    def prepare(self, targets: int, buckets: int) -> None:
        """Compile its modules, and build a repository with it."""
        subprocess.run([self.python, "-m", "compileall", "-q", str(self.root / "scaling_tasks")], check=True)
        (self.place / "scan").mkdir(parents=True)
        write_repository(self.place / "repository", targets, buckets)
        self.seconds("run -n 2")

    def seconds(self, command: str) -> float:
        """Return the processor's seconds of one command.

        Raises:
            SystemExit: It failed.
        """
        log = self.place / "log"
        with log.open("wb") as output:
            arguments, home = [self.python, "-m", "doit", *command.split()], self.place / "repository"
            process = subprocess.Popen(arguments, cwd=home, env=self.environment, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"doit {command} failed in {self.root}:\n{log.read_text()[-2000:]}")
        return usage.ru_utime + usage.ru_stime

    def scans(self, images: Path) -> list[float]:
        """Return the processor's seconds of each of the scans."""
        command = [self.python, "-c", _SCANS, str(images), str(self.place / "scan" / "cache")]
        done = subprocess.run(command, env=self.environment, cwd=self.root, capture_output=True, text=True, check=True)
        return [float(line) for line in done.stdout.split()]


def main() -> None:
    """Measure both in turns, and print the least and the median of each with their ratios."""
    options = _options()
    root = Path(tempfile.mkdtemp(prefix="noop-", dir=options.directory))
    try:
        other, own = (
            Checkout(path.resolve(), root / name) for path, name in ((options.other, "other"), (Path(), "own"))
        )
        for each in (other, own):
            each.prepare(options.targets, options.buckets)
        if options.images:
            write_images(root / "images", options.images, 1000)
        print(f"{'':20}{'other':>9}{'':>9}{'own':>9}{'':>9}{'own / other':>14}")
        print(f"{'':20}{'least':>9}{'median':>9}{'least':>9}{'median':>9}{'least':>8}{'median':>8}")
        for command in _COMMANDS:
            taken = [(other.seconds(command), own.seconds(command)) for _ in range(options.runs)]
            _row(command, *zip(*taken, strict=True))
        if options.images:
            rounds = [(other.scans(root / "images"), own.scans(root / "images")) for _ in range(options.runs)]
            for at, name in enumerate(_SCANNED):
                _row(name, tuple(each[0][at] for each in rounds), tuple(each[1][at] for each in rounds))
    finally:
        shutil.rmtree(root)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="the other checkout")
    parser.add_argument("--targets", type=int, default=3)
    parser.add_argument("--buckets", type=int, default=8)
    parser.add_argument("--images", type=int, default=20_000, help="how many are scanned, 0 for none")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--directory", help="where to work; the system's temporary directory by default")
    return parser.parse_args()


def _row(name: str, other: tuple[float, ...], own: tuple[float, ...]) -> None:
    found = [function(taken) for taken in (other, own) for function in (min, statistics.median)]
    ratios = found[2] / found[0], found[3] / found[1]
    print(
        f"{name:20}{''.join(f'{each:9.4f}' for each in found)}{''.join(f'{each:8.3f}' for each in ratios)}", flush=True
    )


if __name__ == "__main__":
    main()
