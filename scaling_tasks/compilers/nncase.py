"""nncase: a kmodel per bucket for the K230 or the CPU, or all sizes in one through its own ShapeBucket."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaling_tasks.compilers.base import BackendBase, backend_options, static_units
from scaling_tasks.compilers.contract import Artefact, CompileJob, Limits, Tolerance
from scaling_tasks.compilers.fixed_lengths import told_lengths
from scaling_tasks.compilers.nncase_calibration import (
    calibration_samples,
    check_calibration,
    files_of_samples,
    judging_samples,
)
from scaling_tasks.compilers.nncase_identity import identify
from scaling_tasks.compilers.nncase_options import (
    COMPILE_OPTIONS,
    PTQ_OPTIONS,
    NncaseOptions,
    check_buckets,
    check_options,
    is_native,
    quantizes,
    target_of,
)
from scaling_tasks.engines.nncase import nncase_environment
from scaling_tasks.engines.nncase_loader import names_file
from scaling_tasks.errors import CompileError
from scaling_tasks.machine import versions
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.shapes.unit import Unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scaling_tasks.shapes.behaviour import Behaviour

__all__ = ["NncaseBackend"]

_MOST_NATIVE = 1 << 16  # nncase has no limit of its own.
# Whose versions show in what they prepare: the model, and the data for its calibration.
_PREPARING, _CALIBRATING = ("onnx", "onnxruntime", "flatbuffers"), ("numpy", "pillow")


class NncaseBackend(BackendBase):
    """Compiles kmodels with nncase 2.x.

    Options: ``target`` (``k230``, default, or ``cpu``), ``quantize`` (default: for k230), ``real_inputs`` (where real
    inputs are; by default the target's ``verify.samples`` or data set), ``samples_count``, ``calibration`` and its kin
    (see ``nncase_calibration``), ``simplify`` (default true: fold constants first, without which nncase aborts on some
    models), ``longest`` (how long a result can get of which data decides the length), and the options of nncase's
    ``CompileOptions`` and ``PTQTensorOptions`` under their own names. ``shape_bucket_enable: true`` leaves the buckets
    to nncase, with its ``shape_bucket_range_info``, ``shape_bucket_segments_count`` and ``shape_bucket_fix_var_map``.
    """

    name = engine = "nncase"
    tolerance = Tolerance(absolute=1e-3, relative=1e-2)
    options_type = NncaseOptions
    file_options = ("calibration", "real_inputs")
    error_pattern = r"^Process terminated|^Unhandled exception|^ ---> "

    def tolerance_for(self, options: Mapping[str, Any]) -> Tolerance:
        """Return the tolerance for floats, or a wide one for eight bits."""
        return Tolerance(absolute=0.1, relative=0.1) if quantizes(options) else self.tolerance

    def limits(self, options: Mapping[str, Any]) -> Limits:
        """Return one bucket per unit, any number with nncase's own ShapeBucket."""
        # Its own ShapeBucket pads where nobody can tell the model how much.
        return Limits(most_buckets=_MOST_NATIVE, size_inputs=False) if is_native(options) else Limits()

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse unknown options and those that would make the compiler abort."""
        super().check(signature, options)
        check_options(signature, options)
        if doubles := [each.name for each in signature.inputs if each.dtype == "float64"]:
            raise CompileError(
                f"nncase cannot compute what the input {doubles[0]!r} holds in double precision",
                where="compile.backend",
                fix="Export the model in float32, or choose another backend.",
            )
        if quantizes(options):
            check_calibration(options)

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return the versions of nncase, of .NET, and of what prepares models and calibration data for it."""
        return identify(target_of(options)) | versions(*_PREPARING, *(_CALIBRATING if quantizes(options) else ()))

    def input_files(self, options: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return the files of the samples on which a quantised model is calibrated and judged."""
        return files_of_samples(options) if quantizes(options) else ()

    def real_inputs(
        self, options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
    ) -> list[dict[str, NDArray[np.generic]]] | None:
        """Return real inputs where the model is quantised: eight bits that suit noise may suit nothing else."""
        return judging_samples(options, shapes, dtypes) if quantizes(options) else None

    def units(
        self, model_stem: str, signature: Signature, buckets: Sequence[Sequence[int]], options: Mapping[str, Any]
    ) -> tuple[Unit, ...]:
        """Return one unit per bucket, or one for nncase's own ShapeBucket."""
        if not (is_native(options) and signature.variables):
            return static_units(model_stem, signature.variables, buckets)
        check_buckets(signature, buckets, options)
        distinct = tuple(dict.fromkeys(tuple(int(value) for value in bucket) for bucket in buckets))
        return (Unit("shape_bucket", f"{model_stem}_shape_bucket", signature.variables, distinct),)

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Prepare the model, compile, and write the kmodel with the names of its inputs and outputs."""
        os.environ.update(nncase_environment())
        import nncase

        content, outputs = _prepared(job, workdir)
        samples = _samples(job) if quantizes(job.options) else []
        os.chdir(workdir)  # nncase leaves directories of its own where it runs, and this process is its alone.
        compile_options = nncase.CompileOptions()
        compile_options.target = target_of(job.options)
        own = backend_options(job.options)
        _assign(compile_options, own, COMPILE_OPTIONS)
        if is_native(job.options):
            _set_shape_bucket(compile_options, job)
        compiler = nncase.Compiler(compile_options)
        importer = compiler.import_tflite if job.model.suffix == ".tflite" else compiler.import_onnx
        importer(content, nncase.ImportOptions())
        if quantizes(job.options):
            compiler.use_ptq(_quantisation(job, samples, nncase))
        compiler.compile()
        kmodel = workdir / f"{job.unit.stem}.kmodel"
        kmodel.write_bytes(compiler.gencode_tobytes())
        names_file(kmodel).write_text(json.dumps(_names(job, outputs), sort_keys=True) + "\n", encoding="utf-8")
        return told_lengths(Artefact((kmodel, names_file(kmodel))))

    def accept(self, artefact: Artefact, options: Mapping[str, Any]) -> None:
        """Load the kmodel, in this process where it has nncase already, as after compiling."""
        if "nncase" not in sys.modules:
            super().accept(artefact, options)
            return
        import nncase

        try:
            nncase.Simulator().load_model(artefact.files[0].read_bytes())
        except RuntimeError as cause:
            raise CompileError(f"does not load ({cause})", where=str(artefact.files[0])) from cause


def _prepared(job: CompileJob, workdir: Path) -> tuple[bytes, list[str]]:
    """Return the model to import, in one piece, and the names of its outputs."""
    from scaling_tasks.compilers.nncase_model import named_model, static_model
    from scaling_tasks.onnx_model.reading import whole_model

    if is_native(job.options):
        source, outputs = named_model(job, workdir)
    else:
        source, outputs = static_model(job, workdir, simplify=bool(backend_options(job.options).get("simplify", True)))
    # nncase imports bytes, and finds no file from there.
    return source.read_bytes() if source.suffix == ".tflite" else whole_model(source), outputs


def _assign(target: Any, own: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if name in own:
            setattr(target, name, own[name])


def _set_shape_bucket(compile_options: Any, job: CompileJob) -> None:
    """Give nncase its ranges: those of the options, else from 1 to the largest bucket."""
    own = backend_options(job.options)
    fixed = own.get("shape_bucket_fix_var_map", {})
    columns = zip(job.unit.variables, zip(*job.unit.buckets, strict=True), strict=True)
    largest = {variable: max(column) for variable, column in columns if variable not in fixed}
    common = max(largest.values(), default=1)  # nncase selects correctly for equal ranges only
    ranges = own.get("shape_bucket_range_info") or dict.fromkeys(largest, (1, common))
    compile_options.shape_bucket_enable = True
    compile_options.shape_bucket_range_info = {name: tuple(bounds) for name, bounds in ranges.items()}
    compile_options.shape_bucket_segments_count = int(own.get("shape_bucket_segments_count", 2))
    compile_options.shape_bucket_fix_var_map = dict(fixed)


def _samples(job: CompileJob) -> list[Any]:
    """Return the bucket's calibration samples; those of the largest bucket for several."""
    values = max(job.unit.values(), key=lambda bucket: sum(bucket.values()))
    behaviour = job.behaviour
    told = {spec.name for spec in behaviour.size_inputs} if behaviour else set()
    own = Signature(tuple(tensor for tensor in job.signature.inputs if tensor.name not in told))
    dtypes = {tensor.name: tensor.dtype for tensor in own.inputs}
    tell = functools.partial(_told, behaviour, own, values) if behaviour else None
    return calibration_samples(job.options, own.shapes(values), dtypes, tell)


def _told(
    behaviour: Behaviour, own: Signature, bucket: Mapping[str, int], sample: Mapping[str, NDArray[np.generic]]
) -> dict[str, NDArray[np.generic]]:
    """Return what the runtime would tell the model of a sample's size."""
    sizes = own.sizes({name: array.shape for name, array in sample.items()})
    return behaviour.feeds_of_one_size(bucket, {**bucket, **sizes})


def _quantisation(job: CompileJob, samples: list[Any], nncase: Any) -> Any:
    options = nncase.PTQTensorOptions()
    _assign(options, backend_options(job.options), PTQ_OPTIONS)
    options.samples_count = len(samples)
    options.set_tensor_data([[sample[tensor.name] for sample in samples] for tensor in job.signature.inputs])
    return options


def _names(job: CompileJob, outputs: list[str]) -> dict[str, Any]:
    """Return the names of inputs and outputs, and the shapes of a static kmodel's inputs."""
    inputs = [tensor.name for tensor in job.signature.inputs]
    if is_native(job.options):
        return {"inputs": inputs, "outputs": outputs, "shapes": None}
    (values,) = job.unit.values()
    shapes = [list(shape) for shape in job.signature.shapes(values).values()]
    return {"inputs": inputs, "outputs": outputs, "shapes": shapes}
