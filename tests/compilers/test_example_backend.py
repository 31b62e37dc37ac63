"""The example of a backend passes the conformance tests that an outside backend inherits."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling_tasks.compilers.conformance import CompilerConformance
from scaling_tasks.compilers.registry import outside_version
from scaling_tasks.compilers.schema import complete_schema
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature, TensorSpec

EXAMPLE = Path(__file__).parents[2] / "examples" / "backend"


def test_it_takes_no_more_than_sixty_lines():
    lines = [line for file in EXAMPLE.glob("*.py") for line in file.read_text().splitlines() if line.strip()]
    assert len(lines) <= 60


class TestZipped(CompilerConformance):
    backend_name = "zipped"
    heavy_modules = ("onnx", "onnxruntime", "numpy")

    @pytest.fixture(autouse=True)
    def registered(self, outside_package: Path):
        for file in EXAMPLE.glob("*.py"):
            (outside_package / file.name).write_text(file.read_text())
        (outside_package / "faulty-1.0.dist-info" / "entry_points.txt").write_text(
            "[scaling_tasks.compilers]\nzipped = zipped_backend:ZippedBackend\n"
            "[scaling_tasks.engines]\nzipped = zipped_engine\n"
        )

    def test_its_options_are_in_the_schema_and_validated(self):
        definitions = complete_schema()["$defs"]
        assert definitions["zipped.ZippedOptions"]["properties"]["level"]["maximum"] == 9
        signature = Signature((TensorSpec("x", (1, "W")),))
        for level, message in ((10, "10 is above 9"), ("hard", "'hard' is a text")):
            with pytest.raises(CompileError, match=rf"compile\.options\.level: {message}"):
                self.backend.check(signature, {"options": {"level": level}})

    def test_the_version_of_its_package_is_in_the_key(self):
        assert outside_version("zipped")["backend:faulty"] == "1.0"
