"""What a server tells Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from prometheus_client import REGISTRY, CollectorRegistry, Histogram
from prometheus_client import Counter as Total
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from scaling_tasks.runtime.model import BucketedModel

__all__ = ["Metrics", "Served"]

_PREFIX = "scaling_tasks"
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass
class Served:
    """What one model served, over all generations of its bundle."""

    requests: int = 0
    runs: Counter[str] = field(default_factory=Counter)
    oversize: Counter[str] = field(default_factory=Counter)
    needed: int = 0
    computed: int = 0
    loads: int = 0

    def copy(self) -> Served:
        """Return the same counts, to be added to."""
        return replace(self, runs=self.runs.copy(), oversize=self.oversize.copy())

    def add(self, generation: BucketedModel) -> None:
        """Add what one generation served."""
        traffic = generation.stats()
        self.loads += generation.loads
        self.requests += traffic.requests
        self.oversize.update(traffic.oversize)
        self.needed += traffic.needed
        self.computed += traffic.computed
        for bucket, count in traffic.bucket_runs.items():
            self.runs[bucket_name(dict(zip(traffic.variables, bucket, strict=True)))] += count


def bucket_name(sizes: Mapping[str, int]) -> str:
    """Return a bucket as its artefact's name has it, such as ``N4_W320``."""
    return "_".join(f"{variable}{size}" for variable, size in sizes.items()) or "static"


class Metrics(Collector):
    """The metrics of all models of a server, read off them when they are asked for.

    Args:
        registry: Where they are registered.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self._models: dict[str, Callable[[], tuple[Served, BucketedModel]]] = {}
        labels = ["model"]
        self.queue = Histogram(
            f"{_PREFIX}_queue_seconds",
            "Time from a request's arrival until its first run began.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self.latency = Histogram(
            f"{_PREFIX}_request_seconds",
            "Time from a request's arrival until its answer was there.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self.errors = Total(f"{_PREFIX}_errors", "Requests that were not served.", [*labels, "kind"], registry=registry)
        self.reloads = Total(f"{_PREFIX}_reloads", "Generations that took another's place.", labels, registry=registry)
        registry.register(self)

    def forget(self, name: str) -> None:
        """Tell no more of a model."""
        self._models.pop(name, None)

    def watch(self, name: str, read: Callable[[], tuple[Served, BucketedModel]]) -> None:
        """Tell of a model: ``read`` gives what it served, and its present generation."""
        self._models[name] = read

    def collect(self) -> Iterable[Metric]:
        """Return the counts as they are now."""
        requests = _total("requests", "Requests that fitted the model, or its policy for oversize.", ["model"])
        runs = _total("bucket_runs", "Runs of each bucket.", ["model", "bucket"])
        oversize = _total("oversize", "Requests that no bucket contains, by policy; batch: cut.", ["model", "policy"])
        padding = _gauge("padding_ratio", "Elements computed per element asked for; 1 is no padding.", ["model"])
        buckets = _gauge("buckets", "Buckets by state: ready, waiting, failed.", ["model", "state"])
        loads = _total("engine_loads", "Engines that were loaded; it stays once all buckets are ready.", ["model"])
        for name, read in self._models.items():
            served, model = read()
            requests.add_metric([name], served.requests)
            loads.add_metric([name], served.loads)
            padding.add_metric([name], served.computed / served.needed if served.needed else 1.0)
            for bucket, count in sorted(served.runs.items()):
                runs.add_metric([name, bucket], count)
            for policy, count in sorted(served.oversize.items()):
                oversize.add_metric([name, policy], count)
            readiness = model.readiness
            for state in ("ready", "waiting", "failed"):
                buckets.add_metric([name, state], len(getattr(readiness, state)))
        return [requests, runs, oversize, padding, buckets, loads]


def _total(name: str, what: str, labels: Sequence[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"{_PREFIX}_{name}", what, labels=labels)


def _gauge(name: str, what: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIX}_{name}", what, labels=labels)
