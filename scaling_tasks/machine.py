"""What of a machine a result may depend on, and the versions of what is installed on it."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import sys
from pathlib import Path

from scaling_tasks.files import digest_bytes

__all__ = ["host", "installed", "kind", "processor", "version_of", "versions", "versions_for"]


@functools.cache
def kind() -> dict[str, str]:
    """Return the operating system and the instruction set."""
    return {"system": platform.system(), "machine": platform.machine()}


@functools.cache
def processor() -> dict[str, str]:
    """Return the processor's model as well: engines choose their instructions by it, and round as those do."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), None)
    # Only where it must: it starts a process.
    return {**kind(), "processor": model or platform.processor()}


@functools.cache
def host() -> dict[str, str]:
    """Return what tells this machine from any other."""
    try:
        number = Path("/etc/machine-id").read_text().strip()
    except OSError:
        number = ""
    return {**processor(), "host": digest_bytes(f"{number} {platform.node()}".encode())[:16]}


@functools.cache
def versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages, without importing them; ``absent`` where one is not installed."""
    return {package: _known_version(package) for package in packages}


def versions_for(model: str) -> dict[str, str]:
    """Return the versions of what reads a model of this file name and answers as the original."""
    tools = ("ai-edge-litert", "flatbuffers") if model.endswith(".tflite") else ("onnx", "onnxruntime")
    return versions(*tools, "numpy")


@functools.cache
def _known_version(package: str) -> str:
    try:
        return version_of(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def version_of(package: str) -> str:
    """Return the version of a package, without importing it.

    Raises:
        PackageNotFoundError: Of ``importlib.metadata``: it is not installed.
    """
    found = importlib.metadata.distribution(package)
    # All of its metadata, where a long description may stand, would be taken apart as a mail for this one line.
    head = (found.read_text("METADATA") or "").partition("\n\n")[0].splitlines()
    prefix = "Version: "
    return next((line.removeprefix(prefix).strip() for line in head if line.startswith(prefix)), None) or found.version


@functools.cache
def installed() -> dict[str, str]:
    """Return the version of Python and a digest of everything installed beside it, for work that may import any."""
    names = {path.name for place in sys.path for path in Path(place or ".").glob("*.dist-info")}
    return {"python": platform.python_version(), "packages": digest_bytes("\n".join(sorted(names)).encode())}
