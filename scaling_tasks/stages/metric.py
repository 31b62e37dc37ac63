"""Stage ``metric``: the user's task metric through the bundle and through the original at exact shapes.

The metric is given a copy of what it is known to need, laid out as in the repository: its module with all that this
imports and that is not installed, the labelled data, the model, and what ``verify.files`` lists. It finds nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import TOOLCHAIN, ActionRequest
from scaling_tasks.actions.results import places_of
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.imports import own_modules
from scaling_tasks.machine import installed, processor
from scaling_tasks.own_code import code_of
from scaling_tasks.stages.bundle_work import bundle_request
from scaling_tasks.stages.compile import identity_of, toolchain
from scaling_tasks.stages.inputs import digests, home_name, model_places, planned_model, platform, platform_here, tree
from scaling_tasks.stages.manifest import bundle_files
from scaling_tasks.stages.stage import Made, Stage
from scaling_tasks.stages.target import Target

__all__ = ["STAGE", "tools", "work"]


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    spec = target.spec.verify
    model = planned_model(made)
    at_home = {home_name(path.as_posix()): (model[name], path) for name, path in model_places(target, model).items()}
    bundle = {f"bundle/{name}": file for name, file in bundle_files(made).items()}
    own = own_modules(str(spec.metric).partition(":")[0])
    files = {home_name(path.as_posix()): path for path in own.files}
    for path in (str(spec.dataset), *spec.files):
        files |= tree(path, where="verify.dataset" if path == spec.dataset else "verify.files")
    files = {name: path for name, path in files.items() if name not in at_home}
    parameters = {
        "model": home_name(target.model.as_posix()),
        "metric": spec.metric,
        "modules": {name: home_name(root.as_posix()) for name, root in own.roots.items()},
        "dataset": home_name(str(spec.dataset)),
        "drop": spec.drop,
        "fixed_inputs": target.spec.inputs,
    }
    inputs = {name: file.digest for name, file in bundle.items()} | {name: each[0] for name, each in at_home.items()}
    inputs |= digests(files)
    named = {**toolchain(target), **installed()}
    action = Action("metric", code_of(), inputs, parameters, named, platform(target, processor()), ("metric.json",))
    return bundle_request(
        target,
        action,
        lambda: {**places_of(bundle), **{name: each[1] for name, each in at_home.items()}, **files},
        __name__,
    )


def work(inputs: Path, outputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Score labelled data both ways; in a process of its own.

    Raises:
        VerificationFailed: The bundle loses more than ``verify.drop``, or the metric failed.
        ConfigError: The metric cannot be imported.
    """
    from scaling_tasks.onnx_model.original import open_original
    from scaling_tasks.runtime.bundle import load_bundle
    from scaling_tasks.verification.metric import load_metric, score_task

    home = inputs / "home"
    home.mkdir(exist_ok=True)
    os.chdir(home)  # This process is the metric's alone, and metrics name files as from the repository's root.
    name = parameters["metric"]
    modules = {module: inputs / root for module, root in parameters["modules"].items()}
    metric = load_metric(name, search=home, modules=modules)
    original = open_original(inputs / parameters["model"], fixed=parameters["fixed_inputs"])

    def exact(requests: Any) -> list[Any]:
        return [original.run(request) for request in requests]

    dataset = parameters["dataset"].removeprefix("home/") if parameters["dataset"].startswith("home/") else None
    path = Path(dataset) if dataset is not None else inputs / parameters["dataset"]
    with load_bundle(inputs / "bundle") as model:
        try:
            result = score_task(name, metric, path, model.run_many, exact, parameters["drop"])
        except VerificationFailed as error:
            raise _with_hint(error) from error.__cause__
    if failure := result.failure():
        raise failure
    (outputs / "metric.json").write_text(result.to_json(), encoding="utf-8")
    found = tools(inputs, parameters)["toolchain"]
    return {"buckets": result.buckets, "exact": result.exact, TOOLCHAIN: found}


def _with_hint(error: VerificationFailed) -> VerificationFailed:
    """Say what to do where the metric missed a file."""
    missed = error.__cause__
    if not isinstance(missed, FileNotFoundError):
        return error
    what = f"the metric found no {str(missed.filename or missed)!r}"
    return VerificationFailed(what, where=error.where, fix="List what it reads under verify.files.")


def tools(inputs: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the toolchain and the platform that are found where this is called.

    Raises:
        CompileError: The toolchain is missing.
    """
    found = {**identity_of(parameters["options"]), **installed()}
    return {"toolchain": found, "platform": platform_here(processor())}


STAGE = Stage(
    name="metric",
    doc="score labelled data through the buckets and at exact shapes",
    after=("verify", "manifest"),
    applies=lambda target: target.spec.verify.metric is not None and not target.cannot_run,
    request=_request,
    place=lambda target, unit, name: target.state / name,
)
