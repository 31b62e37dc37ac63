"""What one target's configuration may say, with every default.

The keys of ``auto_scaling`` and their defaults are MindOCR's; those of ``shape_bucket`` are nncase's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from scaling_tasks.config.preprocessing import PreprocessingName, PreprocessingSpec

__all__ = [
    "AutoScalingSpec",
    "CompileSpec",
    "DatasetSpec",
    "DefaultScaling",
    "LimitSpec",
    "PaddingSpec",
    "RuntimeSpec",
    "ShapeBucketSpec",
    "TargetSpec",
    "VerifySpec",
]

Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Fraction = Annotated[float, Meta(ge=0, le=1e18)]
Factor = Annotated[float, Meta(ge=0, le=1e6)]
Strategy = Literal[
    "optimal",
    "mean_std",
    "max_min",
    "segments",
    "explicit",
    "equal_parts",
    "nncase",
    "quantiles",
    "powers_of_two",
    "geometric",
    "padding_limited",
    "equal_mass",
]


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=False):
    """Base of all specs: immutable, keyword-only, unknown keys refused."""


class DatasetSpec(_Spec, frozen=True):
    """Where the data is, how to read it, and what its sizes become before the network.

    Attributes:
        path: Image folder, tar shards, det annotation, or table of sizes or lengths, here or at a URL of a store.
        format: What the path holds; told from the path where ``auto``.
        strict: Whether images, boxes and lines of an annotation that cannot be measured are an error instead of being
            counted and skipped; a row of a table always is.
        preprocessing: A kind by its name, or a mapping with ``kind`` and its parameters.
    """

    path: str
    format: Literal["auto", "images", "shards", "annotation", "csv", "jsonl", "parquet", "arrow"] = "auto"
    strict: bool = False
    preprocessing: PreprocessingName | PreprocessingSpec = "mindocr"


class DefaultScaling(_Spec, frozen=True):
    """Sizes used where there is no data set (MindOCR's lists)."""

    batch_size: tuple[Positive, ...] = (1, 4, 8, 16, 32)
    height: tuple[Positive, ...] = tuple(range(32, 641, 32))
    width: tuple[Positive, ...] = tuple(range(64, 961, 32))


class LimitSpec(_Spec, frozen=True):
    """A limit on what all buckets take together, such as bytes on the device or seconds of compiling.

    Attributes:
        most: The most that all buckets may take together.
        each: What every bucket takes.
        per_element: What a bucket takes more for each element, the product of its sizes.
    """

    most: Annotated[float, Meta(gt=0)]
    each: Fraction = 0
    per_element: Fraction = 0


class AutoScalingSpec(_Spec, frozen=True):
    """How buckets are chosen from the data set's statistics.

    The keys up to ``default_scaling`` are MindOCR's.

    Attributes:
        strategy: ``optimal`` wastes least; ``explicit`` takes ``buckets``; the others are rules.
        n_std: For ``mean_std``, how many standard deviations from the mean.
        expand_ratio: For ``max_min``, by how much the observed range is widened.
        limit_side_len: Pixels that the longer side of an image is cut to, where both sides vary.
        width_range: Least and largest width of the rules.
        height_range: Least and largest height of the rules.
        interval: Sizes are multiples of it; batch sizes are not.
        max_scaling_num: Most buckets; ``auto`` takes the fewest that reach ``target_padding``.
        batch_choices: Batch sizes that may be compiled.
        default_scaling: Sizes used where there is no data set.
        buckets: For ``strategy: explicit``, one mapping from variable to size per bucket.
        target_padding: With ``max_scaling_num: auto``, the padding ratio that the fewest buckets shall reach.
        bucket_price: Price of one more bucket in the unit of Σ weight·cost; buckets that save less are left out.
        cost: What an inference costs: padded ``elements``, the model's ``flops``, or ``measured`` latencies.
        latency_table: For ``cost: measured``, what the stage ``measure`` wrote; the target's own where left out.
        headroom: Raises the largest bucket: a factor on the largest observed sizes, or a size per variable.
        drop_quantile: Share of the weight, the costliest samples, that may be left to the oversize policy.
        limits: What all buckets may take together, by a name of your own: ``{bytes: {each: 2e6, per_element: 12, most:
            1e9}}``. The plan says which limit binds, and what one more of it would save.
        buckets_per: Most buckets that share one size of a variable: ``{N: 10}`` where each batch size is one model.
        reachable: Most that a product or sum of sizes may come to in a bucket, such as ``{N*L: 8192, past+seq: 4096}``.
        latency_limit: Most that one inference may cost, in the unit of ``cost``; with ``measured``, seconds.
        robust: Whether to plan for data that was not seen: sizes are spread by as much as cross-validation says helps.
        effort: How much work may go into a plan of several variables, and into its proof.
        batching: ``observed``: one sample per request, as large as its batch; ``partition``: a request of many items
            may be served in any batches, at least cost.
        folds: Number of parts of the data set for the estimate on unseen samples; 0 for none.
        segments: For ``strategy: segments``, nncase's formula or ``equal`` parts.
        min_size: For ``powers_of_two``, ``geometric`` and ``padding_limited``, the smallest size.
        pad_percent: For ``padding_limited``, the most padding of a bucket; the least that fits where left out.
        pad_max: Beside ``pad_percent``, the most padding of a bucket in the variable's own unit.
    """

    strategy: Strategy = "optimal"
    n_std: Factor = 3
    expand_ratio: Factor = 0.2
    limit_side_len: Positive = 1280
    width_range: tuple[Positive, Positive] = (1, 8192)
    height_range: tuple[Positive, Positive] = (1, 8192)
    interval: Positive = 32
    max_scaling_num: Positive | Literal["auto"] = 100
    batch_choices: tuple[Positive, ...] = (1, 4, 8, 16, 32, 64)
    default_scaling: DefaultScaling = DefaultScaling()
    buckets: tuple[dict[str, Positive], ...] = ()
    target_padding: Annotated[float, Meta(ge=1)] | None = None
    bucket_price: Fraction = 0
    cost: Literal["elements", "flops", "measured"] = "elements"
    latency_table: str | None = None
    headroom: Annotated[float, Meta(ge=1, le=1e6)] | dict[str, Positive] | None = None
    drop_quantile: Annotated[float, Meta(ge=0, lt=1)] = 0
    limits: dict[str, LimitSpec] = {}
    buckets_per: dict[str, Positive] = {}
    reachable: dict[str, Positive] = {}
    latency_limit: Annotated[float, Meta(gt=0)] | None = None
    robust: bool = False
    effort: Literal["quick", "normal", "thorough"] = "normal"
    batching: Literal["observed", "partition"] = "observed"
    folds: Annotated[int, Meta(ge=0)] = 5
    segments: Literal["nncase", "equal"] = "nncase"
    min_size: Positive | None = None
    pad_percent: Annotated[float, Meta(ge=0, le=100)] | None = None
    pad_max: Positive | None = None


class ShapeBucketSpec(_Spec, frozen=True):
    """Buckets from ranges, without a data set; nncase's option names.

    Attributes:
        shape_bucket_enable: Whether this section is used; where not, the data set is.
        shape_bucket_range_info: Least and largest size per variable.
        shape_bucket_segments_count: Sizes per variable.
        shape_bucket_fix_var_map: Variables that are fixed to a size.
        combine: ``diagonal``: the i-th size of every variable, as nncase does; ``product``: every combination.
    """

    shape_bucket_enable: bool = True
    shape_bucket_range_info: dict[str, tuple[Positive, Positive]] = {}
    shape_bucket_segments_count: Annotated[int, Meta(ge=2)] = 2
    shape_bucket_fix_var_map: dict[str, Positive] = {}
    combine: Literal["diagonal", "product"] = "diagonal"


class CompileSpec(_Spec, frozen=True):
    """Which compiler makes the artefacts, and how.

    Attributes:
        backend: Name of the backend.
        device: What ``lite`` compiles for.
        soc_version: Ascend chip.
        optional: Whether a plain ``doit`` leaves the target out where its toolchain is missing.
        threads: Threads of one compiler; by default as many as it likes.
        memory: Bytes that one compiler may use, 16 MiB at least; without limit by default.
        timeout: Seconds that one unit may take.
        resources: What a worker elsewhere must have, as ``dask worker --resources`` names it, such as ``NPU: 1``.
        options: The backend's own options.
    """

    backend: str = "lite"
    device: Literal["ascend", "cpu"] = "ascend"
    soc_version: str = "Ascend310P3"
    optional: bool = False
    threads: Positive | None = None
    memory: Annotated[int, Meta(ge=1 << 24)] | None = None
    timeout: Annotated[float, Meta(gt=0, le=2_000_000)] = 3600
    resources: dict[str, Positive] = {}
    options: dict[str, Any] = {}


class VerifySpec(_Spec, frozen=True):
    """How far answers may differ from the original model's.

    Attributes:
        absolute: Accepted of an artefact at its buckets; the backend's own tolerance where left out.
        relative: The same, relative to the value.
        padding_tolerance: Accepted absolute change by padding; changes are reported only where left out.
        compare_padding: Whether several padding policies are tried and one is recommended.
        samples: Directory of ``.npz`` files, each with one array per input, of any sizes: on them the change by padding
            is measured too, and policies are compared on them alone.
        metric: ``module:function`` that scores labelled data.
        dataset: The labelled data: a file, or a directory with everything below it.
        files: What else the metric reads, files or directories, such as the images that the labelled data names. It is
            run where nothing but this, the labelled data, the model and its own modules can be found.
        drop: By how much the score through the buckets may be below that of the original at exact shapes.
    """

    absolute: Fraction | None = None
    relative: Fraction | None = None
    padding_tolerance: Fraction | None = None
    compare_padding: bool = False
    samples: str | None = None
    metric: str | None = None
    dataset: str | None = None
    files: tuple[str, ...] = ()
    drop: Fraction = 0.0


class PaddingSpec(_Spec, frozen=True):
    """How one input is filled up to its bucket; see ``runtime.policies.Padding``."""

    mode: Literal["zero", "constant", "edge"] = "zero"
    value: float = 0.0
    side: Literal["end", "start"] = "end"
    mask: bool = False


class RuntimeSpec(_Spec, frozen=True):
    """What the bundle's runtime does.

    Attributes:
        oversize: With sizes that no bucket contains: an ``error``, the dynamic model as ``fallback``, or ``split``.
        padding: ``exact``: answers are those of the original at the exact size, or the build says which operator stands
            in the way. ``accept``: the model is compiled as it is, and what padding does to answers is measured. Or,
            accepted too, how each input is padded, by name; zeros at the end where left out.
        round_up: Whether a size at which the original itself does not run is padded with zeros to the next one at which
            it does; otherwise it is an error.
        multiples: Per variable what preprocessing makes all sizes multiples of. The model runs at no others then, and
            less of it needs cleaning.
    """

    oversize: Literal["error", "fallback", "split"] = "error"
    padding: Literal["exact", "accept"] | dict[str, PaddingSpec] = "exact"
    round_up: bool = False
    multiples: dict[str, Positive] = {}

    @property
    def exact(self) -> bool:
        """Whether padding must not change answers."""
        return self.padding == "exact"

    @property
    def policies(self) -> dict[str, PaddingSpec]:
        """How inputs are padded where the configuration says so."""
        return self.padding if isinstance(self.padding, dict) else {}


class TargetSpec(_Spec, frozen=True):
    """One target: one model, one data set, one backend.

    Attributes:
        name: The target's name; the configuration file's where left out.
        model: Path of the ONNX model, from the repository's root.
        input_shape: Dimensions per input: a number fixes, -1 is dynamic, a text names a variable. Read from the model
            where left out.
        inputs: Values of inputs that are always the same, such as a sampling rate; the branches they decide are folded.
        dataset: The data that the model will see.
        auto_scaling: How buckets are chosen from the data; the keys and defaults are MindOCR's.
        shape_bucket: Buckets from ranges instead of data; the keys are nncase's.
        compile: What to compile with; without it the target ends with its plan.
        verify: How far compiled models may differ from the original.
        runtime: What the bundle's runtime does.
        output: Directory of the bundle, ``build/<name>`` where left out.
        executor: Where the work is done: ``local``, or at the workers of a Dask scheduler, ``dask://host:port``. The
            command line (``executor=``) and ``SCALING_TASKS_EXECUTOR`` have their say before it.
    """

    name: str = "target"
    model: str | None = None
    input_shape: dict[str, tuple[int | str, ...]] | None = None
    inputs: dict[str, bool | int | float | list[Any]] = {}
    dataset: DatasetSpec | None = None
    auto_scaling: AutoScalingSpec = AutoScalingSpec()
    shape_bucket: ShapeBucketSpec | None = None
    compile: CompileSpec | None = None
    verify: VerifySpec = VerifySpec()
    runtime: RuntimeSpec = RuntimeSpec()
    output: str | None = None
    executor: str | None = None
