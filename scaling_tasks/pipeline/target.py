"""One target and the paths of everything made for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling_tasks.config.load import section
from scaling_tasks.config.specs import TargetSpec
from scaling_tasks.documents import canonical_json
from scaling_tasks.errors import CompileError
from scaling_tasks.files import digest_bytes

__all__ = ["STATE", "Target"]

STATE = Path(".scaling")
"""Everything that is ours and not for git: scan cache, store, state, logs."""


@dataclass(frozen=True)
class Target:
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

    @property
    def directory(self) -> Path:
        """Where the bundle, its documents and the report go."""
        return Path(self.spec.output) if self.spec.output else Path("build") / self.name

    @property
    def model(self) -> Path:
        """The original model; only targets that have one may ask."""
        if self.spec.model is None:
            raise ValueError(f"target {self.name} has no model")
        return Path(self.spec.model)

    @property
    def compiles(self) -> bool:
        """Whether anything is to be compiled; otherwise the target ends with its plan."""
        return self.spec.compile is not None

    @property
    def cannot_run(self) -> str:
        """Why the artefacts cannot be run on this or any machine by this package; empty where they can."""
        from scaling_tasks.compilers.registry import get_backend

        if not self.compiles:
            return "nothing is compiled"
        try:
            return get_backend(self.options["backend"]).cannot_run(self.options)
        except CompileError:
            return ""  # An unknown backend is reported by the stage that needs it first.

    def has(self, stage: str) -> bool:
        """Return whether the target goes through a stage."""
        if stage in ("scan", "statistics"):
            return self.needs_data
        if stage == "lock":
            # A target given on a command line belongs to no repository whose lock file it could be noted in.
            return self.config is not None
        if stage == "padding":
            return not self.cannot_run and not self.spec.runtime.exact
        if stage == "metric":
            return self.spec.verify.metric is not None and not self.cannot_run
        if stage == "measure":
            return self.spec.auto_scaling.cost == "measured" and not self.cannot_run
        return stage in ("buckets", "report") or self.compiles

    @property
    def needs_data(self) -> bool:
        """Whether the plan is made from a data set."""
        bucketed = self.spec.shape_bucket is not None and self.spec.shape_bucket.shape_bucket_enable
        return self.spec.dataset is not None and not bucketed

    @property
    def options(self) -> dict[str, Any]:
        """The ``compile`` section as plain values, as backends take it."""
        return dict(section(self.spec.compile) or {})

    @property
    def analysis(self) -> Path:
        """The document that says what padding does to answers, and what is done about it."""
        return self.state / "analysis.json"

    @property
    def prepared_model(self) -> Path:
        """The model that is compiled: fixed inputs folded, and cleaned where padding must not change answers."""
        return self.state / "analysis" / self.model.name

    @property
    def statistics(self) -> Path:
        """The ``statistics.json`` document."""
        return self.directory / "statistics.json"

    @property
    def buckets(self) -> Path:
        """The ``buckets.json`` document."""
        return self.directory / "buckets.json"

    @property
    def manifest(self) -> Path:
        """The bundle's ``manifest.json``."""
        return self.directory / "manifest.json"

    @property
    def report(self) -> Path:
        """The ``report.html`` page."""
        return self.directory / "report.html"

    @property
    def latency(self) -> Path:
        """The ``latency.json`` document."""
        return self.directory / "latency.json"

    @property
    def padding(self) -> Path:
        """The document that says what padding does to answers."""
        return self.state / "padding.json"

    @property
    def metric(self) -> Path:
        """The document with the task metric's scores."""
        return self.state / "metric.json"

    @property
    def scan_directory(self) -> Path:
        """Where the data set's scan cache lives; targets with the same data set share it."""
        # What is read from the files depends on nothing but where they are and what kind they are.
        dataset = self.spec.dataset
        identity = None if dataset is None else [Path(dataset.path).as_posix(), dataset.format]
        return STATE / "scan" / digest_bytes(canonical_json(identity).encode())[:16]

    @property
    def state(self) -> Path:
        """Where the target's intermediate documents live."""
        if self.spec.output is None:
            return STATE / "targets" / self.name
        place = digest_bytes(self.directory.as_posix().encode())[:8]
        return STATE / "targets" / f"{self.name}-{place}"

    @property
    def units(self) -> Path:
        """The document that says what is to be compiled."""
        return self.state / "units.json"

    def artefact_record(self, unit: str) -> Path:
        """The document that says which files a unit produced."""
        return self.state / "artefacts" / f"{unit}.json"

    def verification(self, unit: str) -> Path:
        """The document that says how far a unit's artefact is from the original."""
        return self.state / "verification" / f"{unit}.json"

    def log(self, unit: str) -> Path:
        """The compiler's whole output for a unit."""
        return STATE / "logs" / self.name / f"{unit}.log"
