"""Preparing a model for nncase: static and simplified, or with its dynamic dimensions named."""

from __future__ import annotations

from pathlib import Path

from scaling_tasks.compilers.along_axis import gather_reversed
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.control_flow import without_bodies
from scaling_tasks.compilers.fixed_lengths import with_fixed_lengths
from scaling_tasks.compilers.layer_norms import FUSIONS, spell_out
from scaling_tasks.compilers.logarithms import add_logarithms, choose_of_nothing
from scaling_tasks.compilers.missing_operators import (
    bound_whole_numbers,
    compare_with_itself,
    count_axes_from_first,
    count_places_from_first,
    divide_one,
    refuse_reductions,
    squeeze_to_scalars,
    take_two_at_a_time,
)
from scaling_tasks.compilers.nncase_masks import choose_by_masks
from scaling_tasks.compilers.nncase_operators import (
    compute_constants,
    keep_pads_apart,
    mark_by_comparing,
    reshape_without_zeros,
    say_axes_of_slices,
    subtract_logarithms,
)
from scaling_tasks.compilers.nncase_options import quantizes
from scaling_tasks.compilers.nncase_reshapes import keep_reshapes_apart
from scaling_tasks.compilers.operator_functions import inline_operators
from scaling_tasks.compilers.paddings import gather_padding
from scaling_tasks.compilers.pools import (
    mean_by_sums,
    pool_by_power,
    pool_by_slices,
    pool_over_edges,
    round_up_means,
)
from scaling_tasks.compilers.products import multiply_einsums, multiply_resizes
from scaling_tasks.compilers.recurrent_layers import write_out_recurrences
from scaling_tasks.compilers.reductions import (
    LOGARITHMS,
    find_by_opposites,
    find_last_by_first,
    flatten_softmaxes,
    normalise_plainly,
    reduce_plainly,
)
from scaling_tasks.compilers.whole_numbers import quantise_in_floats, round_to_even, take_remainders
from scaling_tasks.compilers.windows import SAME, say_pads
from scaling_tasks.onnx_model.fixing import link_external_data, write_fixed_model
from scaling_tasks.onnx_model.tflite import output_names, write_fixed_tflite

__all__ = ["named_model", "static_model"]

# Operators that nncase does not have, and that ONNX defines by others that it has.
_DEFINED_BY_OTHERS = frozenset(
    (
        "Attention",
        "Gelu",
        "Mish",
        "RMSNormalization",
        "RotaryEmbedding",
        "Shrink",
        "SwiGLU",
        "Swish",
        "ThresholdedRelu",
    )
)


_PADS_TAKEN_OTHERWISE = frozenset(
    [(kind, form) for kind in ("AveragePool", "ConvTranspose", "LpPool", "MaxPool") for form in SAME]
    + [("ConvTranspose", "output_shape")]
)


def static_model(job: CompileJob, workdir: Path, *, simplify: bool) -> tuple[Path, list[str]]:
    """Return the model of the unit's one bucket, constants folded by onnxruntime, and its outputs' names."""
    import onnx

    from scaling_tasks.compilers.onnxruntime import optimise

    (values,) = job.unit.values()
    if job.model.suffix == ".tflite":
        target = workdir / f"{job.unit.stem}.fixed.tflite"
        return write_fixed_tflite(job.model, job.signature.shapes(values), target), output_names(job.model)
    fixed = write_fixed_model(job.model, job.signature.shapes(values), workdir / f"{job.unit.stem}.fixed.onnx")
    model = onnx.load(str(fixed), load_external_data=False)
    if job.behaviour is not None and quantizes(job.options):
        choose_by_masks(model, job.behaviour.size_inputs)
    model = inline_operators(model, _DEFINED_BY_OTHERS)
    spell_out(model)
    fixed.write_bytes(model.SerializeToString(deterministic=True))

    def fold(source: Path, target: Path) -> Path:
        return optimise(source, target, "ORT_ENABLE_BASIC", without=FUSIONS) if simplify else source

    folded = fold(fixed, workdir / f"{job.unit.stem}.simple.onnx")
    folded = without_bodies(folded, "nncase", fold) if simplify else folded
    return _write_out(with_fixed_lengths(folded, job, workdir / f"{job.unit.stem}.kmodel", fold))


def _write_out(source: Path) -> tuple[Path, list[str]]:
    """Return the model with what nncase does not know written out in operators that it has, beside ``source``.

    Its outputs' names come with it.
    """
    import onnx

    model = onnx.load(str(source), load_external_data=False)
    outputs = [value.name for value in model.graph.output]
    refuse_reductions(model, "nncase")
    changes = [
        write_out_recurrences(model, source.parent, importer="nncase", has_lstm=False),
        gather_reversed(model, source.parent),
        multiply_einsums(model),
        multiply_resizes(model, source.parent, finds_nearest=True),
        quantise_in_floats(model, source.parent),
        round_to_even(model),
        take_remainders(model),
        count_places_from_first(model, ("GatherElements", "GatherND", "ScatterND")),
        gather_padding(model, source.parent, ("wrap", "cut")),
        say_pads(model, _PADS_TAKEN_OTHERWISE),
        pool_by_power(model),
        pool_by_slices(model),
        pool_over_edges(model),
        mean_by_sums(model, only_rounded_up=True),
        round_up_means(model),
        flatten_softmaxes(model, ["Hardmax", "LogSoftmax", "Softmax"]),
        find_last_by_first(model),
        normalise_plainly(model),
        reduce_plainly(model, LOGARITHMS),
        choose_of_nothing(model),
        add_logarithms(model),
        subtract_logarithms(model),
        find_by_opposites(model, ["float32", "int32", "int64"], greatest=True),
        mark_by_comparing(model, source.parent),
        bound_whole_numbers(model),
        take_two_at_a_time(model),
        divide_one(model),
        compare_with_itself(model),
        count_axes_from_first(model),
        squeeze_to_scalars(model),
        reshape_without_zeros(model, source.parent),
        say_axes_of_slices(model),
        compute_constants(model),
        keep_pads_apart(model, source.parent),
        keep_reshapes_apart(model),
    ]
    if not any(changes):
        return source, outputs
    target = source.with_suffix(".written.onnx")
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target, outputs


def named_model(job: CompileJob, workdir: Path) -> tuple[Path, list[str]]:
    """Return the model with every dynamic input dimension called by its variable, and its outputs' names.

    nncase takes a dimension without a name for one of size 0, and knows variables by these names only. A TFLite model
    is used as it is: nncase itself calls its open dimensions ``-1``.
    """
    if job.model.suffix == ".tflite":
        return job.model, output_names(job.model)
    import onnx

    model = onnx.load(str(job.model), load_external_data=False)
    inputs = {value.name: value for value in model.graph.input}
    for tensor in job.signature.inputs:
        for dim, name in zip(inputs[tensor.name].type.tensor_type.shape.dim, tensor.dims, strict=True):
            dim.Clear()
            if isinstance(name, str):
                dim.dim_param = name
            else:
                dim.dim_value = name
    spell_out(model)
    link_external_data(job.model, workdir)
    target = workdir / f"{job.unit.stem}.named.onnx"
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target, [value.name for value in model.graph.output]
