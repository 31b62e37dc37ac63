"""Stage ``verify``: one artefact against the original model, in a process of its own.

An engine may abort or be killed just as a compiler may; it must not take the build with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.processes import die_with_parent, kill_tree, wait_exit
from scaling_tasks.config.load import parse_target, section
from scaling_tasks.documents import canonical_json, parse_document
from scaling_tasks.errors import ScalingTasksError, VerificationFailed
from scaling_tasks.files import write_if_changed
from scaling_tasks.onnx_model.reading import ModelSignature
from scaling_tasks.pipeline.artefacts import read_record
from scaling_tasks.pipeline.target import STATE, Target
from scaling_tasks.pipeline.units import read_units

__all__ = ["run"]

_TOLD = "error.json"
_RESULT = "result.json"


def run(target: Target, unit: str) -> dict[str, Any]:
    """Compare the unit's artefact with the original at each of its buckets and write what was found.

    Returns:
        ``absolute``: the largest absolute difference.

    Raises:
        VerificationFailed: It differs by more than the tolerance, or the engine did not survive.
    """
    (STATE / "work").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STATE / "work", prefix=f"verify-{target.name}-") as directory:
        place = Path(directory)
        status, output = _in_own_process(target, unit, place)
        told = place / _TOLD
        if told.exists():
            what, where, fix = json.loads(told.read_text())
            raise VerificationFailed(what, where=where, fix=fix)
        if status != 0:
            last = (output.strip().splitlines() or ["it said nothing"])[-1]
            raise VerificationFailed(
                f"the engine ended with status {status}: {last}", where=f"{target.name}:{unit}", fix="Build it again."
            )
        text = (place / _RESULT).read_bytes()
    write_if_changed(target.verification(unit), text)
    found = parse_document(text, "verification", 1, where=unit, error=VerificationFailed)
    return {"absolute": max(check["absolute"] for check in found["buckets"])}


def _in_own_process(target: Target, unit: str, place: Path) -> tuple[int, str]:
    job = {"target": section(target.spec), "unit": unit, "place": place.as_posix(), "parent": os.getpid()}
    (place / "job.json").write_text(canonical_json(job))
    with (place / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(place / "job.json")],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    in_time = False
    try:
        in_time = wait_exit(process.pid, float(target.options["timeout"]))
    finally:
        kill_tree(process.pid)
        status = process.wait()
    text = (place / "output.txt").read_text(errors="replace")
    return (status, text) if in_time else (status, f"it took longer than {target.options['timeout']:g} s")


def _verify(target: Target, unit_name: str) -> str:
    """Return the verification document.

    Raises:
        ScalingTasksError: The artefact does not load, or differs by more than the tolerance.
    """
    from scaling_tasks.compilers.contract import Tolerance
    from scaling_tasks.compilers.registry import get_backend
    from scaling_tasks.verification.numerics import verify_artefact

    document = read_units(target.units)
    unit = document.unit(unit_name)
    options, spec = target.options, target.spec.verify
    default = get_backend(options["backend"]).tolerance
    result = verify_artefact(
        target.model,
        ModelSignature(document.inputs, document.outputs),
        options["backend"],
        target.directory / read_record(target, unit_name)["files"][0]["name"],
        options,
        unit.values(),
        Tolerance(
            default.absolute if spec.absolute is None else spec.absolute,
            default.relative if spec.relative is None else spec.relative,
        ),
    )
    if failure := result.failure():
        raise failure
    return result.to_json()


def _main(job_file: Path) -> None:
    job = json.loads(job_file.read_text())
    die_with_parent(signal.SIGKILL, job["parent"])
    place = Path(job["place"])
    try:
        text = _verify(Target(parse_target(job["target"])), job["unit"])
    except ScalingTasksError as error:
        (place / _TOLD).write_text(canonical_json([error.what, error.where, error.fix]))
        return
    (place / _RESULT).write_text(text)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
