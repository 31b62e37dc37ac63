"""ATC: offline models for Ascend NPUs, compiled here or adopted from a machine that has CANN."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.atc_command import GEAR_FLAGS, atc_arguments, check_atc_options
from scaling_tasks.compilers.atc_export import adopted_identity, adopted_model
from scaling_tasks.compilers.base import BackendBase, backend_options
from scaling_tasks.compilers.contract import Artefact, CompileJob, Limits, Tolerance
from scaling_tasks.compilers.gears import MOST_GEARS, gear_units
from scaling_tasks.compilers.options import UNSET, Annotated, Options, UnsetType, option
from scaling_tasks.compilers.toolkit import toolkit_identity
from scaling_tasks.compilers.tools import run_tool
from scaling_tasks.errors import CompileError
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.shapes.unit import Unit

__all__ = ["AtcBackend"]

_MAGIC = b"IMOD"


class AtcOptions(Options, frozen=True):
    """Flags of atc."""

    gears: Annotated[str, option("which flag gives them", "auto", *GEAR_FLAGS)] = "auto"
    joint: Annotated[bool, option("N and sizes in one artefact")] = False
    precision_mode: Annotated[str, option("in which precision it computes")] | UnsetType = UNSET
    precision_mode_v2: Annotated[str, option("the same by its newer names")] | UnsetType = UNSET
    insert_op_conf: Annotated[str, option("path of an AIPP file")] | UnsetType = UNSET
    arguments: Annotated[dict[str, Any], option("further flags by name")] | None = None
    adopt: Annotated[str, option("directory of results that were compiled elsewhere")] | None = None


class AtcBackend(BackendBase):
    """Calls ``atc`` of CANN, or takes over what another machine compiled.

    Options: ``gears`` (``auto``, ``dynamic_batch_size``, ``dynamic_image_size`` or ``dynamic_dims``), ``joint`` (true:
    N and sizes in one artefact), ``precision_mode`` or ``precision_mode_v2``, ``insert_op_conf`` (an AIPP file),
    ``arguments`` (further flags of atc by name) and ``adopt`` (the directory in which the script written by
    ``export_commands`` left its results; nothing is compiled then).
    """

    name = "atc"
    engine = "om"
    tolerance = Tolerance(absolute=1e-2, relative=1e-2)
    options_type = AtcOptions
    file_options = ("insert_op_conf", "adopt")
    error_pattern = r"^E[0-9A-Z]\d{4}:|ATC run failed|^\[ERROR\]"

    def chip_settings(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the chip."""
        return ("soc_version",)

    def limits(self, options: Mapping[str, Any]) -> Limits:
        """Return up to 100 gears per unit."""
        return Limits(fewest_buckets=1, most_buckets=MOST_GEARS)

    def check(self, signature: Signature, options: Mapping[str, Any]) -> None:
        """Refuse unknown options and the combinations that ATC refuses."""
        super().check(signature, options)
        check_atc_options(signature, options)

    def identity(self, options: Mapping[str, Any]) -> dict[str, str]:
        """Return digests of the ``atc`` in use and of what it loads, or of the one that made what is adopted."""
        directory = _adopt(options)
        return adopted_identity(directory) if directory else toolkit_identity("atc", _find_atc())

    def input_files(self, options: Mapping[str, Any]) -> tuple[Path, ...]:
        """Return the AIPP file, and what is adopted."""
        given = backend_options(options).get("insert_op_conf")
        directory = _adopt(options)
        adopted = sorted(path for path in directory.glob("*") if path.is_file()) if directory else []
        return (*([] if given is None else [Path(given)]), *adopted)

    def units(
        self, model_stem: str, signature: Signature, buckets: Sequence[Sequence[int]], options: Mapping[str, Any]
    ) -> tuple[Unit, ...]:
        """Return MindOCR's artefacts."""
        return gear_units(model_stem, signature, buckets, joint=bool(backend_options(options).get("joint", False)))

    def compile(self, job: CompileJob, workdir: Path) -> Artefact:
        """Run ``atc``, or copy what is adopted."""
        target = workdir / f"{job.unit.stem}.om"
        directory = _adopt(job.options)
        if directory:
            shutil.copyfile(adopted_model(job, directory), target)
            return Artefact((target,))
        command = [str(_find_atc()), *atc_arguments(job, str(job.model), str(workdir / job.unit.stem))]
        status, output = run_tool(command, workdir=workdir)
        errors = self.errors_in_log(output)
        if errors or status != 0:
            lines = [line for line in output.splitlines() if line.strip()]
            raise CompileError(f"atc failed: {(errors or lines or [f'status {status}'])[0].strip()}")
        _settle(target)
        return Artefact((target,))

    def accept(self, artefact: Artefact, options: Mapping[str, Any]) -> None:
        """Check the header; an offline model loads on an NPU only."""
        with artefact.files[0].open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise CompileError("is no offline model: its header is wrong", where=str(artefact.files[0]))

    def cannot_run(self, options: Mapping[str, Any]) -> str:
        """Return that an offline model runs on an Ascend NPU, through the platform's own runtime."""
        return "an offline model runs on an Ascend NPU only"


def _settle(target: Path) -> None:
    """Give the artefact its name: newer versions of atc append the operating system and processor."""
    if not target.exists():
        found = sorted(target.parent.glob(f"{target.stem}_*.om"))
        if len(found) == 1:
            found[0].rename(target)


def _adopt(options: Mapping[str, Any]) -> Path | None:
    directory = backend_options(options).get("adopt")
    return Path(directory) if directory else None


def _find_atc() -> Path:
    places = [shutil.which("atc")]
    for variable in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"):
        places.append(shutil.which("atc", path=str(Path(os.environ.get(variable, "/nowhere")) / "bin")))
    for place in places:
        if place:
            return Path(place)
    raise CompileError(
        "this machine has no CANN: `atc` was not found",
        where="compile.backend",
        fix="Source CANN's set_env.sh, or export the commands, run them where CANN is and set `compile.options.adopt`.",
    )
