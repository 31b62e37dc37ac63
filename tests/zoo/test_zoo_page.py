"""What ``make zoo`` prints and writes: differences beyond rounding stand out, refusals come with their reasons."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo import __main__ as command
from benchmarks.zoo import kept
from benchmarks.zoo.judging import apart
from benchmarks.zoo.registry import zoo_model
from benchmarks.zoo.table import page, row_line
from benchmarks.zoo.verdict import LEAST_TOLERANCE, Cell, Row, tolerance
from scaling_tasks.shapes.behaviour import Verdict

_MODEL = zoo_model("cumulative")


def test_a_difference_beyond_rounding_is_bold_and_what_the_backend_does_itself_is_told() -> None:
    cells = (
        Cell("onnxruntime", 3e-7, True, 50, 0.0, 0.001, 1.04),
        Cell("openvino", 0.25, False, 50, 0.0, 0.001, 1.5),
        Cell("lite", 2e-3, True, 9, 1.5e-3, 0.001, 1.1),
        Cell("nncase", problem="aborts", plain_too=True),
    )
    row = Row(_MODEL, (Verdict("total", "length", "cleaned"),), "length", 3, {"total": 0.5}, {"total": 1e-7}, cells)
    line = row_line(row, ["onnxruntime", "openvino", "lite", "nncase"], 50)
    assert "| cleaned: length | 3 | 5.0e-01 | 1.0e-07 | 3.0e-07 · × 1.04 | **2.5e-01** · × 1.50 |" in line
    assert "2.0e-03 (9 sizes) (itself 1.5e-03) · × 1.10 | not compiled |" in line


def test_page_says_what_is_refused_and_by_whom() -> None:
    verdict = Verdict("y", "length", "refused", "node_7", "TopK", "it sorts", "")
    failed = Cell("openvino", problem="KeyError: 'y'")
    rows = [Row(_MODEL, (verdict,)), Row(_MODEL, (Verdict("y", "length", "exact"),), cells=(failed,))]
    text = page(rows, ["openvino"], 5, "an idle machine")
    assert "Made on an idle machine." in text
    assert "2 models: 1 exact, 0 cleaned, 0 partly refused, 1 refused." in text
    assert "| cumulative | y | TopK: it sorts |" in text
    assert "| cumulative | openvino | **no** | KeyError: 'y' |" in text
    assert "openvino: 0 answer as the original does, 1 do not" in text


def test_apart_is_infinite_where_shape_type_or_finiteness_differ() -> None:
    one = np.array([1.0, -4.0], np.float32)
    assert apart(one + np.float32(2), one) == pytest.approx(0.5)
    assert apart(one[:1], one) == float("inf")
    assert apart(one.astype(np.float64), one) == float("inf")
    assert apart(np.array([1.0, np.nan], np.float32), one) == float("inf")
    assert apart(np.array([np.nan], np.float32), np.array([np.nan], np.float32)) == 0.0


def test_an_ill_conditioned_model_is_held_to_its_own_rounding() -> None:
    assert tolerance(0.0) == LEAST_TOLERANCE
    assert tolerance(1e-3) == pytest.approx(1e-2)


def test_command_judges_one_model_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "zoo.md"
    arguments = ["zoo", "--models", "rnn_reverse", "--backends", "onnxruntime", "--sizes", "4", "--write", str(file)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--keep", str(tmp_path / "kept")])
    assert command.main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("| rnn_reverse | ")
    monkeypatch.setattr(kept, "judge", None)  # What was found is not looked for again.
    monkeypatch.setattr(kept, "compare", None)
    assert command.main() == 0
    assert capsys.readouterr().out == printed
    assert "1 models: 0 exact, 1 cleaned" in file.read_text()
