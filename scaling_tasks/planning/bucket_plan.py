"""The chosen buckets with their provenance and score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from scaling_tasks.documents import document_text, parse_document, read_document
from scaling_tasks.errors import PlanError
from scaling_tasks.files import digest_bytes
from scaling_tasks.planning.costs import CostModel, cost_of, restore_cost_model
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.selection import cheapest_containing, sort_buckets

__all__ = ["BucketPlan", "PlanScore", "histogram_digest", "make_plan"]

_KIND, _VERSION = "buckets", 1


@dataclass(frozen=True, eq=False)
class PlanScore:
    """How well buckets serve samples.

    Attributes:
        padding_ratio: Σ w·cost(bucket chosen) / Σ w·cost(sample) over the covered samples, at least 1; 1 where nothing
            is covered.
        coverage: Share of the weight that some bucket contains.
        hits: Weight served by each bucket, float64 [k].
    """

    padding_ratio: float
    coverage: float
    hits: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BucketPlan:
    """The chosen buckets with their provenance and score.

    Attributes:
        variables: Names of the d columns of ``buckets``.
        buckets: Distinct shapes, int64 [k, d], sorted by cost, equal costs lexicographically.
        bucket_costs: What one inference at each bucket costs, float64 [k].
        padding_ratio: On the samples it was planned for; over the covered ones.
        lower_bound: Proven lower bound of the padding ratio for this many buckets; None for rule-based strategies.
        coverage: Share of the weight it was planned for that some bucket contains.
        hits: Weight served by each bucket, float64 [k].
        strategy: Name of the strategy.
        parameters: All its parameters, plain values.
        cost: Description of the cost model, plain values.
        statistics_digest: SHA-256 of the statistics it came from; empty where there were none.
        warnings: What the user should know, one sentence each.
        details: Further findings as plain values: ``relaxation``, ``curve``, ``unseen``, …
        cost_model: The cost model itself; None when read back from JSON that cannot hold it.
    """

    variables: tuple[str, ...]
    buckets: NDArray[np.int64]
    bucket_costs: NDArray[np.float64]
    padding_ratio: float
    lower_bound: float | None
    coverage: float
    hits: NDArray[np.float64]
    strategy: str
    parameters: Mapping[str, Any]
    cost: Mapping[str, Any]
    statistics_digest: str = ""
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    cost_model: CostModel | None = None

    def evaluate(self, other: ShapeHistogram, cost: CostModel | None = None) -> PlanScore:
        """Return how these buckets serve another histogram.

        A sample's own cost is taken as no more than that of the bucket that serves it, so that the ratio is at least 1
        under any cost model.

        Args:
            other: Samples over the same variables, in any order of columns.
            cost: Needed only where the plan was read from JSON and its cost model was a callable.

        Raises:
            PlanError: Other variables, or no cost model at hand.
        """
        if not self.variables:
            return PlanScore(1.0, 1.0, np.array([other.total]))
        model = cost or self.cost_model
        if model is None:
            raise PlanError(f"the cost model {dict(self.cost)} is not stored in the plan", fix="Pass it as cost=.")
        return score_buckets(self.buckets, self.bucket_costs, _columns(other, self.variables), other.weights, model)

    def to_json(self) -> str:
        """Return the ``buckets.json`` document, byte-deterministic."""
        return document_text(
            _KIND,
            _VERSION,
            {
                **self.details,
                "variables": list(self.variables),
                "buckets": self.buckets.tolist(),
                "bucket_costs": self.bucket_costs.tolist(),
                "padding_ratio": self.padding_ratio,
                "lower_bound": self.lower_bound,
                "coverage": self.coverage,
                "hits": self.hits.tolist(),
                "strategy": {"name": self.strategy, "parameters": dict(self.parameters)},
                "cost": dict(self.cost),
                "statistics_digest": self.statistics_digest,
                "warnings": list(self.warnings),
            },
        )

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "buckets") -> BucketPlan:
        """Read what ``to_json`` wrote.

        Raises:
            PlanError: The text is not such a document.
        """
        return parse_document(text, _KIND, _VERSION, where=where, error=PlanError, build=_from_payload)

    @classmethod
    def read(cls, path: Path) -> BucketPlan:
        """Read a file of what ``to_json`` wrote.

        Raises:
            PlanError: It is missing or not such a document.
        """
        return read_document(path, _KIND, _VERSION, error=PlanError, build=_from_payload)


class _Strategy(msgspec.Struct):
    name: str
    parameters: dict[str, Any]


_Amount = Annotated[float, msgspec.Meta(ge=0)]
_Ratio = Annotated[float, msgspec.Meta(ge=1)]
_Curve = list[tuple[Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)], _Ratio]]


class _Unseen(msgspec.Struct):
    folds: Annotated[int, msgspec.Meta(ge=2, lt=1 << 31)]
    padding_ratio: _Amount
    coverage: _Amount


class _Details(msgspec.Struct):
    """What the report reads of the further findings; strategies add what is theirs."""

    curve: _Curve = []
    rules: dict[str, _Curve] = {}
    unseen: _Unseen | None = None


class _Document(msgspec.Struct):
    variables: list[str]
    buckets: list[list[Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]]]
    bucket_costs: list[_Amount]
    padding_ratio: _Ratio
    lower_bound: _Amount | None
    coverage: _Amount
    hits: list[_Amount]
    strategy: _Strategy
    cost: dict[str, Any]
    statistics_digest: str
    warnings: list[str]


def _from_payload(payload: dict[str, Any]) -> BucketPlan:
    found = msgspec.convert(payload, _Document)
    details = {name: value for name, value in payload.items() if name not in _Document.__struct_fields__}
    msgspec.convert(details, _Details)
    count = len(found.buckets)
    if {len(found.bucket_costs), len(found.hits)} != {count}:
        raise ValueError(f"{count} buckets with {len(found.bucket_costs)} costs and {len(found.hits)} hits")
    return BucketPlan(
        variables=tuple(found.variables),
        buckets=np.asarray(found.buckets, dtype=np.int64).reshape(count, len(found.variables)),
        bucket_costs=np.asarray(found.bucket_costs, dtype=np.float64),
        padding_ratio=found.padding_ratio,
        lower_bound=found.lower_bound,
        coverage=found.coverage,
        hits=np.asarray(found.hits, dtype=np.float64),
        strategy=found.strategy.name,
        parameters=found.strategy.parameters,
        cost=found.cost,
        statistics_digest=found.statistics_digest,
        warnings=tuple(found.warnings),
        details=details,
        cost_model=restore_cost_model(found.cost),
    )


def _columns(histogram: ShapeHistogram, variables: tuple[str, ...]) -> NDArray[np.int64]:
    if set(histogram.variables) != set(variables):
        raise PlanError(f"the samples are over {list(histogram.variables)}, the plan over {list(variables)}")
    return histogram.samples[:, [histogram.variables.index(name) for name in variables]]


def score_buckets(
    buckets: NDArray[np.int64],
    bucket_costs: NDArray[np.float64],
    samples: NDArray[np.int64],
    weights: NDArray[np.float64],
    model: CostModel,
) -> PlanScore:
    """Return how buckets sorted by cost serve samples [n, d]; see ``BucketPlan.evaluate``."""
    chosen = cheapest_containing(samples, buckets)
    covered = chosen >= 0
    hits: NDArray[np.float64] = np.zeros(len(buckets))
    np.add.at(hits, chosen[covered], weights[covered])
    if not covered.any():
        return PlanScore(1.0, 0.0, hits)
    paid = bucket_costs[chosen[covered]]
    needed = np.minimum(cost_of(model, samples[covered]), paid)
    # Sums rather than dot products: a threaded one adds in an order that depends on the machine.
    total = float((needed * weights[covered]).sum())
    ratio = max(1.0, float((paid * weights[covered]).sum()) / total) if total > 0 else 1.0
    share = 1.0 if covered.all() else float(weights[covered].sum() / weights.sum())
    return PlanScore(ratio, share, hits)


def histogram_digest(histogram: ShapeHistogram) -> str:
    """Return the SHA-256 of a histogram's names, samples and weights."""
    head = "\0".join(histogram.variables).encode()
    body = histogram.samples.astype("<i8").tobytes() + histogram.weights.astype("<f8").tobytes()
    return digest_bytes(head + b"\0\0" + body)


def make_plan(
    histogram: ShapeHistogram | None,
    variables: tuple[str, ...],
    buckets: NDArray[np.int64],
    model: CostModel,
    *,
    strategy: str,
    parameters: Mapping[str, Any],
    bound: tuple[float, float | None] | None = None,
    digest: str | None = None,
    warnings: tuple[str, ...] = (),
    details: Mapping[str, Any] | None = None,
) -> BucketPlan:
    """Return the scored plan of ``buckets`` [k, d].

    Args:
        histogram: The samples to score on; None where buckets come from ranges alone.
        variables: Names of the columns.
        buckets: In any order, repeated at will.
        model: The cost model.
        strategy: Name of the strategy.
        parameters: Its parameters, plain values.
        bound: Proven lower bound of the padding ratio, and where known a value that no bound by the same relaxation can
            exceed: what lies between it and the ratio is not the search's to close.
        digest: Digest of the statistics, the histogram's own by default.
        warnings: For the user.
        details: Further keys of the document.
    """
    unsorted = np.asarray(buckets, dtype=np.int64).reshape(len(buckets), len(variables))
    rows, costs = sort_buckets(unsorted, cost_of(model, unsorted))
    score, bound_ratio = PlanScore(1.0, 1.0, np.zeros(len(rows))), None
    found: dict[str, Any] = dict(details or {})
    if histogram is not None and variables:
        samples = _columns(histogram, variables)
        score = score_buckets(rows, costs, samples, histogram.weights, model)
        if bound is not None:
            # Rounding in the last digits must not put the bound above what was reached.
            bound_ratio = min(max(1.0, bound[0]), score.padding_ratio)
            if bound[1] is not None:
                found["relaxation"] = min(max(1.0, bound[1]), score.padding_ratio)
    own_digest = "" if histogram is None else histogram_digest(histogram)
    return BucketPlan(
        variables=variables,
        buckets=rows,
        bucket_costs=costs,
        padding_ratio=score.padding_ratio,
        lower_bound=bound_ratio,
        coverage=score.coverage,
        hits=score.hits,
        strategy=strategy,
        parameters=dict(parameters),
        cost=model.describe(),
        statistics_digest=own_digest if digest is None else digest,
        warnings=warnings,
        details=found,
        cost_model=model,
    )
