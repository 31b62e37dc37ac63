"""The rows of the table: every way of serving that is compared, each made and run in a process of its own."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.serving import systems
from benchmarks.serving.bundles import build_bundle, build_measured, planned_widths, with_batches
from benchmarks.serving.crops import ROOT, Work, find_work
from examples.ocr.ocr import decode, read_letters

__all__ = ["REFERENCE", "Row", "row_names"]

MODEL = ROOT / "models/ppocr_rec.onnx"
BUILD = ROOT / "build/benchmarks/serving"
REFERENCE = "onnxruntime, one by one"
_OURS = (8, 16, 32)


class Row:
    """A way of serving, in a process of its own: some keep gigabytes of what they prepared for widths they have seen.

    Args:
        name: One of ``row_names``.
        pages: How many pages are served, None for all.
    """

    def __init__(self, name: str, pages: int | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_work, args=(name, pages, other), daemon=True)
        self._process.start()
        other.close()
        self._receive()

    def serve(self, page: int) -> float:
        """Return the seconds that a page took."""
        return float(self._ask(page))

    def close(self) -> tuple[list[list[str]], int]:
        """End the process; return what was read per page, and the most bytes of memory that it had."""
        texts, memory = self._ask(None)
        self._process.join()
        return texts, memory

    def _ask(self, question: int | None) -> Any:
        self._connection.send(question)
        return self._receive()

    def _receive(self) -> Any:
        try:
            return self._connection.recv()
        except EOFError:
            raise SystemExit("a row's process died; see above") from None


def row_names() -> list[str]:
    """Return the names of all rows, in the order of the table."""
    return list(_makers(None))


def _work(name: str, pages: int | None, connection: Connection) -> None:
    work = find_work(pages)
    serve = _makers(work)[name]()
    letters = read_letters(MODEL)
    texts: list[list[str]] = [[] for _ in work.pages]
    connection.send("ready")
    while (page := connection.recv()) is not None:
        begin = time.perf_counter()
        scores = serve(work.pages[page].pixels)
        seconds = time.perf_counter() - begin
        texts[page] = [decode(each, letters) for each in scores]
        connection.send(seconds)
    connection.send((texts, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def _makers(work: Any) -> dict[str, Callable[[], systems.Serve]]:
    """Return how to make each row; ``work`` is only looked at when one is made."""

    def ours(buckets: int, precision: str, *, exact: bool = True) -> Callable[[], systems.Serve]:
        def make() -> systems.Serve:
            shapes = with_batches(planned_widths(work.widths, buckets), [1])
            directory = BUILD / f"{work.name}-{buckets}-{precision}{'' if exact else '-accepted'}"
            return systems.bundle(build_bundle(MODEL, shapes, directory, precision, exact=exact))

        return make

    def together(buckets: int, precision: str) -> Callable[[], systems.Serve]:
        directory = f"-{buckets}-{precision}-together"
        return lambda: systems.bundle(build_measured(work, MODEL, BUILD / (work.name + directory), precision, buckets))

    def mindocr(precision: str) -> systems.Serve:
        gears = planned_widths(work.widths, 16, strategy="mean_std", interval=32)
        return systems.mindocr_rule(MODEL, precision, gears, [1, 4, 8])

    def widest(work: Work) -> int:
        return int(-(-work.widths.samples.max() // 8) * 8)

    makers: dict[str, Callable[[], systems.Serve]] = {
        "onnxruntime, RapidOCR's rule": lambda: systems.rapidocr_rule(MODEL),
        REFERENCE: lambda: systems.onnxruntime_singles(MODEL),
    }
    for precision in ("f32", "bf16"):
        makers |= {
            f"OpenVINO {precision}, dynamic, one by one": lambda p=precision: systems.openvino_singles(MODEL, p),
            f"OpenVINO {precision}, dynamic, batches of 6": lambda p=precision: systems.openvino_sixes(MODEL, p),
            f"OpenVINO {precision}, the same, one per core": (
                lambda p=precision: systems.openvino_sixes_parallel(MODEL, p)
            ),
            f"OpenVINO {precision}, MindOCR's plan and rule": lambda p=precision: mindocr(p),
            f"OpenVINO {precision}, padded to the maximum": (
                lambda p=precision: systems.pad_to_maximum(MODEL, p, widest(work))
            ),
        }
        makers |= {f"ours {precision}, {buckets} widths": ours(buckets, precision) for buckets in _OURS}
        makers[f"ours {precision}, 32 widths, padding accepted"] = ours(32, precision, exact=False)
        makers[f"ours {precision}, 32 (N, W) planned together"] = together(32, precision)
    return makers
