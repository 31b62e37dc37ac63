"""Det annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scaling_tasks.samples.api import scan_dataset
from tests.fuzz.mutations import json_line
from tests.fuzz.reader import Reader, anything


def make(directory: Path) -> list[Path]:
    """Write an annotation of four lines."""

    def box(height: float, width: float, *more: list[float]) -> dict[str, Any]:
        return {"transcription": "text", "points": [[0, 0], [width, 0], [width, height], *more, [0, height]]}

    lines = [[box(10, 50), box(12.5, 80)], [], [box(30, 100, [50, 30.0])], [box(48, 320)]]
    path = directory / "det_gt.txt"
    path.write_text("".join(f"{number}.jpg\t{json.dumps(boxes)}\n" for number, boxes in enumerate(lines)))
    return [path]


def _read(directory: Path) -> Any:
    shape = {"x": [-1, 3, 48, -1]}
    found = scan_dataset(directory / "det_gt.txt", shape, cache_path=directory / "scan.cache")
    return found.samples.tolist(), found.weights.tolist()


_WORDS = (b'"points"', b"[[0,0],[1e308,0],[1e308,1e308],[0,1e308]]", b"[[0,0],[16777217,0],[1,1],[0,9]]", b"\t[]\n")
READERS = (Reader("annotation", make, _read, allowed=anything, mutators=(json_line,), words=_WORDS),)
