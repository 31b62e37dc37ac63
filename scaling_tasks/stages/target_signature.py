"""A target's inputs and outputs, from its model or from its configuration alone."""

from __future__ import annotations

from dataclasses import replace

from scaling_tasks.errors import ConfigError, one_line
from scaling_tasks.shapes.expressions import substitute
from scaling_tasks.shapes.signature import ModelSignature, Signature, TensorSpec, name_dimensions
from scaling_tasks.stages.target import Target

__all__ = ["target_signature"]


def target_signature(target: Target) -> ModelSignature:
    """Return the inputs with the variables that remain dynamic, and the outputs.

    Variables fixed by ``shape_bucket_fix_var_map`` are numbers in the result.

    Raises:
        ModelError: The model cannot be read or contradicts ``input_shape``.
        ConfigError: The fix map names an unknown variable.
    """
    from scaling_tasks.onnx_model.reading import read_signature

    spec = target.spec
    if spec.model is not None:
        found = read_signature(target.model, spec.input_shape)
    else:
        found = ModelSignature(name_dimensions(spec.input_shape or {}), ())
    if spec.inputs:
        kept = tuple(tensor for tensor in found.inputs.inputs if tensor.name not in spec.inputs)
        found = replace(found, inputs=Signature(kept))
    fixed = spec.shape_bucket.shape_bucket_fix_var_map if spec.shape_bucket else {}
    for variable in fixed:
        if variable not in found.inputs.variables:
            import difflib  # Of no use but to a mistake.

            near = difflib.get_close_matches(variable, found.inputs.variables, n=1)
            known = ", ".join(found.inputs.variables) or "none"
            raise ConfigError(
                f"the model has no dynamic dimension called {one_line(repr(variable), 60)}",
                where=f"{target.config or target.name}: shape_bucket.shape_bucket_fix_var_map.{variable}",
                fix=f"Did you mean {near[0]!r}?" if near else f"Its variables: {known}.",
            )
    return replace(found, inputs=Signature(tuple(_fix(tensor, fixed) for tensor in found.inputs.inputs)))


def _fix(tensor: TensorSpec, fixed: dict[str, int]) -> TensorSpec:
    return replace(tensor, dims=tuple(substitute(dim, fixed) for dim in tensor.dims))
