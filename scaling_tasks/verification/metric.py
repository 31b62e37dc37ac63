"""The task metric: what buckets do to the answers that count, on labelled data."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from numpy.typing import NDArray

from scaling_tasks.errors import ConfigError, VerificationFailed
from scaling_tasks.verification.findings import Findings

__all__ = ["Arrays", "Metric", "MetricResult", "load_metric", "score_task"]

Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Sequence[Arrays]], Sequence[Arrays]]


class Metric(Protocol):
    """A user's function that scores a model on labelled data; higher is better."""

    def __call__(self, run: Run, dataset: Path) -> float:
        """Return the score.

        Args:
            run: Serves a list of requests, results in their order.
            dataset: What the configuration names.
        """
        ...


@dataclass(frozen=True)
class MetricResult(Findings):
    """A model's score through its buckets and by the original at exact shapes.

    Attributes:
        metric: The function's name.
        buckets: Score through the bundle.
        exact: Score of the original.
        drop: Largest accepted loss.
    """

    kind, version = "metric", 1

    metric: str
    buckets: float
    exact: float
    drop: float

    @property
    def passed(self) -> bool:
        """Whether no more is lost than accepted."""
        # Scores are shares of counts; a difference in the last bits is none.
        return self.exact - self.buckets <= self.drop + 1e-12

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        return {**vars(self), "passed": self.passed}

    def failure(self) -> VerificationFailed | None:
        """Return the error to raise, None where the metric holds."""
        if self.passed:
            return None
        return VerificationFailed(
            f"it scores {self.buckets:.4f} through the buckets and {self.exact:.4f} at exact shapes, "
            f"{self.exact - self.buckets:.4f} less; accepted are {self.drop:g}",
            where=self.metric,
            fix="Use more buckets or another padding policy, or raise verify.drop.",
        )


class _Given(importlib.abc.MetaPathFinder):
    """Finds modules where they were put: the same may lie where they were copied from, and be edited there."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        self._places = {name: str(place) for name, place in places.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return what is to be imported under a name, None where others are asked."""
        if fullname not in self._places:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, [self._places[fullname]])
        if found is not None and found.loader is None:
            # A package without a file of its own; Python would look for more of it elsewhere.
            found.submodule_search_locations = [f"{self._places[fullname]}/{fullname}"]
        return found


def load_metric(name: str, *, search: Path | None = None, modules: Mapping[str, Path] | None = None) -> Metric:
    """Return the function called ``module:function``.

    Args:
        name: Where it is.
        search: Directory from which the module may be imported too, such as the one of the configuration.
        modules: Directory in which modules and packages are, by their names, wherever else there are such.

    Raises:
        ConfigError: There is none.
    """
    module_name, _, function = name.partition(":")
    if not module_name or not function:
        raise ConfigError(f"{name!r} names no function", where="verify.metric", fix="Write module:function.")
    if search is not None and str(search) not in sys.path:
        sys.path.append(str(search))
    if modules:
        sys.meta_path.insert(0, _Given(modules))
    try:
        metric: Metric = getattr(importlib.import_module(module_name), function)
    except (ImportError, AttributeError) as cause:
        raise ConfigError(
            f"{name!r} cannot be imported ({cause})", where="verify.metric", fix="Write module:function."
        ) from cause
    return metric


def score_task(name: str, metric: Metric, dataset: Path, buckets: Run, exact: Run, drop: float) -> MetricResult:
    """Score the same labelled data through the buckets and by the original at exact shapes.

    Args:
        name: The metric's name, for messages.
        metric: The user's function.
        dataset: The labelled data.
        buckets: The bundle's ``run_many``.
        exact: The original, one request after the other.
        drop: Largest accepted loss.

    Raises:
        VerificationFailed: The function failed, or gave no number.
    """
    scores = []
    for run in (buckets, exact):
        try:
            score = float(metric(run, dataset))
        except Exception as cause:  # a user's function may raise anything
            raise VerificationFailed(
                f"the metric failed ({cause!r})", where=name, fix="Mend the function or its data."
            ) from cause
        if not math.isfinite(score):
            raise VerificationFailed(f"the metric gave {score}", where=name, fix="It must be a finite number.")
        scores.append(score)
    return MetricResult(name, scores[0], scores[1], drop)
