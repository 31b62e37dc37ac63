"""What a compiler backend is: the contract between the pipeline and every toolchain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from scaling_tasks.compilers.options import Options
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.shapes.unit import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.shapes.behaviour import Behaviour

__all__ = ["Artefact", "Backend", "CompileJob", "Limits", "Tolerance"]


class Limits(msgspec.Struct, frozen=True):
    """What a platform takes.

    Attributes:
        fewest_buckets: Fewest buckets in one unit.
        most_buckets: Most buckets in one unit.
        product_only: Whether buckets must be the product of a list per variable.
        size_inputs: Whether the compiled model may have inputs beside the original's, which tell a request's exact
            size. A model that is exact only with them is refused where not.
    """

    fewest_buckets: int = 1
    most_buckets: int = 1
    product_only: bool = False
    size_inputs: bool = True


class Tolerance(msgspec.Struct, frozen=True):
    """Largest accepted difference from the original: ``|a - b| <= absolute + relative * |b|``."""

    absolute: float
    relative: float


class CompileJob(msgspec.Struct, frozen=True):
    """All that a compiler needs to know.

    Attributes:
        model: The model to compile, an existing file: the original as it is, or cleaned.
        signature: Its inputs with dynamic dimensions named: the original's, then those of ``behaviour.size_inputs``,
            whose dimensions may be expressions of the variables.
        unit: What to compile.
        options: The target's ``compile`` section as plain values: ``backend``, ``options``, and what of ``device`` and
            ``soc_version`` the backend reads.
        shared: A directory that units of the same model, inputs, options and toolchain may fill and read, see
            ``scaling_tasks.compilers.shared``; it may not exist yet. None where there is none.
        behaviour: How the inputs that tell exact sizes are filled (``rows`` and ``size_inputs``), for a backend that
            runs the model to compile it, and which lengths data decides (``data_lengths``), for one whose formats have
            none; None where there is neither.
    """

    model: Path
    signature: Signature
    unit: Unit
    options: Mapping[str, Any]
    shared: Path | None = None
    behaviour: Behaviour | None = None


class Artefact(msgspec.Struct, frozen=True):
    """The files that one unit produced; the first is the one that is loaded, the others stand beside it."""

    files: tuple[Path, ...]


class Backend(Protocol):
    """A toolchain. One object, stateless; imports its own package only inside its methods."""

    name: str
    tolerance: Tolerance
    engine: str
    """Name of the engine that loads its artefacts, see ``scaling_tasks.engines``."""
    options_type: ClassVar[type[Options]]
    """What ``compile.options`` may hold."""
    file_options: tuple[str, ...]

    def chip_settings(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return which of ``device`` and ``soc_version`` it reads under these options; it is told no others."""
        ...

    def limits(self, options: Mapping[str, Any]) -> Limits:
        """Return what the platform takes under these options."""
        ...

    def tolerance_for(self, options: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance under these options, which may ask for fewer bits."""
        ...

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse impossible options before anything runs.

        Raises:
            CompileError: Naming the option.
        """
        ...

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return what of the toolchain determines the result (tool versions, binary digests), for the cache key.

        Raises:
            CompileError: The toolchain is missing; one line saying how to get it.
        """
        ...

    def input_files(self, options: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return the files besides the model that the options name and a compile reads.

        Raises:
            CompileError: An option names files that are not there.
        """
        ...

    def real_inputs(
        self, options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
    ) -> list[dict[str, NDArray[np.generic]]] | None:
        """Return inputs on which a bucket's artefact is compared with the original; None for random ones.

        They are of any sizes that the bucket's shapes contain.

        Raises:
            CompileError: There should be some and are none.
        """
        ...

    def units(
        self, model_stem: str, signature: Signature, buckets: Sequence[Sequence[int]], options: Mapping[str, Any]
    ) -> tuple[Unit, ...]:
        """Group buckets (columns in the order of ``signature.variables``) into compiler invocations."""
        ...

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Compile in the current (worker) process, or by running the tool; write only below ``workdir``.

        File names of the artefact begin with ``job.unit.stem``; a file that units may have in common is called as
        ``scaling_tasks.compilers.shared.shared_name`` does.

        Raises:
            CompileError: With the compiler's own last words.
        """
        ...

    def errors_in_log(self, log: str) -> tuple[str, ...]:
        """Return the lines of the compiler's output that mean failure, whatever its exit status says."""
        ...

    def accept(self, artefact: Artefact, options: Mapping[str, Any]) -> None:
        """Refuse an artefact that does not load; called in the worker process after ``compile``.

        Raises:
            CompileError: It does not load.
        """
        ...

    def cannot_run(self, options: Mapping[str, Any]) -> str:
        """Return why artefacts run on no machine through this backend; empty where they can be loaded and run."""
        ...
