"""The example of a backend passes the conformance tests that an outside backend inherits."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_tasks.compilers.conformance import CompilerConformance

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend" / "zipped_backend.py"


class TestZipped(CompilerConformance):
    backend_name = "zipped"
    heavy_modules = ("onnx", "onnxruntime", "numpy")

    @pytest.fixture(autouse=True)
    def registered(self, outside_package: Path):
        (outside_package / EXAMPLE.name).write_text(EXAMPLE.read_text())
        (outside_package / "faulty-1.0.dist-info" / "entry_points.txt").write_text(
            "[scaling_tasks.compilers]\nzipped = zipped_backend:ZippedBackend\n"
        )
