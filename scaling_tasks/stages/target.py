"""One target and the paths of everything made for it."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import msgspec

from scaling_tasks.config.load import section
from scaling_tasks.config.specs import DatasetSpec, TargetSpec
from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.environment import toolchain_settings
from scaling_tasks.files import digest_bytes
from scaling_tasks.known_digests import STATE

if TYPE_CHECKING:
    from scaling_tasks.compilers.contract import Backend

__all__ = ["BUNDLES", "Target"]

BUNDLES = Path("build")
"""Where the bundles of targets are that name no output."""

_OF_THE_CHIP = ("device", "soc_version")

# What bounds a compile but does not change its result.
_NOT_IN_RESULT = ("timeout", "memory", "threads", "resources", "optional")


class Target(msgspec.Struct, frozen=True, dict=True):
    """A target's configuration and its paths, all relative to the repository's root.

    Attributes:
        spec: What the configuration says.
        config: The configuration file, None for a target given in code.
    """

    spec: TargetSpec
    config: str | None = None

    @property
    def name(self) -> str:
        """The target's name."""
        return self.spec.name

    @cached_property
    def directory(self) -> Path:
        """Where the bundle, its documents and the report go."""
        return Path(self.spec.output) if self.spec.output else BUNDLES / self.name

    def rooted(self, path: Path) -> tuple[Path, Path]:
        """Return a path of what is made for the target, and what no link leads out of there.

        Where the user keeps the state and the bundle is the user's matter, links included.
        """
        return path, STATE if path.is_relative_to(STATE) else self.directory

    @cached_property
    def model(self) -> Path:
        """The original model; only targets that have one may ask."""
        if self.spec.model is None:
            raise ValueError(f"target {self.name} has no model")
        return Path(self.spec.model)

    @property
    def dataset(self) -> DatasetSpec:
        """The data set; only targets that have one may ask."""
        if self.spec.dataset is None:
            raise ValueError(f"target {self.name} has no data set")
        return self.spec.dataset

    @property
    def compiles(self) -> bool:
        """Whether anything is to be compiled; otherwise the target ends with its plan."""
        return self.spec.compile is not None

    @property
    def cannot_run(self) -> str:
        """Why the artefacts cannot be run on this or any machine by this package; empty where they can."""
        if not self.compiles:
            return "nothing is compiled"
        return self._backend.cannot_run(self.options) if self._backend else ""

    @cached_property
    def _backend(self) -> Backend | None:
        """What compiles; None where nothing is, or where there is no such backend: the stage says so that needs it."""
        from scaling_tasks.compilers.registry import get_backend

        if self.spec.compile is None:
            return None
        try:
            return get_backend(self.spec.compile.backend)
        except CompileError:
            return None

    @property
    def needs_data(self) -> bool:
        """Whether the plan is made from a data set."""
        bucketed = self.spec.shape_bucket is not None and self.spec.shape_bucket.shape_bucket_enable
        return self.spec.dataset is not None and not bucketed

    @cached_property
    def options(self) -> dict[str, Any]:
        """The ``compile`` section as plain values, without what its backend does not read."""
        given = dict(section(self.spec.compile) or {})
        if self._backend is None:
            return given
        read = self._backend.chip_settings(given)
        return {key: value for key, value in given.items() if key not in _OF_THE_CHIP or key in read}

    @cached_property
    def options_text(self) -> str:
        """The options as canonical JSON."""
        return canonical_json(self.options)

    @cached_property
    def result_options(self) -> dict[str, Any]:
        """The ``compile`` section without what bounds a compile but does not change its result."""
        return {key: value for key, value in self.options.items() if key not in _NOT_IN_RESULT}

    @cached_property
    def toolchain_settings(self) -> dict[str, str]:
        """What the environment says to toolchains; read once, as the toolchain itself is."""
        return toolchain_settings(os.environ)

    @property
    def latency(self) -> Path:
        """The ``latency.json`` document."""
        return self.directory / "latency.json"

    @property
    def manifest(self) -> Path:
        """The bundle's ``manifest.json``."""
        return self.directory / "manifest.json"

    @cached_property
    def scan_cache(self) -> Path:
        """The data set's scan cache; targets with the same data set share it."""
        # What is read from the files depends on nothing but where they are and what kind they are.
        dataset = self.spec.dataset
        identity = None if dataset is None else [PurePosixPath(dataset.path).as_posix(), dataset.format]
        return STATE / "scan" / digest_bytes(canonical_json(identity).encode())[:16] / "cache"

    @cached_property
    def state(self) -> Path:
        """Where the target's intermediate documents live."""
        return STATE / "targets" / self._place

    @property
    def _place(self) -> str:
        """The target's name, and where its output is where that is not told by the name."""
        if self.spec.output is None:
            return self.name
        return f"{self.name}-{digest_bytes(self.directory.as_posix().encode())[:8]}"

    @property
    def units(self) -> Path:
        """The document that says what is to be compiled."""
        return self.state / "units.json"

    def result(self, stage: str, unit: str | None = None) -> Path:
        """The record of what a stage made."""
        return Path(self.record(stage, unit))

    def record(self, stage: str, unit: str | None = None) -> str:
        """The same as text, for who asks after tens of thousands of records that there is nothing to do with."""
        return f"{self._records}{stage}/{unit}.json" if unit else f"{self._records}{stage}.json"

    @cached_property
    def _records(self) -> str:
        return f"{self.state.as_posix()}/results/"

    def log(self, stage: str, unit: str | None = None) -> Path:
        """Everything that a stage's compiler or engine printed."""
        directory = STATE / "logs" / self._place
        if stage == "compile":
            return directory / f"{unit}.log"
        return directory / stage / f"{unit or stage}.log"
