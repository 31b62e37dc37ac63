"""Models of which data decides lengths, for formats in which every tensor has one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from scaling_tasks.compilers.base import backend_options
from scaling_tasks.compilers.contract import Artefact, CompileJob
from scaling_tasks.compilers.options import Annotated, Meta, option
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.fixed_lengths import lengths_file

__all__ = ["LONGEST", "told_lengths", "with_fixed_lengths"]

LONGEST = Annotated[
    dict[str, Annotated[int, Meta(ge=1)]],
    option("how long what a node makes may get, by its name, where data decides that"),
]
"""The option's type."""


def with_fixed_lengths(source: Path, job: CompileJob, artefact: Path, fold: Callable[[Path, Path], Path]) -> Path:
    """Return the job's model at its one bucket without lengths that data decides, folded; ``source`` if it has none.

    How to cut the outputs is told beside the artefact.

    Args:
        source: The model, with fixed inputs.
        job: What is compiled.
        artefact: The artefact's first file, which need not be there.
        fold: Writes a model to another path with its constants folded, and returns that.

    Raises:
        CompileError: An operator has no form of a fixed length, or ``longest`` names none that needs it.
        ModelError: The model cannot be read.
    """
    longest: Mapping[str, int] = backend_options(job.options).get("longest") or {}
    if job.behaviour is None or not job.behaviour.data_lengths:
        if longest:
            raise CompileError("data decides no length in this model", where="compile.options.longest")
        return source
    from scaling_tasks.analysis.fixed_lengths import bound_lengths
    from scaling_tasks.onnx_model.fixing import fix_dimensions
    from scaling_tasks.onnx_model.reading import load_model

    bounded = bound_lengths(load_model(source), longest)
    if bounded is None:
        return source
    target = source.with_suffix(".bounded.onnx")
    model = fix_dimensions(bounded.model, {}, where=str(source))  # With all shapes, which what follows looks up.
    target.write_bytes(model.SerializeToString(deterministic=True))
    bounded.lengths.write(lengths_file(artefact))
    return fold(target, target.with_suffix(".folded.onnx"))


def told_lengths(artefact: Artefact) -> Artefact:
    """Return the artefact with the file that tells its lengths, where it has one."""
    told = lengths_file(artefact.files[0])
    return Artefact((*artefact.files, told)) if told.is_file() else artefact
