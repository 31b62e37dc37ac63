"""How long a table of a million rows takes to measure, by kind: ``python -m benchmarks.scan.scan_tables``."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import feather, parquet

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples.scan import scan, watch


def write_tables(directory: Path, rows: int) -> list[Path]:
    """Write two and three columns of whole numbers, and two beside text, in every kind."""
    random = np.random.default_rng(0)
    sizes = {"height": random.integers(1, 2048, rows), "width": random.integers(1, 2048, rows)}
    three = {**sizes, "batch": random.integers(1, 65, rows)}
    paths = [directory / name for name in ("two.csv", "three.csv", "text.csv", "two.parquet", "two.feather")]
    np.savetxt(paths[0], np.column_stack([*sizes.values()]), "%d", ",", header="height,width", comments="")
    np.savetxt(paths[1], np.column_stack([*three.values()]), "%d", ",", header="height,width,batch", comments="")
    with paths[2].open("w") as file:
        file.write("file,height,width\n")
        file.writelines(
            f"{place}.jpg,{high},{wide}\n" for place, (high, wide) in enumerate(zip(*sizes.values(), strict=True))
        )
    table = pyarrow.table({**sizes, "file": [f"{place}.jpg" for place in range(rows)]})
    parquet.write_table(table, paths[3])
    feather.write_feather(table, paths[4])
    return paths


def main() -> None:
    """Print a line per table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as name:
        print(f"{'file':12} {'seconds':>8} {'processor':>9} {'no-op':>8} {'peak MB':>8}")
        for path in write_tables(Path(name), rows):
            dataset, cache = DatasetSpec(path=str(path)), Path(name) / f"{path.name}.cache"
            begin, used = time.perf_counter(), time.process_time()
            scan(dataset, cache)
            seconds, processor = time.perf_counter() - begin, time.process_time() - used
            begin = time.perf_counter()
            assert watch(dataset, cache)
            idle = time.perf_counter() - begin
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"{path.name:12} {seconds:8.2f} {processor:9.2f} {idle:8.4f} {peak:8}")


if __name__ == "__main__":
    main()
