"""A first configuration for a model: what is known of it filled in, and what can be said further in comments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from scaling_tasks.errors import ConfigError
from scaling_tasks.files import publish, write_if_changed
from scaling_tasks.shapes.expressions import as_text
from scaling_tasks.shapes.signature import BATCH, HEIGHT, WIDTH, Signature

__all__ = ["SCHEMA_NAME", "configuration_text", "write_configuration"]

SCHEMA_NAME = "_schema.json"
"""Name of the copy of the schema that is put beside the configurations for editors."""

_RANGES = {BATCH: (1, 8), HEIGHT: (32, 960), WIDTH: (32, 960)}
_OTHER_RANGE = (1, 512)


def write_configuration(
    directory: Path, name: str, model: str, inputs: Signature, dataset: str | None, backend: str, schema: str
) -> Path:
    """Write ``<name>.yaml`` and the schema beside it; return the configuration's path.

    Args:
        directory: Where configurations are.
        name: The target's.
        model: As for ``configuration_text``, as are the next three.
        inputs: See there.
        dataset: See there.
        backend: See there.
        schema: What editors complete keys from.

    Raises:
        ConfigError: There is such a configuration already.
    """
    path = directory / f"{name}.yaml"
    if path.exists():
        raise ConfigError(
            "there is one already", where=path.as_posix(), fix="Remove it first, or give another name with --name."
        )
    text = configuration_text(model, inputs, dataset, backend)
    write_if_changed(directory / SCHEMA_NAME, schema.encode(), below=directory)
    with publish(path, below=path.parent) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def configuration_text(model: str, inputs: Signature, dataset: str | None, backend: str) -> str:
    """Return the YAML text of a configuration.

    Args:
        model: The model's path.
        inputs: Its inputs, with every dynamic dimension named.
        dataset: The data set's path; ranges stand in its place where None.
        backend: The compiler.
    """
    lines = [f"# yaml-language-server: $schema={SCHEMA_NAME}", f"model: {_scalar(model)}", *_shapes(inputs)]
    if inputs.variables:
        lines += _data(inputs, dataset) if dataset else _ranges(inputs)
    lines += ["", *_COMPILE[:1], f"  backend: {_scalar(backend)}", *_COMPILE[1:]]
    return "\n".join(lines) + "\n"


def _shapes(inputs: Signature) -> Iterator[str]:
    said = ", ".join(inputs.variables)
    yield f"# Its dynamic dimensions: {said}." if said else "# It has no dynamic dimensions."
    yield "# A number instead of a name fixes a dimension."
    yield "input_shape:"
    for tensor in inputs.inputs:
        image = BATCH in tensor.dims or HEIGHT in tensor.dims or WIDTH in tensor.dims
        dims = [dim if isinstance(dim, int) else -1 if image else as_text(dim) for dim in tensor.dims]
        yield f"  {_scalar(tensor.name)}: {_flow(dims)}"


def _data(inputs: Signature, dataset: str) -> Iterator[str]:
    yield from ("", "dataset:", f"  path: {_scalar(dataset)}")
    yield "  # What becomes of raw sizes before the network: mindocr, ppocr_det, ppocr_rec, keep_ratio, tokens or none."
    yield "  # preprocessing: mindocr"
    yield "  # strict: true                  # files that cannot be measured are an error"
    yield from ("", "auto_scaling:", "  max_scaling_num: 8              # at most so many buckets")
    image = {HEIGHT, WIDTH} & set(inputs.variables)
    yield f"  interval: {32 if image else 1:<2}                    # sizes are multiples of this"
    if {HEIGHT, WIDTH} <= set(inputs.variables):
        yield "  limit_side_len: 960             # what your preprocessing limits the longer side to"
    if inputs.batch is not None:
        yield "  batch_choices: [1, 4, 8]        # batch sizes that may be compiled"


def _ranges(inputs: Signature) -> Iterator[str]:
    yield from ("", "# Without a data set buckets are made from ranges. With one they fit what the model will see:")
    yield from ("# dataset: datasets/…", "shape_bucket:", "  shape_bucket_range_info:        # least and largest size")
    for variable in inputs.variables:
        yield f"    {_scalar(variable)}: {_flow(_RANGES.get(variable, _OTHER_RANGE))}"
    yield "  shape_bucket_segments_count: 4  # sizes per variable"
    yield "  # combine: product              # every combination, instead of the i-th size of each"


_COMPILE = (
    "compile:",
    "  # optional: true                # where its toolchain is missing, a plain `doit` builds the other targets",
    "",
    "# verify:                         # the backend's own tolerance where left out",
    "#   absolute: 1.0e-4",
    "#   relative: 1.0e-3",
)


def _scalar(text: str) -> str:
    """Return a text as YAML, quoted where it has to be."""
    return str(yaml.safe_dump(text, default_flow_style=True, allow_unicode=True, width=10_000)).partition("\n")[0]


def _flow(values: object) -> str:
    plain = list(values) if isinstance(values, tuple | list) else values
    return str(yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=10_000)).strip()
