"""Compiling elsewhere: a script with the ATC commands, and taking over what it produced.

A laptop plans, a server with CANN compiles. The script leaves, beside each offline model, a note of the model, the
arguments and the compiler it was made with; nothing is adopted whose note does not fit.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scaling_tasks.compilers.atc_command import atc_arguments
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.documents import MOST_BYTES, canonical_json
from scaling_tasks.errors import CompileError
from scaling_tasks.files import digest_bytes, digest_file, read_regular, write_if_changed
from scaling_tasks.onnx_model.digest import digest_model

__all__ = ["adopted_identity", "adopted_model", "export_commands"]

_HEAD = """#!/bin/sh
# Compiles on a machine that has CANN; written by scaling_tasks. Results and their notes go to the directory given as
# the first argument, by default "results" beside this script. Set compile.options.adopt to that directory afterwards.
set -u
cd "$(dirname "$0")" || exit 1
results=${1:-results}
mkdir -p "$results"
atc=$(command -v atc) || { echo "atc was not found: source CANN's set_env.sh" >&2; exit 1; }
compiler=$(sha256sum "$(readlink -f "$atc")" | cut -d ' ' -f 1)
failed=0

compile() { # stem, model, digest of the model's file, digest of the arguments, arguments of atc
  stem=$1 model=$2 bytes=$3 model_digest=$4 arguments=$5
  shift 5
  if [ "$(sha256sum "$model" | cut -d ' ' -f 1)" != "$bytes" ]; then
    echo "$stem: $model is not the model these commands were made for" >&2; failed=1; return
  fi
  rm -f "$results/$stem.om" "$results/$stem.json"
  "$atc" "$@" > "$results/$stem.log" 2>&1
  status=$?
  [ -e "$results/$stem.om" ] || mv "$results/$stem"_*.om "$results/$stem.om" 2>/dev/null
  if [ $status -ne 0 ] || grep -q 'ATC run failed' "$results/$stem.log" || [ ! -s "$results/$stem.om" ]; then
    echo "$stem: failed, see $results/$stem.log" >&2; failed=1; return
  fi
  printf '{"arguments":"%s","atc":"%s","model":"%s","om":"%s"}\\n' "$arguments" "$compiler" "$model_digest" \\
    "$(sha256sum "$results/$stem.om" | cut -d ' ' -f 1)" > "$results/$stem.json"
  echo "$stem: done"
}

"""


def export_commands(jobs: Sequence[CompileJob], script: Path) -> bool:
    """Write a shell script that compiles the units on a machine that has CANN.

    Models are named relative to the script, so that a checkout of the repository on that machine is enough.

    Returns:
        Whether the script changed.

    Raises:
        ModelError: A model cannot be read.
    """
    text = _HEAD + "".join(_call(job, script.parent) for job in jobs) + "exit $failed\n"
    changed = write_if_changed(script, text.encode(), below=script.parent)
    script.chmod(0o755)
    return changed


def _call(job: CompileJob, directory: Path) -> str:
    model = os.path.relpath(job.model, directory)
    parts = [job.unit.stem, model, digest_file(job.model), digest_model(job.model), _arguments_digest(job)]
    arguments = atc_arguments(job, model, "")
    quoted = [shlex.quote(part) for part in [*parts, *arguments]]
    output = quoted.index("--output=")
    quoted[output] = f'--output="$results"/{shlex.quote(job.unit.stem)}'
    return "compile " + " \\\n  ".join(quoted) + "\n\n"


def _arguments_digest(job: CompileJob) -> str:
    """Return the digest of the arguments without the paths, which differ between machines."""
    return digest_bytes(canonical_json(atc_arguments(job, "", "")).encode())


def adopted_model(job: CompileJob, directory: Path) -> Path:
    """Return the offline model that another machine made for exactly this unit.

    Raises:
        CompileError: There is none, it was made for another model or with other arguments, or it was changed since.
    """
    path = directory / f"{job.unit.stem}.om"
    note = _note(directory / f"{job.unit.stem}.json")
    if not path.is_file():
        raise CompileError("is not there", where=str(path), fix="Run the exported script and copy its results.")
    expected = {"model": digest_model(job.model), "arguments": _arguments_digest(job), "om": digest_file(path)}
    for key, value in expected.items():
        if note.get(key) != value:
            what = {"model": "another model", "arguments": "other arguments", "om": "another file than it is now"}[key]
            raise CompileError(f"was made for {what}", where=str(path), fix="Export the commands again and run them.")
    return path


def adopted_identity(directory: Path) -> dict[str, str]:
    """Return the compilers that made what lies in the directory.

    Raises:
        CompileError: There is nothing.
    """
    compilers = {str(_note(path).get("atc")) for path in sorted(directory.glob("*.json"))}
    if not compilers:
        raise CompileError(
            "holds no results", where=str(directory), fix="Run the exported script and copy its results there."
        )
    return {"atc": ",".join(sorted(compilers))}


def _note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(read_regular(path, MOST_BYTES))
    except (OSError, ValueError, RecursionError) as cause:
        raise CompileError(
            f"cannot be read ({cause})", where=str(path), fix="Run the exported script and copy its results."
        ) from cause
    return note if isinstance(note, dict) else {}
