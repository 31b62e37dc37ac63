"""The files that actions are made from: how they are found, named and digested."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling_tasks.config.load import parse_target, section
from scaling_tasks.errors import ConfigError, ModelError
from scaling_tasks.execution.environment import toolchain_settings
from scaling_tasks.files import files_below
from scaling_tasks.known_digests import known_digests
from scaling_tasks.names import Digest, inner_name
from scaling_tasks.onnx_model.model_file import MOST_BYTES, MOST_WEIGHTS
from scaling_tasks.paths import is_below
from scaling_tasks.stages.stage import Made
from scaling_tasks.stages.target import Target

__all__ = [
    "digests",
    "home_name",
    "inside",
    "model_files",
    "model_places",
    "planned_model",
    "platform",
    "platform_here",
    "spec_parameters",
    "tree",
]


def model_files(model: Path) -> dict[str, Path]:
    """Return a model and its external data by the names that actions give them.

    Raises:
        ModelError: It cannot be read, or names data outside its directory.
    """
    try:
        if model.stat().st_size > MOST_BYTES:
            raise ModelError(
                f"it is larger than {MOST_BYTES} bytes", where=str(model), fix="Keep its weights beside it."
            )
        noted = f"external {known_digests().digest(model)}"
    except OSError as cause:
        raise ModelError(f"cannot be read ({cause.strerror})", where=str(model), fix="Check `model`.") from cause
    names = known_digests().fact(noted)
    if not (isinstance(names, list) and all(isinstance(name, str) and is_below(name) for name in names)):
        from scaling_tasks.onnx_model.digest import external_files

        names = [file.relative_to(model.parent).as_posix() for file in external_files(model)]
        known_digests().note(noted, names)
    found = {f"model/{name}": model.parent / name for name in (model.name, *names)}
    for path in found.values():
        if path.exists() and path.stat().st_size > MOST_WEIGHTS:
            what = f"it is larger than {MOST_WEIGHTS} bytes"
            raise ModelError(what, where=str(path), fix="Keep weights in several files.")
    return found


def planned_model(made: Made) -> dict[str, Digest]:
    """Return the digests of the model that the target was planned for, which everything after is made from."""
    planned: Mapping[str, Digest] = made.result("buckets").components["inputs"]
    return {name: digest for name, digest in planned.items() if name.startswith("model/")}


def model_places(target: Target, names: Iterable[str]) -> dict[str, Path]:
    """Return where the files lie that actions give these names: the model's, and its external data."""
    return {name: target.model.parent / name.removeprefix("model/") for name in names}


def tree(path: str, *, where: str) -> dict[str, Path]:
    """Return a file, or all files below a directory but hidden ones, by the names that actions give them.

    Raises:
        ConfigError: There is nothing, or it cannot be listed.
    """
    root = Path(path)
    if root.is_file():
        return {home_name(path): root}
    if not root.is_dir():
        raise ConfigError(f"{path!r} is not there", where=where, fix="Correct the path.")
    try:
        files = files_below(root)
    except OSError as cause:
        what = f"{str(cause.filename or path)!r} cannot be listed ({cause.strerror})"
        raise ConfigError(what, where=where, fix="Check its permissions.") from cause
    return {f"{home_name(path)}/{file.relative_to(root).as_posix()}": file for file in files}


def home_name(path: str) -> str:
    """Return what a file or directory is called in an action's directory: files that lie together there do so here."""
    plain = Path(path).as_posix()
    if plain == ".":
        return "home"
    try:
        return f"home/{inner_name(plain)}"
    except ValueError:
        return f"elsewhere{Path(path).resolve().as_posix()}"


def digests(files: Mapping[str, Path]) -> dict[str, Digest]:
    """Return the digest of each file.

    Raises:
        ModelError: One cannot be read.
    """
    found = {}
    for name, path in files.items():
        try:
            found[name] = known_digests().digest(path)
        except OSError as cause:
            raise ModelError(f"cannot be read ({cause.strerror})", where=str(path), fix="Check the path.") from cause
    return found


def platform(target: Target, machine: Mapping[str, str]) -> dict[str, str]:
    """Return what a compiler's or an engine's result depends on of where it runs: the machine and the environment."""
    return {**machine, **target.toolchain_settings}


def platform_here(machine: Mapping[str, str]) -> dict[str, str]:
    """Return the same for whoever does the work, wherever that is."""
    return {**machine, **toolchain_settings(os.environ)}


def spec_parameters(target: Target, *sections: str) -> dict[str, Any]:
    """Return sections of a target's configuration as an action's parameters."""
    found = {name: section(getattr(target.spec, name)) for name in sections}
    if "compile" in found:
        found["compile"] = target.result_options or None
    if target.spec.model is not None:
        found["model"] = f"model/{target.model.name}"
    return {"target": found}


def inside(inputs: Path, parameters: Mapping[str, Any]) -> Target:
    """Return the target that an action is about, as it is in the action's directory."""
    values = dict(parameters["target"])
    if "model" in values:
        values["model"] = str(inputs / values["model"])
    return Target(parse_target({**values, "output": str(inputs)}), parameters.get("where"))
