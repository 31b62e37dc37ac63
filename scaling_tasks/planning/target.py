"""Planning one target: its statistics, its configuration and its platform's limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scaling_tasks.config.specs import AutoScalingSpec, ShapeBucketSpec
from scaling_tasks.errors import PlanError
from scaling_tasks.planning.bucket_plan import BucketPlan, make_plan
from scaling_tasks.planning.costs import CostModel, ElementsCost, LinearPrice
from scaling_tasks.planning.planner import plan_histogram
from scaling_tasks.planning.request.options import PlanOptions, make_options
from scaling_tasks.planning.strategies.batches import columns_of, fold_batches
from scaling_tasks.planning.strategies.defaults import default_buckets
from scaling_tasks.planning.strategies.explicit import explicit_rows
from scaling_tasks.planning.strategies.registry import find_strategy
from scaling_tasks.planning.strategies.segments import shape_bucket_segments
from scaling_tasks.shapes.dataset_statistics import DatasetStatistics
from scaling_tasks.shapes.histogram import ShapeHistogram
from scaling_tasks.shapes.signature import HEIGHT, WIDTH, Signature, is_batch

__all__ = ["plan_statistics"]

_NO_DATA = (
    "no data set: the buckets are MindOCR's default lists, whatever the strategy. Name one with `dataset: …`, or "
    "give ranges under shape_bucket."
)
_RULE_OPTIONS = ("min_size", "pad_percent", "pad_max")


def plan_statistics(
    statistics: DatasetStatistics | None,
    signature: Signature,
    auto_scaling: AutoScalingSpec,
    shape_bucket: ShapeBucketSpec | None = None,
    *,
    fewest_buckets: int = 1,
    most_buckets: int | None = None,
    product_only: bool = False,
    model: Path | None = None,
    cost: CostModel | None = None,
    ends: Mapping[str, int] | None = None,
    sums: Mapping[str, int] | None = None,
) -> BucketPlan:
    """Return a target's plan over ``signature.variables``.

    Without a dynamic dimension the plan has one bucket of no variables. An enabled ``shape_bucket`` gives the buckets
    without a data set; otherwise no statistics mean MindOCR's default lists.

    Args:
        statistics: What the data set says; None without a data set.
        signature: The model's inputs.
        auto_scaling: The target's section.
        shape_bucket: The target's section, if any.
        fewest_buckets: Fewest buckets that the platform takes.
        most_buckets: Most buckets that the platform takes; None for any number.
        product_only: Whether the platform takes only the product of one list per variable.
        model: The ONNX file, needed for ``cost: flops``.
        cost: A cost model to use in place of the configured one.
        ends: The largest sizes at which the model runs, where it does not run at any.
        sums: Sums of several sizes and the most that each may come to, where the model does not run at any; rules do
            not mind them.

    Raises:
        PlanError: No plan can be made.
        ConfigError: ``shape_bucket`` does not fit the model.
    """
    variables = signature.variables
    chosen_cost = cost or _cost_model(auto_scaling, signature, model)
    histogram = None if statistics is None else _over(statistics.histogram, variables)
    digest = "" if statistics is None else statistics.digest
    if not variables:
        return _fixed(digest)
    if shape_bucket is not None and shape_bucket.shape_bucket_enable:
        return _from_ranges(shape_bucket, variables, histogram, chosen_cost, most_buckets, product_only, digest)
    limit = _limit(auto_scaling, most_buckets)
    if statistics is None or histogram is None:
        return _without_data(auto_scaling, variables, chosen_cost, limit, per_batch=most_buckets is not None)
    options = replace(_options(auto_scaling, variables, fewest_buckets, product_only), ends=ends or None)
    if sums and "reachable" in find_strategy(auto_scaling.strategy).takes and not product_only:
        given = options.reachable or {}
        reachable = {**given, **{text: min(most, given.get(text, most)) for text, most in sums.items()}}
        options = replace(options, reachable=reachable)
    notes: tuple[str, ...] = ()
    requests = statistics.requests if auto_scaling.batching == "partition" else None
    if signature.batch is not None:
        histogram, notes = fold_batches(histogram, signature.batch, max(auto_scaling.batch_choices))
        # Requests that are cut into batches have no largest one.
        notes = notes if requests is None else ()
    return plan_histogram(
        histogram,
        auto_scaling.strategy,
        limit,
        chosen_cost,
        options,
        digest=digest,
        warnings=notes,
        columns=columns_of(statistics, signature, auto_scaling),
        requests=requests if signature.batch is not None else None,
    )


def _over(histogram: ShapeHistogram, variables: tuple[str, ...]) -> ShapeHistogram:
    missing = [name for name in variables if name not in histogram.variables]
    if missing:
        raise PlanError(
            f"the data set says nothing on {missing[0]!r}",
            where="dataset",
            fix=f"It has {list(histogram.variables)}; the model needs {list(variables)}.",
        )
    return histogram if histogram.variables == variables else histogram.project(variables)


def _limit(spec: AutoScalingSpec, most_buckets: int | None) -> int | str:
    if spec.max_scaling_num == "auto":
        return "auto"
    return spec.max_scaling_num if most_buckets is None else min(spec.max_scaling_num, most_buckets)


def _options(spec: AutoScalingSpec, variables: tuple[str, ...], fewest_buckets: int, product_only: bool) -> PlanOptions:
    find_strategy(spec.strategy)
    ranges = {HEIGHT: spec.height_range, WIDTH: spec.width_range}
    chosen: dict[str, Any] = {
        "interval": {name: spec.interval for name in variables if not is_batch(name)},
        "choices": {name: sorted(set(spec.batch_choices)) for name in variables if is_batch(name)} or None,
        "ranges": {name: bounds for name, bounds in ranges.items() if name in variables},
        "min_buckets": fewest_buckets,
        "product": product_only,
        "target_padding": spec.target_padding,
        "bucket_price": spec.bucket_price,
        "headroom": spec.headroom,
        "drop_quantile": spec.drop_quantile,
        "limits": {n: (LinearPrice(one.each, one.per_element), one.most) for n, one in spec.limits.items()} or None,
        "buckets_per": spec.buckets_per or None,
        "reachable": spec.reachable or None,
        "latency_limit": spec.latency_limit,
        "robust": spec.robust,
        "effort": spec.effort,
        "n_std": spec.n_std,
        "expand_ratio": spec.expand_ratio,
        "segments": spec.segments,
        "combine": "product" if product_only else "diagonal",
        "buckets": spec.buckets,
        "curve": True,
        "folds": spec.folds,
        **{name: getattr(spec, name) for name in _RULE_OPTIONS},
    }
    return make_options(spec.max_scaling_num, chosen)


def _cost_model(spec: AutoScalingSpec, signature: Signature, model: Path | None) -> CostModel:
    if spec.cost == "measured":
        from scaling_tasks.planning.measured import MeasuredCost

        if spec.latency_table is None:
            fix = "Name a table that the stage `measure` wrote."
            raise PlanError("measured costs need a table", where="auto_scaling.latency_table", fix=fix)
        return MeasuredCost.read(Path(spec.latency_table), signature.variables)
    if spec.cost == "flops":
        from scaling_tasks.onnx_model.flops import FlopsCost

        if model is None:
            raise PlanError("FLOPs are counted in a model", where="auto_scaling.cost", fix="Write `model: …`.")
        return FlopsCost.from_model(model, signature)
    return ElementsCost()


def _fixed(digest: str) -> BucketPlan:
    plan = make_plan(None, (), np.zeros((1, 0), dtype=np.int64), ElementsCost(), strategy="static", parameters={})
    return replace(plan, statistics_digest=digest)


def _from_ranges(
    spec: ShapeBucketSpec,
    variables: tuple[str, ...],
    histogram: ShapeHistogram | None,
    cost: CostModel,
    most_buckets: int | None,
    product_only: bool,
    digest: str,
) -> BucketPlan:
    combine = "product" if product_only else spec.combine
    buckets = shape_bucket_segments(
        variables,
        spec.shape_bucket_range_info,
        spec.shape_bucket_fix_var_map,
        spec.shape_bucket_segments_count,
        combine,
    )
    if most_buckets is not None and len(buckets) > most_buckets:
        raise PlanError(
            f"{len(buckets)} buckets are more than the {most_buckets} that the platform takes",
            where="shape_bucket.shape_bucket_segments_count",
            fix="Lower it.",
        )
    parameters = {
        "shape_bucket_range_info": {name: list(pair) for name, pair in spec.shape_bucket_range_info.items()},
        "shape_bucket_fix_var_map": dict(spec.shape_bucket_fix_var_map),
        "shape_bucket_segments_count": spec.shape_bucket_segments_count,
        "combine": combine,
    }
    return make_plan(histogram, variables, buckets, cost, strategy="shape_bucket", parameters=parameters, digest=digest)


def _without_data(
    spec: AutoScalingSpec, variables: tuple[str, ...], cost: CostModel, limit: int | str, *, per_batch: bool
) -> BucketPlan:
    if spec.strategy == "explicit":
        rows = explicit_rows(spec.buckets, variables)
        return make_plan(None, variables, rows, cost, strategy="explicit", parameters={"buckets": list(spec.buckets)})
    most = None if limit == "auto" else int(limit)
    buckets, warnings = default_buckets(spec.default_scaling, variables, most, per_batch=per_batch)
    notes, parameters = (_NO_DATA, *warnings), {"max_buckets": limit}
    return make_plan(None, variables, buckets, cost, strategy="default_scaling", parameters=parameters, warnings=notes)
