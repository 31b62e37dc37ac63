"""``python -m scaling_tasks.compilers.provision_lite``: make an environment that has MindSpore Lite 2.0.0.

The package exists for CPython 3.7 alone, so that the environment is a separate one, at ``.toolchains/mindspore-lite``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from scaling_tasks.compilers.lite_toolchain import find_toolchain
from scaling_tasks.engines.lite_python import ENVIRONMENT, provisioned
from scaling_tasks.engines.python37 import answer_of, find_python37
from scaling_tasks.errors import CompileError

__all__ = ["main", "provision"]

REQUIREMENTS = ("mindspore-lite==2.0.0", "numpy<1.22")

_MISSING = (
    "MindSpore Lite is not available: no CPython 3.7 was found, the only one its package is made for. Install one "
    "(`pyenv install 3.7`, `uv python install 3.7` or `conda create -n py37 python=3.7`) and run this again"
)


def main() -> int:
    """Provision and say in one line what came of it; the exit status is 0 where no CPython 3.7 exists."""
    try:
        sys.stdout.write(provision(Path.cwd()) + "\n")
    except CompileError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def provision(directory: Path) -> str:
    """Make the environment in ``directory`` unless a usable MindSpore Lite exists; return a line about it.

    Raises:
        CompileError: The packages cannot be installed.
    """
    if ready := provisioned(directory):
        return f"MindSpore Lite {ready[1]} is ready in {ENVIRONMENT}"
    python = find_python37()
    if python is None:
        return _existing() or f"{_MISSING}."
    target = directory / ENVIRONMENT
    draft = target.with_name(f".{target.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    _run([str(python), "-m", "venv", str(draft)])
    pip = [str(draft / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, *REQUIREMENTS])
    if answer_of(draft / "bin" / "python", "import mindspore_lite") is None:
        raise CompileError("was installed but does not import", where=" ".join(REQUIREMENTS))
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    return f"MindSpore Lite is ready in {ENVIRONMENT}"


def _existing() -> str | None:
    try:
        found = find_toolchain("cpu")
    except CompileError:
        return None
    return f"MindSpore Lite{found.version and f' {found.version}'} is ready at {found.python or found.converter}"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise CompileError(lines[-1] if lines else f"status {done.returncode}", where=" ".join(command[:6]))


if __name__ == "__main__":
    sys.exit(main())
