"""Tests that every backend must pass; a backend's own test suite inherits them.

A package that brings a backend writes, in a test module that pytest collects::

    from scaling_tasks.compilers.conformance import CompilerConformance

    class TestMine(CompilerConformance):
        backend_name = "mine"
        options = {"device": "cpu", "options": {}}
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from scaling_tasks.compilers.conformance_models import (
    CleanedCase,
    ConformanceCase,
    cleaned_case,
    corner_case,
    image_case,
    shared_variable_case,
    side_file_case,
    transformer_case,
    weightless_case,
)
from scaling_tasks.compilers.contract import Backend, CompileJob
from scaling_tasks.compilers.isolation import CompileResult, run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.compilers.shared import SHARED
from scaling_tasks.engines.contract import Engine
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.files import digest_file
from scaling_tasks.shapes.unit import Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scaling_tasks.shapes.behaviour import Behaviour

    Arrays = dict[str, NDArray[Any]]

__all__ = ["CompilerConformance"]


class CompilerConformance:
    """Base class of a backend's tests.

    Attributes:
        backend_name: The name it is registered under.
        options: The target's ``compile`` section without ``backend``.
        unequal_bytes: Why two compiles of one unit may differ in bytes; empty where they must not.
        heavy_modules: Packages that ``identity`` must not import.
        timeout: Longest compile in seconds.
    """

    backend_name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    unequal_bytes: ClassVar[str] = ""
    heavy_modules: ClassVar[tuple[str, ...]] = ()
    timeout: ClassVar[float] = 120.0

    @property
    def backend(self) -> Backend:
        """The backend under test, found as the pipeline finds it."""
        return get_backend(self.backend_name)

    @property
    def compile_options(self) -> dict[str, Any]:
        """The target's ``compile`` section."""
        return {"backend": self.backend_name, **self.options}

    def test_image_model(self, tmp_path: Path) -> None:
        """An image model with two variables gives the original's results at every bucket."""
        self.check_case(image_case(tmp_path), tmp_path)

    def test_inputs_that_share_a_variable(self, tmp_path: Path) -> None:
        """A variable that two inputs share is fixed in both."""
        self.check_case(shared_variable_case(tmp_path), tmp_path)

    def test_batch_and_sequence(self, tmp_path: Path) -> None:
        """Variables of other names than N, H and W do as well."""
        self.check_case(transformer_case(tmp_path), tmp_path)

    def test_weights_in_a_side_file(self, tmp_path: Path) -> None:
        """A model's weights may lie in a file beside it, which a compile leaves as it is."""
        case = side_file_case(tmp_path)
        before = {file: digest_file(file) for file in tmp_path.rglob("*") if file.is_file()}
        self.check_case(case, tmp_path)
        changed = [file.name for file in before if digest_file(file) != before[file]]
        assert not changed, f"compiling changed the user's files {changed}: write below the work directory only"

    def test_model_without_weights(self, tmp_path: Path) -> None:
        """A model needs no weights."""
        self.check_case(weightless_case(tmp_path), tmp_path)

    @pytest.mark.parametrize("make", [image_case, transformer_case, corner_case])
    def test_cleaned_model_is_exact_at_smaller_sizes(
        self, make: Callable[[Path], ConformanceCase], tmp_path: Path
    ) -> None:
        """A model that is told exact sizes gives the original's results at sizes that its buckets contain."""
        case = cleaned_case(make(tmp_path), tmp_path)
        assert case.behaviour.size_inputs
        if self.backend.limits(self.compile_options).size_inputs:
            self.check_cleaned(case, tmp_path)

    def test_units_hold_every_bucket(self, tmp_path: Path) -> None:
        """Each bucket is in a unit, no unit is beyond the limits, and stems are file names that differ."""
        case = image_case(tmp_path)
        limits = self.backend.limits(self.compile_options)
        units = self.units(case)
        held = {bucket for unit in units for bucket in unit.buckets}
        missing = sorted(set(case.buckets) - held)
        assert not missing, f"units() leaves out the buckets {missing}: every one must be in a unit"
        for unit in units:
            count, stem = len(unit.buckets), f"{case.model.stem}_{unit.name}"
            assert limits.fewest_buckets <= count <= limits.most_buckets, f"{unit.name} holds {count} buckets: {limits}"
            assert unit.stem == stem, f"the unit {unit.name!r} has the stem {unit.stem!r}, not {stem!r}"
            assert "/" not in unit.stem, f"the stem {unit.stem!r} is no file name"
        stems = [unit.stem for unit in units]
        assert len(set(stems)) == len(stems), f"two units have one stem, and would overwrite each other: {stems}"

    def test_same_bytes_again(self, tmp_path: Path) -> None:
        """Two compiles of one unit agree, or the backend says why not."""
        case = shared_variable_case(tmp_path)
        unit = self.units(case)[0]
        self.check_same_bytes([self.compile(case, unit, tmp_path / name) for name in ("first", "second")])

    def test_identity_is_plain_and_light(self) -> None:
        """The toolchain is identified by plain strings, without importing it."""
        code = (
            "import json, sys; from scaling_tasks.compilers.registry import get_backend; "
            f"identity = get_backend({self.backend_name!r}).identity(json.loads(sys.argv[1])); "
            f"print(json.dumps([identity, [name for name in {self.heavy_modules!r} if name in sys.modules]]))"
        )
        command = [sys.executable, "-c", code, json.dumps(self.compile_options)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"identity() fails, or holds what JSON cannot: {done.stderr}"
        identity, imported = json.loads(done.stdout)
        plain = isinstance(identity, dict) and all(isinstance(value, str) and value for value in identity.values())
        assert plain and identity, f"identity() must be a mapping to texts, none of them empty, and is {identity}"  # noqa: PT018
        assert not imported, f"identity() imports {imported}: it is asked for on every build, read versions instead"

    def test_unknown_option_is_named(self, tmp_path: Path) -> None:
        """A key of ``compile.options`` that does not exist is refused before anything runs."""
        own = dict(self.compile_options.get("options") or {}) | {"no_such_option": 1}
        message = _refusal(
            self.backend.check, shared_variable_case(tmp_path).signature, {**self.compile_options, "options": own}
        )
        assert "no_such_option" in message, f"check() does not name the unknown option: {message}"

    def test_broken_model_fails_alone(self, tmp_path: Path) -> None:
        """A file that is no model gives one error with the log and a command to repeat it."""
        case = shared_variable_case(tmp_path)
        unit = self.units(case)[0]
        broken = tmp_path / "broken.onnx"
        broken.write_bytes(case.model.read_bytes()[:40])
        message = _refusal(
            self.compile, ConformanceCase(broken, case.signature, case.buckets), unit, tmp_path / "broken"
        )
        for part in (unit.stem, str(tmp_path / "broken.log"), "worker"):
            assert part in message, f"the error of a broken model does not name {part}: {message}"

    def test_truncated_artefact_does_not_load(self, tmp_path: Path) -> None:
        """Half an artefact is refused."""
        case = shared_variable_case(tmp_path)
        artefact = self.compile(case, self.units(case)[0], tmp_path / "work").artefact
        path = artefact.files[0]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        message = _refusal(self.backend.accept, artefact, self.compile_options)
        assert str(path) in message, f"the error of a truncated artefact does not name it: {message}"

    def check_case(self, case: ConformanceCase, directory: Path) -> list[CompileResult]:
        """Compile every unit of a case and compare it with onnxruntime on the original at each of its buckets."""
        self.backend.check(case.signature, self.compile_options)
        results = []
        for unit in self.units(case):
            results.append(self.compile(case, unit, directory / unit.name))
            files = results[-1].artefact.files
            names = [file.name for file in files]
            assert names[0].startswith(unit.stem), (
                f"the first file is {names[0]!r}, which begins not with {unit.stem!r}"
            )
            strangers = [name for name in names if not name.startswith((unit.stem, f"{SHARED}-"))]
            assert not strangers, f"{strangers} begin neither with {unit.stem!r} nor as `shared_name` has it"
            engine = load_engine(self.backend.engine, files[0], self.compile_options)
            try:
                for values in unit.values():
                    inputs = _inputs(case, values)
                    self.compare(engine.run(inputs), _reference(case.model, inputs))
            finally:
                engine.close()
        return results

    def check_cleaned(self, case: CleanedCase, directory: Path) -> None:
        """Compile every unit of a cleaned case and compare it with the original at sizes that its buckets contain."""
        self.backend.check(case.compiled.signature, self.compile_options)
        for unit in self.units(case.compiled):
            path = self.compile(case.compiled, unit, directory / unit.name, case.behaviour).artefact.files[0]
            engine = load_engine(self.backend.engine, path, self.compile_options)
            try:
                for values in unit.values():
                    for lost in range(3):
                        self._compare_cleaned(case, engine, values, lost)
            finally:
                engine.close()

    def _compare_cleaned(self, case: CleanedCase, engine: Engine, bucket: Mapping[str, int], lost: int) -> None:
        """Compare at the bucket less some positions of each variable but the one that counts rows."""
        import numpy as np

        rows = case.behaviour.rows
        sizes = {name: size if name == rows else size - lost * size // 4 for name, size in bucket.items()}
        inputs = _inputs(case.original, sizes)
        padded = {
            name: np.pad(inputs[name], [(0, room - have) for room, have in zip(shape, inputs[name].shape, strict=True)])
            for name, shape in case.original.signature.shapes(bucket).items()
        }
        told = case.behaviour.feeds_of_one_size(bucket, sizes)
        expected = _reference(case.original.model, inputs)
        found = engine.run({**padded, **told})
        self.compare({name: found[name][tuple(map(slice, array.shape))] for name, array in expected.items()}, expected)

    def check_same_bytes(self, results: Sequence[CompileResult]) -> None:
        """Assert that compiles of one unit gave the same files, or that the backend says why not."""
        digests = [{file.name: digest_file(file) for file in result.artefact.files} for result in results]
        for each in digests[1:]:
            assert each.keys() == digests[0].keys(), f"two compiles give other files: {[*digests[0]]} and {[*each]}"
            differing = [name for name in each if each[name] != digests[0][name]]
            said = "say why in `unequal_bytes`, or have the compiler write the same bytes every time"
            assert not differing or self.unequal_bytes, f"two compiles give other bytes in {differing}: {said}"

    def compare(self, found: Arrays, expected: Arrays) -> None:
        """Assert that the outputs have the names, shapes and, within the backend's tolerance, values expected."""
        import numpy as np

        tolerance = self.backend.tolerance_for(self.compile_options)
        assert found.keys() == expected.keys(), f"the outputs are {sorted(found)}, not {sorted(expected)}"
        for name, array in expected.items():
            for what, got, wanted in (
                ("type", found[name].dtype, array.dtype),
                ("shape", found[name].shape, array.shape),
            ):
                assert got == wanted, f"output {name!r} has the {what} {got}, not {wanted}"
            off = f"output {name!r} is further off than {tolerance}"
            absolute, relative = tolerance.absolute, tolerance.relative
            np.testing.assert_allclose(found[name], array, rtol=relative, atol=absolute, err_msg=off)

    def units(self, case: ConformanceCase) -> tuple[Unit, ...]:
        """Return the units for a case."""
        return self.backend.units(case.model.stem, case.signature, case.buckets, self.compile_options)

    def compile(
        self, case: ConformanceCase, unit: Unit, workdir: Path, behaviour: Behaviour | None = None
    ) -> CompileResult:
        """Compile one unit in isolation, as the pipeline does."""
        job = CompileJob(case.model, case.signature, unit, self.compile_options, behaviour=behaviour)
        return run_job(job, workdir, log=workdir.with_suffix(".log"), timeout=self.timeout)


def _inputs(case: ConformanceCase, values: Mapping[str, int]) -> Arrays:
    import numpy as np

    generator = np.random.default_rng(7)
    return {
        tensor.name: generator.random(tensor.shape(values)).astype(tensor.dtype) for tensor in case.signature.inputs
    }


def _reference(model: Path, inputs: Arrays) -> Arrays:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _refusal(action: Any, *arguments: Any) -> str:
    """Return the message of the error that the call must raise."""
    try:
        action(*arguments)
    except ScalingTasksError as error:
        return str(error)
    raise AssertionError(f"{action.__qualname__} took what it must refuse with a CompileError or EngineError")
