"""What the tool itself writes and reads again: as it is, and with a checksum that is right for what was changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from scaling_tasks.actions.results import Result, ResultFile, read_result, write_result
from scaling_tasks.documents import MOST_BYTES, document_text
from scaling_tasks.files import read_regular
from scaling_tasks.planning.api import plan_buckets
from scaling_tasks.planning.bucket_plan import BucketPlan
from scaling_tasks.runtime.bundle import read_manifest
from scaling_tasks.runtime.traffic import Traffic
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.fixed_lengths import FixedLengths
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.stages.analysis import read_analysis
from scaling_tasks.stages.units import UnitsDocument, read_units, write_units
from scaling_tasks.store.store import Store
from tests.fuzz.mutations import json_document
from tests.fuzz.reader import Reader, anything
from tests.runtime.test_manifest import manifest_of

DIGEST = "ab" * 32
WORDS = (b"../../x", b"/etc/passwd", b'"dims"', b"18446744073709551616", b"NaN", b"null", b'"start"')


def _written(name: str, text: Callable[[], str]) -> Callable[[Path], list[Path]]:
    def make(directory: Path) -> list[Path]:
        path = directory / name
        path.write_text(text(), encoding="utf-8")
        return [path]

    return make


def _units(directory: Path) -> list[Path]:
    manifest = manifest_of()
    from scaling_tasks.shapes.unit import Unit

    units = (
        Unit("N1_L16", "m_N1_L16", ("batch", "length"), ((1, 16),)),
        Unit("N1", "m_N1", ("batch", "length"), ((1, 32),)),
    )
    document = UnitsDocument(DIGEST, manifest.signature.inputs, manifest.signature.outputs, manifest.behaviour, units)
    path = directory / "units.json"
    write_units(path, document)
    return [path]


def _plan() -> BucketPlan:
    histogram = ShapeHistogram.from_samples([[32, 100], [48, 320], [64, 64], [32, 100]], variables=("H", "W"))
    return plan_buckets(histogram, max_buckets=2, interval=8)


def _statistics() -> str:
    histogram = ShapeHistogram.from_samples([[32, 100], [48, 320]], variables=("H", "W"))
    return DatasetStatistics(histogram, histogram, None, {"images": 2}).to_json()


def _result(directory: Path) -> list[Path]:
    path = directory / "result.json"
    file = ResultFile("a.xml", DIGEST, 12, "build/net/a.xml")
    write_result(path, Result.of('{"stage":"compile"}', (file,), {"seconds": 1.5}), below=directory)
    return [path]


def _whole_result(directory: Path) -> Any:
    found = read_result(directory / "result.json")
    return found, found.components


def _analysis(directory: Path) -> list[Path]:
    path = directory / "analysis.json"
    behaviour = manifest_of().behaviour
    payload = {"behaviour": behaviour.to_payload(), "places": 2, "original": DIGEST, "possible": behaviour.kind}
    path.write_text(document_text("analysis", 5, payload), encoding="utf-8")
    return [path]


def _record(directory: Path) -> list[Path]:
    (directory / "a").write_bytes(b"content")
    record = Store(directory / "store").put({"stage": "compile"}, {"a": directory / "a"}, {"seconds": 1.5})
    return [directory / "store/records" / record.key[:2] / f"{record.key}.json"]


def _get(directory: Path) -> Any:
    found = Store(directory / "store").get({"stage": "compile"})
    return None if found is None else (found.components, found.files, found.details)


def resealed(read: Callable[[Path], Any], name: str) -> Callable[[Path], Any]:
    """Return a reader of documents that were forged: whatever a file holds, its checksum is made right."""

    def forged(directory: Path) -> Any:
        for path in directory.rglob(name):
            try:
                payload = json.loads(read_regular(path, MOST_BYTES))
                _, kind, version = payload.pop("format").split("/")
                payload.pop("checksum", None)
                path.write_text(document_text(kind, int(version), payload), encoding="utf-8")
            except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError):
                pass  # Read as it is.
        return read(directory)

    return forged


def _readers(
    name: str, file: str, make: Callable[[Path], list[Path]], read: Callable[[Path], Any], **more: Any
) -> tuple[Reader, Reader]:
    as_it_is = Reader(name, make, read, mutators=(json_document,), words=WORDS, **more)
    return as_it_is, replace(as_it_is, name=f"{name}, forged", read=resealed(read, file), allowed=anything)


def _missing_allowed(valid: Any, found: Any) -> bool:
    return found is None


READERS = (
    *_readers("manifest", "manifest.json", _written("manifest.json", lambda: manifest_of().to_json()), read_manifest),
    *_readers("units", "units.json", _units, lambda directory: read_units(directory / "units.json")),
    *_readers(
        "buckets",
        "buckets.json",
        _written("buckets.json", lambda: _plan().to_json()),
        lambda directory: BucketPlan.read(directory / "buckets.json").to_json(),
    ),
    *_readers(
        "statistics",
        "statistics.json",
        _written("statistics.json", _statistics),
        lambda directory: DatasetStatistics.read(directory / "statistics.json").to_json(),
    ),
    *_readers(
        "traffic",
        "traffic.json",
        lambda directory: [_saved(directory / "traffic.json")],
        lambda directory: Traffic.load(directory / "traffic.json"),
    ),
    *_readers("analysis", "analysis.json", _analysis, lambda directory: read_analysis(directory / "analysis.json")),
    *_readers(
        "fixed lengths",
        "m.lengths.json",
        lambda directory: [_lengths(directory / "m.lengths.json")],
        lambda directory: FixedLengths.read(directory / "m.lengths.json"),
    ),
    *_readers("result", "result.json", _result, _whole_result),
    *_readers("store record", "*.json", _record, _get, refuses=False),
)
READERS = tuple(replace(each, allowed=_missing_allowed) if each.name == "store record" else each for each in READERS)


def _lengths(path: Path) -> Path:
    FixedLengths({"kept": "st_0"}, {"kept": 20}, {"boxes": ((("kept",),), ((4,),))}).write(path)
    return path


def _saved(path: Path) -> Path:
    Traffic(("N", "W"), {(1, 100): 3, (2, 320): 1}, {(2, 320): 2}, {"split": 1}, 740, 1280).save(path)
    return path
