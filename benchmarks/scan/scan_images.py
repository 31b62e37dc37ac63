"""How long scanning an image folder takes, beside the cheapest pass over its files and beside decoding them.

Usage: python benchmarks/scan/scan_images.py [--images 300000] [--per-directory 1000] [--repeat 3] [--directory DIR]

Writes that many tiny real JPEG and PNG files below a temporary directory, measures, and removes them.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples.scan import scan, watch

_DECODED = 5000  # decoding all would take hours; its time per file does not depend on how many there are
_SIZES = (16, 96)


def main() -> None:
    """Write the images, measure, remove them."""
    options = _options()
    root = Path(tempfile.mkdtemp(prefix="scan-benchmark-", dir=options.directory))
    try:
        if options.memory_of:
            _print_memory(options.memory_of, root)
            return
        print(f"writing {options.images} images, {options.per_directory} per directory …", flush=True)
        write_images(root / "images", options.images, options.per_directory)
        report(root, options.images, options.repeat)
    finally:
        shutil.rmtree(root)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300_000)
    parser.add_argument("--per-directory", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3, help="the least of so many times counts")
    parser.add_argument("--directory", help="where to write the images; the system's temporary directory by default")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def write_images(root: Path, count: int, per_directory: int) -> None:
    """Write ``count`` files that hold 64 different pictures, three JPEG to one PNG, some turned by EXIF."""
    pictures = _pictures()
    for number in range(count):
        directory = root / f"{number // per_directory:05d}"
        if number % per_directory == 0:
            directory.mkdir(parents=True)
        suffix, content = pictures[number % len(pictures)]
        (directory / f"image_{number:07d}.{suffix}").write_bytes(content)


def _pictures() -> list[tuple[str, bytes]]:
    from PIL import Image

    generator = random.Random(0)
    pictures = []
    for number in range(64):
        image = Image.new("RGB", (generator.randint(*_SIZES), generator.randint(*_SIZES)), (number, 2 * number, 99))
        exif = image.getexif()
        exif[0x0112] = generator.choice([1, 1, 1, 6])
        suffix, name = ("png", "PNG") if number % 4 == 0 else ("jpg", "JPEG")
        content = io.BytesIO()
        image.save(content, name, exif=exif)
        pictures.append((suffix, content.getvalue()))
    return pictures


def report(root: Path, count: int, repeat: int) -> None:
    """Measure everything in turns, so that a busy moment of the machine hits all alike, and print the table."""
    images, cache = root / "images", root / "state" / "images.cache"
    dataset = DatasetSpec(path=str(images))
    extra = images / "00000" / "added.png"
    passes: dict[str, Callable[[], object]] = {
        "scandir + stat": lambda: _stat_all(str(images)),
        "read 4 KiB of each": lambda: _read_all(str(images)),
        "scan, cold": lambda: (cache.unlink(missing_ok=True), scan(dataset, cache)),
        "watch, unchanged": lambda: _expect(watch(dataset, cache), True),
        "scan, unchanged": lambda: scan(dataset, cache),
        "scan, one file added": lambda: scan(dataset, cache),
        "scan, one file removed": lambda: scan(dataset, cache),
        "scan, all touched": lambda: scan(dataset, cache),
    }
    before = {
        "scan, one file added": lambda: extra.write_bytes(_pictures()[0][1]),
        "scan, one file removed": extra.unlink,
        "scan, all touched": lambda: _touch_all(str(images)),
    }
    best = dict.fromkeys(passes, float("inf"))
    for _ in range(repeat):
        for name, run in passes.items():
            before.get(name, lambda: None)()
            time.sleep(0.05)
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    _print_table(best, count)
    _print_decoders(images)
    for what in ("cold", "unchanged", "touched"):
        print(_memory(images, cache, what))


def _print_table(best: dict[str, float], count: int) -> None:
    listing, reading = best["scandir + stat"], best["read 4 KiB of each"]
    print(f"{'':24}{'seconds':>9}{'µs/file':>9}{'× stat':>8}{'× 4 KiB':>9}")
    for name, seconds in best.items():
        micro = seconds / count * 1e6
        print(f"{name:24}{seconds:9.2f}{micro:9.2f}{seconds / listing:8.2f}{seconds / reading:9.2f}")


def _print_decoders(images: Path) -> None:
    """Time MindOCR's way (`cv2.imread` of each file) and Pillow's lazy open on some of the files."""
    paths = [entry.path for entry in islice(_files(str(images)), _DECODED)]
    try:
        import cv2
        from PIL import Image, ImageOps
    except ImportError as missing:
        print(f"{missing.name} is not installed: no comparison with it")
        return

    def pillow_size(path: str) -> tuple[int, int]:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).size

    for name, read in (("cv2.imread", cv2.imread), ("Pillow, as shown", pillow_size)):
        start = time.perf_counter()
        for path in paths:
            read(path)
        print(f"{name:24}{'':9}{(time.perf_counter() - start) / len(paths) * 1e6:9.2f}  ({len(paths)} files)")


def _memory(images: Path, cache: Path, what: str) -> str:
    """Return the peak memory of a scan in a process of its own."""
    if what == "cold":
        cache.unlink(missing_ok=True)
    if what == "touched":
        _touch_all(str(images))
    command = [sys.executable, __file__, "--memory-of", f"{images}{os.pathsep}{cache}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return f"peak memory, {what}: {done.stdout.strip()}"


def _print_memory(paths: str, _: Path) -> None:
    images, cache = paths.split(os.pathsep)
    scan(DatasetSpec(path=images), Path(cache))
    # Not `ru_maxrss`, which begins with what the parent process had.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(f"{int(peak.split()[1]) / 1024:.0f} MiB")


def _files(root: str) -> Iterator[os.DirEntry[str]]:
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    pending.append(entry.path)
                else:
                    yield entry


def _stat_all(root: str) -> None:
    for entry in _files(root):
        entry.stat()


def _read_all(root: str) -> None:
    for entry in _files(root):
        descriptor = os.open(entry.path, os.O_RDONLY)
        os.read(descriptor, 4096)
        os.close(descriptor)


def _touch_all(root: str) -> None:
    for entry in _files(root):
        os.utime(entry.path, ns=(1_700_000_000_123_456_789, time.time_ns() - 3_600_000_000_007))


def _expect(value: bool, wanted: bool) -> None:
    if value is not wanted:
        raise AssertionError(f"the watch says {value}")


if __name__ == "__main__":
    main()
