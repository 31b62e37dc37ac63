"""Stage ``compile``: one unit to its artefact."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import TOOLCHAIN, ActionRequest
from scaling_tasks.compilers import isolation
from scaling_tasks.compilers.isolation import compile_parameters, compile_subject, renamed_files
from scaling_tasks.compilers.registry import get_backend, outside_version
from scaling_tasks.compilers.shared import SHARED
from scaling_tasks.config.environment import job_threads
from scaling_tasks.documents import canonical_json
from scaling_tasks.execution.contract import Limits
from scaling_tasks.files import digest_bytes
from scaling_tasks.known_digests import STATE
from scaling_tasks.machine import kind
from scaling_tasks.names import Digest
from scaling_tasks.own_code import code_of
from scaling_tasks.paths import enclosed
from scaling_tasks.stages.analysis import prepared_name
from scaling_tasks.stages.inputs import digests, home_name, platform, platform_here
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

__all__ = [
    "BOUNDING_CODE",
    "CODE",
    "STAGE",
    "TOOLS",
    "identity_of",
    "options_with_files",
    "shared_name",
    "toolchain",
    "tools",
    "unit_action",
    "work",
    "worker_limits",
]


TOOLS = f"{__name__}:tools"

CODE = (
    "compilers",
    "config",
    "det_annotation",
    "document_fields",
    "documents",
    "engines",
    "errors",
    "files",
    "machine",
    "names",
    "onnx_model",
    "paths",
    "shapes",
    "stages/compile",
)
"""What of this package makes artefacts: a compile takes hours, another planner must not cost it again."""

BOUNDING_CODE = ("analysis",)
"""What makes them besides, of models in which data decides lengths."""


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    document = planned_units(made)
    one = document.unit(str(unit))
    prepared = made.result("analysis").file(prepared_name(target))
    model = f"model/{target.model.name}"
    parameters = compile_parameters(document.compiled_inputs, one, target.result_options, document.behaviour)
    action, more = unit_action(target, {model: prepared.digest}, parameters)
    return ActionRequest(
        action,
        lambda: {model: prepared.path, **more},
        f"{__name__}:work",
        compile_subject(one, target.options),
        lambda: worker_limits(target),
        scratch=lambda: {"shared": enclosed(target.state / "shared" / shared_name(action.components), STATE)},
        # What is adopted names its own toolchain, and is only copied.
        tools="" if "adopt" in target.options["options"] else TOOLS,
    )


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compile and load, in a process of its own; return the names of the artefact's ``files`` and the ``toolchain``.

    Raises:
        CompileError: The compiler failed, or its artefact is not there or does not load.
    """
    environment = dict(os.environ)
    made = isolation.work(inputs, outputs, parameters)
    # Compilers leave variables behind that would tell where they are found.
    os.environ.clear()
    os.environ.update(environment)
    return {**made, TOOLCHAIN: identity_of(isolation.located_options(parameters["options"], inputs))}


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolchain and the platform that are found where this is called.

    Raises:
        CompileError: The toolchain is missing.
    """
    options = isolation.located_options(parameters["options"], inputs)
    return {"toolchain": identity_of(options), "platform": platform_here(kind())}


def unit_action(
    target: Target, model: Mapping[str, Digest], parameters: dict[str, Any]
) -> tuple[Action, dict[str, Path]]:
    """Return the action that compiles a unit, and where the files lie that its options name.

    It holds no path and no target name, so that equal work is shared by targets, branches and checkouts.

    Args:
        target: Whose options and toolchain.
        model: Digests of the model's files.
        parameters: What ``compile_parameters`` gives.

    Raises:
        CompileError: The toolchain is missing, or a file that an option names.
    """
    tools = toolchain(target)
    options, files = options_with_files(target)
    whole = {**parameters, "options": options, "model": f"model/{target.model.name}"}
    stem = parameters["unit"][1]
    outputs = (f"{stem}*", f"{SHARED}-*")
    code = code_of(*CODE, *(BOUNDING_CODE if parameters["data_lengths"] else ()))
    return Action("compile", code, {**model, **digests(files)}, whole, tools, platform(target, kind()), outputs), files


def toolchain(target: Target) -> dict[str, str]:
    """Return what of the target's toolchain determines its artefacts.

    Raises:
        CompileError: It is missing.
    """
    options = target.options
    if get_backend(options["backend"]).input_files(options):  # They may change while this process lives.
        return identity_of(options)
    return _toolchain(target.options_text)


@functools.cache
def _toolchain(text: str) -> dict[str, str]:
    return identity_of(json.loads(text))


def identity_of(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what of the toolchain that is found here and now determines artefacts.

    Raises:
        CompileError: It is missing.
    """
    name = str(options["backend"])
    return {**get_backend(name).identity(options), **outside_version(name)}


def worker_limits(target: Target, *, all_cores: bool = False) -> Limits:
    """Return what a compiler or an engine of the target may use: its share of the machine."""
    options = target.options
    given = options["threads"]
    threads = None if all_cores else given or job_threads()
    return Limits(options["timeout"], options["memory"], threads, share=not given, resources=options["resources"])


def options_with_files(target: Target) -> tuple[dict[str, Any], dict[str, Path]]:
    """Return the options with the names that the files they name have in an action's directory, and those files.

    Raises:
        CompileError: A file that an option names is missing.
    """
    files = get_backend(target.options["backend"]).input_files(target.options)
    options = renamed_files(target.result_options, home_name, Path()) if files else target.result_options
    return options, {home_name(path.as_posix()): path for path in files}


def shared_name(components: Mapping[str, Any]) -> str:
    """Return what the directory is called of work that is the same for all units with these components but the unit."""
    parameters = {name: value for name, value in components.get("parameters", {}).items() if name != "unit"}
    return digest_bytes(canonical_json({**components, "parameters": parameters, "outputs": []}).encode())


STAGE = Stage(
    name="compile",
    doc="compile",
    after=("analysis", "buckets"),
    applies=lambda target: target.compiles,
    request=_request,
    place=lambda target, unit, name: target.state / "artefacts" / name,
    per_unit=True,
    verb="compiled",
)
