"""Spelling out what MindSpore Lite's ONNX importer ignores or takes for granted.

* Its HardSigmoid is always ``clip(x / 6 + 1/2, 0, 1)``, whatever ``alpha`` and ``beta`` say (2.0.0: an error of 0.05
  to 0.2 in the probabilities of PP-OCR's direction classifier, without any warning).
* It refuses a convolution that leaves out ``kernel_shape``, ``strides`` or ``dilations``, which ONNX allows.
* Its LayerNormalization is none, see ``layer_norms``; recurrent layers it knows in one form, see ``recurrent_layers``;
  and of what goes along an axis in order it knows little, see ``along_axis``.
* Loops and branches it cannot follow, see ``control_flow``; of pools, padding and reductions it takes some for others,
  see ``pools``, ``windows``, ``paddings`` and ``reductions``; some operators it has none of, see ``missing_operators``.
* Some operands it takes in one form only, see ``lite_operands``; some operators it reads otherwise or not at all, see
  ``lite_operators``, ``lite_indices`` and ``products``; some functions it computes roughly, see ``lite_arithmetic``.
* It loses its way in the shape arithmetic that exporters write out, and behind that cannot load what it converted, or
  computes something else; so it gets a model of one bucket with that arithmetic done.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from scaling_tasks.compilers.along_axis import gather_reversed, sum_by_products
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.control_flow import without_bodies
from scaling_tasks.compilers.fixed_lengths import with_fixed_lengths
from scaling_tasks.compilers.layer_norms import FUSIONS, spell_out
from scaling_tasks.compilers.lite_arithmetic import (
    compare_for_signs,
    compute_by_halves,
    cut_off_before_casts,
    divide_in_floats,
    raise_plainly,
    say_defaults,
)
from scaling_tasks.compilers.lite_indices import (
    compare_with_nothing,
    compute_outputs,
    gather_plainly,
    take_inputs,
)
from scaling_tasks.compilers.lite_operands import (
    bound_by_one,
    element_type,
    expand_where,
    lead_with_inputs,
    name_apart,
)
from scaling_tasks.compilers.lite_operators import (
    DEFINED_BY_OTHERS,
    add_apart,
    find_least_by_greatest,
    keep_transposes,
    multiply_pointwise,
    pool_pictures,
    pool_undilated,
    split_by_attribute,
)
from scaling_tasks.compilers.logarithms import add_logarithms, choose_of_nothing
from scaling_tasks.compilers.missing_operators import (
    bound_whole_numbers,
    compare_with_itself,
    count_axes_from_first,
    count_places_from_first,
    refuse_reductions,
    squeeze_to_scalars,
    take_two_at_a_time,
)
from scaling_tasks.compilers.node_writer import store_as_bytes
from scaling_tasks.compilers.operator_functions import inline_in_file
from scaling_tasks.compilers.paddings import gather_padding
from scaling_tasks.compilers.pools import mean_by_sums, pool_by_power, pool_by_slices
from scaling_tasks.compilers.products import multiply_einsums, multiply_resizes
from scaling_tasks.compilers.recurrent_layers import write_out_recurrences
from scaling_tasks.compilers.reductions import (
    LOGARITHMS,
    find_by_opposites,
    find_by_places,
    find_last_by_first,
    flatten_softmaxes,
    normalise_plainly,
    reduce_plainly,
)
from scaling_tasks.compilers.shared import made_once
from scaling_tasks.compilers.whole_numbers import quantise_in_floats, round_to_even, take_remainders
from scaling_tasks.compilers.windows import say_pads
from scaling_tasks.errors import ModelError
from scaling_tasks.files import link_or_copy
from scaling_tasks.onnx_model.digest import external_files
from scaling_tasks.onnx_model.fixing import link_external_data, link_files, write_fixed_model
from scaling_tasks.onnx_model.reading import opset_of

if TYPE_CHECKING:
    import onnx

__all__ = ["importable_model", "rewrite_for_lite", "static_model"]

_ASSUMED = (1 / 6, 0.5)
_DEFAULT = (0.2, 0.5)
_CLIP_TAKES_INPUTS = 11  # Before this opset its bounds are attributes.
_PADDED = ("AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool")
_PADS_TAKEN_OTHERWISE = frozenset(
    [("ConvTranspose", "output_shape"), ("LpPool", "SAME_UPPER"), *((kind, "SAME_LOWER") for kind in _PADDED)]
)
_MODEL, _EXTERNAL = _SHARED = ("importable.onnx", "importable.external.json")
# They make operators that MindSpore Lite does not know; how they are called depends on the version of onnxruntime.
_UNKNOWN = (*FUSIONS, "GeluFusion", "GeluFusionL1", "MatMulAddFusion")


def importable_model(job: CompileJob, workdir: Path) -> Path:
    """Return the job's model for any size as MindSpore Lite should import it, in ``workdir`` for ONNX.

    It is the same for all units: the first looks it through, the others need not even import onnx.

    Raises:
        ModelError: The model names external data outside its directory.
    """
    if job.model.suffix != ".onnx":
        return job.model
    made_once(job, workdir, _SHARED, lambda: _write_importable(job, workdir))
    link_files(job.model.parent, json.loads((workdir / _EXTERNAL).read_text(encoding="utf-8")), workdir)
    return workdir / _MODEL


def static_model(job: CompileJob, workdir: Path) -> Path:
    """Return the job's ONNX model at its one bucket as MindSpore Lite should import it, in ``workdir``.

    Raises:
        ModelError: The model names external data outside its directory.
        CompileError: onnxruntime refuses it at this size, or an operator has no form that MindSpore Lite takes.
    """
    from scaling_tasks.compilers.onnxruntime import optimise

    (values,) = job.unit.values()
    fixed = write_fixed_model(job.model, job.signature.shapes(values), workdir / f"{job.unit.stem}.fixed.onnx")
    inline_in_file(fixed, DEFINED_BY_OTHERS)

    def fold(source: Path, target: Path) -> Path:
        return optimise(source, target, "ORT_ENABLE_BASIC", without=_UNKNOWN)

    folded = without_bodies(fold(fixed, workdir / f"{job.unit.stem}.folded.onnx"), "MindSpore Lite", fold)
    return rewrite_for_lite(with_fixed_lengths(folded, job, workdir / f"{job.unit.stem}.mindir", fold), workdir)


def _write_importable(job: CompileJob, workdir: Path) -> None:
    source = job.model
    rewritten = rewrite_for_lite(source, workdir, on_cpu=job.options.get("device") == "cpu")
    try:
        external = [file.relative_to(source.parent).as_posix() for file in external_files(source)]
    except ModelError:  # The converter says better what is wrong with it.
        external = []
    link_or_copy(rewritten, workdir / _MODEL)
    (workdir / _EXTERNAL).write_text(json.dumps(external), encoding="utf-8")


def rewrite_for_lite(source: Path, directory: Path, *, on_cpu: bool = True) -> Path:
    """Return a model that MindSpore Lite imports as it is meant: ``source`` itself, or a copy in ``directory``.

    Args:
        source: The model.
        directory: Where a copy goes.
        on_cpu: Whether it is to compute the model itself, and not CANN.

    Raises:
        ModelError: The model names external data outside its directory.
        CompileError: An operator has no form that it takes.
    """
    if source.suffix != ".onnx":
        return source
    import onnx

    try:
        model = onnx.load(str(source), load_external_data=False)
    except Exception:  # The converter says better what is wrong with it.
        return source
    if not _spell_out(model, source.parent, on_cpu=on_cpu):
        return source
    link_external_data(source, directory)
    target = directory / f"{source.stem}.rewritten.onnx"
    target.write_bytes(model.SerializeToString(deterministic=True))
    return target


def _spell_out(model: onnx.ModelProto, directory: Path, *, on_cpu: bool) -> bool:
    """Change the model where it must be; return whether it was."""
    changes = [_complete_convolution(model, node) for node in model.graph.node]
    changes += [
        quantise_in_floats(model, directory),  # By what is the greatest, which is written otherwise below.
        write_out_recurrences(model, directory, importer="MindSpore Lite"),
        gather_reversed(model, directory),
        sum_by_products(model, directory),
        multiply_einsums(model),
        multiply_resizes(model, directory, finds_nearest=False),
        gather_padding(model, directory, ("edge", "wrap", "cut", "constant")),
        say_pads(model, _PADS_TAKEN_OTHERWISE),
        pool_by_power(model),
        pool_by_slices(model),
        mean_by_sums(model),
        bound_whole_numbers(model),
        take_two_at_a_time(model),
        count_axes_from_first(model),
        pool_undilated(model),
        pool_pictures(model),
        split_by_attribute(model, directory),
        add_apart(model),
        find_least_by_greatest(model),
        find_last_by_first(model),
        normalise_plainly(model),
        find_by_opposites(model, ["float32", "int32", "int64"], greatest=False),
        flatten_softmaxes(model, ("Hardmax", "LogSoftmax", "Softmax")),
        find_by_places(model),
        reduce_plainly(model, ("ReduceL1", "ReduceL2", "ReduceMax", "ReduceSumSquare", *LOGARITHMS)),
        say_defaults(model),
        compare_with_itself(model),
        store_as_bytes(model),
    ]
    if on_cpu:
        refuse_reductions(model, "MindSpore Lite")
        changes += [
            multiply_pointwise(model),
            keep_transposes(model),
            gather_plainly(model),
            compare_with_nothing(model),
            compute_outputs(model),
            take_inputs(model),
            compute_by_halves(model),
            choose_of_nothing(model),
            add_logarithms(model),
            raise_plainly(model, directory),
            compare_for_signs(model),
            divide_in_floats(model),
            cut_off_before_casts(model),
            round_to_even(model),
            take_remainders(model),
            count_places_from_first(model, ("GatherND", "ScatterND")),
        ]
    changes += [
        spell_out(model),
        bound_by_one(model),
        lead_with_inputs(model),
        name_apart(model),
        expand_where(model),
        squeeze_to_scalars(model),
    ]
    nodes = [new for node in model.graph.node for new in _replace_hard_sigmoid(model, node)]
    changes.append(len(nodes) != len(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return any(changes)


def _complete_convolution(model: onnx.ModelProto, node: onnx.NodeProto) -> bool:
    """Add the attributes a convolution leaves out; return whether it left out any."""
    from onnx import helper

    if node.op_type not in ("Conv", "ConvTranspose"):
        return False
    given = {attribute.name for attribute in node.attribute}
    shapes = (list(tensor.dims) for tensor in model.graph.initializer if tensor.name == node.input[1])
    kernel = next(shapes, [])[2:]
    defaults = {"kernel_shape": kernel, "strides": [1] * len(kernel), "dilations": [1] * len(kernel)}
    missing = {name: value for name, value in defaults.items() if name not in given and kernel}
    node.attribute.extend(helper.make_attribute(name, value) for name, value in missing.items())
    return bool(missing)


def _replace_hard_sigmoid(model: onnx.ModelProto, node: onnx.NodeProto) -> list[onnx.NodeProto]:
    if node.op_type != "HardSigmoid":
        return [node]
    given = {attribute.name: attribute.f for attribute in node.attribute}
    alpha, beta = given.get("alpha", _DEFAULT[0]), given.get("beta", _DEFAULT[1])
    if math.isclose(alpha, _ASSUMED[0], rel_tol=1e-4) and math.isclose(beta, _ASSUMED[1], rel_tol=1e-4):
        return [node]
    return _spelled_out(model, node, alpha, beta)


def _spelled_out(model: onnx.ModelProto, node: onnx.NodeProto, alpha: float, beta: float) -> list[onnx.NodeProto]:
    """Return ``clip(alpha * x + beta, 0, 1)`` as three nodes; their constants join the model's initialisers."""
    from onnx import helper

    (output,) = node.output
    element = element_type(model, node.input[0])
    constants = {"alpha": alpha, "beta": beta, "low": 0.0, "high": 1.0}
    names = {role: f"{output}/{role}" for role in constants}
    for role, value in constants.items():
        model.graph.initializer.append(helper.make_tensor(names[role], element, [], [value]))
    scaled, moved = f"{output}/scaled", f"{output}/moved"
    if opset_of(model) >= _CLIP_TAKES_INPUTS:
        clip = helper.make_node("Clip", [moved, names["low"], names["high"]], [output], name=f"{output}/clip")
    else:
        clip = helper.make_node("Clip", [moved], [output], name=f"{output}/clip", min=0.0, max=1.0)
    return [
        helper.make_node("Mul", [node.input[0], names["alpha"]], [scaled], name=scaled),
        helper.make_node("Add", [scaled, names["beta"]], [moved], name=moved),
        clip,
    ]
