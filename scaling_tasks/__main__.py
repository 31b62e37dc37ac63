"""Command line with MindOCR's ``converter.py`` flags: plan, compile, verify and bundle one model without any YAML."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.builds.mistakes import check_output
from scaling_tasks.config.load import parse_target
from scaling_tasks.config.source import read_yaml
from scaling_tasks.documents import MOST_BYTES
from scaling_tasks.errors import ConfigError, ScalingTasksError, all_of, one_line
from scaling_tasks.files import read_regular
from scaling_tasks.stages.target import Target

_EPILOG = "The keys of --config are those of a target's configuration; MindOCR's auto_scaling.yaml works as it is."

_ACCEPTED = (
    "note: the model is compiled as it is, as by MindOCR's converter, so that padding may change its answers; with "
    "`runtime: {padding: exact}` in --config they are those of the exact size, and the model has inputs that tell it"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the whole job; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        target = _target(options)
    except ScalingTasksError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    from scaling_tasks.doit_plugin.run_targets import run_targets

    return run_targets([target], jobs=options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scaling_tasks", description=__doc__, epilog=_EPILOG)
    add = parser.add_argument
    add("--model_path", required=True, help="the ONNX model")
    add("--dataset_path", "--data_path", help="image folder, det annotation, or table of sizes; default sizes without")
    add("--input_name", default="x", help="the model's input (default: %(default)s)")
    add("--input_shape", default="-1,3,-1,-1", help="its dimensions, -1 where dynamic (default: %(default)s)")
    add("--backend", type=str.lower, default="lite", help="lite, atc, openvino, onnxruntime, … (default: %(default)s)")
    add("--device", choices=["ascend", "cpu"], default=None, help="what lite compiles for (default: ascend)")
    add("--soc_version", default=None, help="Ascend chip (default: Ascend310P3)")
    add("--output_path", default="output", help="directory of the results (default: %(default)s)")
    add("--config", help="YAML file with the key auto_scaling and other sections of a target's configuration")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="compilers run at once (default: all cores)")
    return parser


def _values(path: Path) -> dict[str, Any]:
    source = read_yaml(path)
    if source.mistakes:
        raise all_of(source.mistakes)
    return dict(source.values)


def _target(options: argparse.Namespace) -> Target:
    values = _values(Path(options.config)) if options.config else {}
    given = {"backend": options.backend, "device": options.device, "soc_version": options.soc_version}
    compile_section = {
        **_section(values, "compile", options.config),
        **{key: value for key, value in given.items() if value},
    }
    values |= {
        "name": Path(options.model_path).stem,
        "model": options.model_path,
        "input_shape": {options.input_name: _dims(options.input_shape)},
        "compile": compile_section,
        "output": options.output_path,
    }
    static = all(dim > 0 for dim in _dims(options.input_shape))
    runtime = _section(values, "runtime", options.config)
    if "padding" not in runtime:
        values["runtime"] = {**runtime, "padding": "accept"}
        if not static:
            print(_ACCEPTED, file=sys.stderr)
    if options.dataset_path and not static:
        values["dataset"] = {**_as_mapping(values.get("dataset")), "path": options.dataset_path}
    target = Target(parse_target(values, where=options.config or "command line"))
    _refuse_foreign_output(target)
    return target


def _refuse_foreign_output(target: Target) -> None:
    """Keep a bundle from overwriting another model's, or what is no bundle's."""
    try:
        check_output(target)
    except ConfigError as error:
        raise ConfigError(error.what, where="--output_path", fix="Name a directory of its own.") from error
    if not target.manifest.exists():
        return
    try:
        # Of whatever version: its own bundle is replaced.
        found = json.loads(read_regular(target.manifest, MOST_BYTES))["model"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return
    if found != target.model.stem:
        raise ConfigError(
            f"the directory holds the bundle of {found!r}",
            where=f"--output_path {target.directory}",
            fix="Give each model its own directory.",
        )


def _section(values: Mapping[str, Any], key: str, config: str | None) -> dict[str, Any]:
    """Return a section of the file ``--config`` names, empty where it has none."""
    section = values.get(key) or {}
    if not isinstance(section, dict):
        what = f"{one_line(repr(section), 60)} is not a mapping of keys to values"
        raise ConfigError(what, where=f"{config}: {key}", fix=f"Write `{key}: {{…}}`, or leave it out.")
    return dict(section)


def _as_mapping(dataset: Any) -> dict[str, Any]:
    return dict(dataset) if isinstance(dataset, dict) else {}


def _dims(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as cause:
        raise ConfigError(
            f"{text!r} is not a list of numbers", where="--input_shape", fix="Write it like -1,3,48,-1."
        ) from cause


if __name__ == "__main__":
    sys.exit(main())
