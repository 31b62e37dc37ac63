"""What most backends have in common: one bucket per unit, no options, an artefact that is accepted when it loads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from scaling_tasks.compilers.choices import check_choice
from scaling_tasks.compilers.contract import Artefact, CompileJob, Limits, Tolerance
from scaling_tasks.compilers.options import Options, read_options
from scaling_tasks.engines.contract import backend_options
from scaling_tasks.engines.registry import load_engine
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.shapes.unit import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Inputs = dict[str, NDArray[np.generic]]

__all__ = ["BackendBase", "backend_options", "check_choice", "is_dynamic", "one_unit", "static_units"]


ANY_NUMBER = 1 << 20
"""More buckets than any plan has."""


class BackendBase:
    """Base of a backend that compiles one static bucket per unit.

    A subclass sets ``name`` and ``engine`` and implements ``compile``; everything else has a default. One whose
    ``options_type`` has a ``dynamic`` gets all buckets in one unit where a target sets it.

    Attributes:
        name: What ``compile.backend`` says.
        engine: What loads its artefacts: the name of an engine (``scaling_tasks.engines``).
        tolerance: Largest difference from the original that verification accepts by default.
        options_type: What ``compile.options`` may hold.
        file_options: Those of its options that name a file or a directory, see ``input_files``.
        error_pattern: Regular expression for a line of the log that means failure.
    """

    name: str = ""
    engine: str = ""
    tolerance: Tolerance = Tolerance(absolute=1e-4, relative=1e-3)
    options_type: ClassVar[type[Options]] = Options
    file_options: tuple[str, ...] = ()
    error_pattern: ClassVar[str] = r"^Traceback \(most recent call last\)"

    def tolerance_for(self, options: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance under these options; ``tolerance`` unless a backend computes in fewer bits for some."""
        return self.tolerance

    def chip_settings(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return neither: what it compiles for is among its own options."""
        return ()

    def limits(self, options: Mapping[str, Any]) -> Limits:
        """Return one bucket per unit, or any number with ``dynamic``."""
        return Limits(most_buckets=ANY_NUMBER) if is_dynamic(options) else Limits()

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse keys of ``compile.options`` that the backend does not have, and values of other types.

        Raises:
            CompileError: Naming the key, and the nearest known one.
        """
        read_options(self.options_type, options, self.name)

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return nothing: the version of the package that brings the backend is in the key by itself."""
        return {}

    def input_files(self, options: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return no files."""
        return ()

    def real_inputs(
        self, options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
    ) -> list[Inputs] | None:
        """Return None: random inputs will do."""
        return None

    def units(
        self, model_stem: str, signature: Signature, buckets: Sequence[Sequence[int]], options: Mapping[str, Any]
    ) -> tuple[Unit, ...]:
        """Return one unit per bucket, or one for all with ``dynamic``."""
        group = one_unit if is_dynamic(options) else static_units
        return group(model_stem, signature.variables, buckets)

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Compile in the current (worker) process."""
        raise NotImplementedError

    def errors_in_log(self, log: str) -> tuple[str, ...]:
        """Return the lines that ``error_pattern`` matches."""
        pattern = re.compile(self.error_pattern)
        return tuple(line for line in log.splitlines() if pattern.search(line))

    def accept(self, artefact: Artefact, options: Mapping[str, Any]) -> None:
        """Load the artefact once."""
        load_engine(self.engine, artefact.files[0], options).close()

    def cannot_run(self, options: Mapping[str, Any]) -> str:
        """Return nothing: artefacts can be run."""
        return ""


def static_units(model_stem: str, variables: Sequence[str], buckets: Sequence[Sequence[int]]) -> tuple[Unit, ...]:
    """Return one unit per distinct bucket: ``<model>_N1_W320``, or ``<model>_static`` without variables."""
    if not variables:
        return (Unit("static", f"{model_stem}_static", (), ((),)),)
    distinct = dict.fromkeys(tuple(int(value) for value in bucket) for bucket in buckets)
    units = []
    for bucket in distinct:
        name = "_".join(f"{_label(variable)}{value}" for variable, value in zip(variables, bucket, strict=True))
        units.append(Unit(name, f"{model_stem}_{name}", tuple(variables), (bucket,)))
    return tuple(units)


def one_unit(model_stem: str, variables: Sequence[str], buckets: Sequence[Sequence[int]]) -> tuple[Unit, ...]:
    """Return all distinct buckets in one unit, ``<model>_dynamic``: an artefact that takes the size of each."""
    if not variables:
        return static_units(model_stem, variables, buckets)
    distinct = tuple(dict.fromkeys(tuple(int(value) for value in bucket) for bucket in buckets))
    return (Unit("dynamic", f"{model_stem}_dynamic", tuple(variables), distinct),)


def is_dynamic(options: Mapping[str, Any]) -> bool:
    """Return whether the option ``dynamic`` asks for one artefact for all buckets."""
    return bool(backend_options(options).get("dynamic", False))


def _label(variable: str) -> str:
    """Return a variable's name as a file name takes it, with a dash where its value could be read as part of it."""
    plain = re.sub(r"[^A-Za-z0-9.-]", "-", variable)
    return f"{plain}-" if plain[-1:].isdigit() else plain
