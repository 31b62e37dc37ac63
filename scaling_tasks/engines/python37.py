"""Finding interpreters that are not the one running: CPython 3.7 and whatever environments have MindSpore Lite."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["answer_of", "find_python37", "interpreters"]

_PROBE_SECONDS = 30.0


def find_python37() -> Path | None:
    """Return a CPython 3.7 that really runs, None where there is none."""
    for python in interpreters():
        if answer_of(python, "import sys; print('%d.%d' % sys.version_info[:2])") == "3.7":
            return python
    return None


def interpreters() -> Iterator[Path]:
    """Yield the places where a CPython 3.7 is usually found, most deliberate first."""
    if found := shutil.which("python3.7"):
        yield Path(found)  # May be a pyenv shim that does not run.
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/3.7.*/bin/python"), reverse=True)
    yield from _conda()
    if (uv := shutil.which("uv")) and (found := _output([uv, "python", "find", "3.7"])):
        yield Path(found)


def _conda() -> Iterator[Path]:
    prefixes = [os.environ.get("CONDA_PREFIX", ""), *_lines(Path.home() / ".conda" / "environments.txt")]
    for name in ("miniconda3", "anaconda3", "miniforge3", "mambaforge"):
        prefixes += [str(path) for path in sorted((Path.home() / name / "envs").glob("*"))]
    for prefix in dict.fromkeys(prefixes):
        if prefix and (python := Path(prefix) / "bin" / "python").exists():
            yield python


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def answer_of(python: Path, code: str, environment: dict[str, str] | None = None) -> str | None:
    """Return what ``python -c code`` prints, stripped; None where it fails or does not answer."""
    return _output([str(python), "-c", code], environment)


def _output(command: list[str], environment: dict[str, str] | None = None) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
