"""A bundle that serves requests of any size."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any

from scaling_tasks.errors import BundleError, RequestError, one_line
from scaling_tasks.runtime.batching import Batcher
from scaling_tasks.runtime.cropping import Cropper
from scaling_tasks.runtime.dynamic_batching import Answer, DynamicBatcher
from scaling_tasks.runtime.loading import Loader
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.oversize import OversizeServer
from scaling_tasks.runtime.pool import EnginePool
from scaling_tasks.runtime.readiness import Preparation, Readiness
from scaling_tasks.runtime.requests import Arrays, RequestReader, nearest
from scaling_tasks.runtime.runs import CheckedRequest, Server
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.runtime.traffic import Traffic, TrafficRecorder
from scaling_tasks.shapes.behaviour import Verdict

__all__ = ["BucketedModel"]

_LARGEST = (1 << 31) - 1  # That a dimension can be.


class BucketedModel:
    """A model compiled for a few shapes that takes every shape they contain. Safe to use from many threads.

    Args:
        directory: Of the bundle.
        manifest: What is in it.
        loader: Turns an artefact into an engine; opens the fallback model too.
        resident: Most engines kept loaded, 0 for all; the one used least goes first.
        resident_memory: Most bytes of engines kept loaded, 0 for no limit.
        loaders: How many engines are loaded at the same time before requests ask for them.
        in_flight: How many batches of ``run_many`` and ``submit`` run at the same time.
        batch_wait: For how many seconds a submitted request may wait for others that make it cheaper.
        copies: Most engines of one artefact; a second one is loaded when the first is in use. With one, requests for
            the same bucket run one after another, whatever ``in_flight`` says.
        refuse_nan: Whether NaN in an input is an error.
        name: What messages call it; the model's name where left out, which bundles of one model share.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        loader: Loader,
        *,
        fallback_loader: Loader | None = None,
        resident: int = 0,
        resident_memory: int = 0,
        loaders: int = 1,
        in_flight: int = 1,
        copies: int = 1,
        batch_wait: float = 0.0,
        refuse_nan: bool = True,
        name: str = "",
    ) -> None:
        self.manifest = manifest
        self.name = name or manifest.model
        # Nothing below asks for the model but to name it in messages.
        manifest = replace(manifest, model=self.name)
        self.variables = manifest.variables
        buckets = [bucket for artefact in manifest.artefacts for bucket in artefact.buckets]
        costs = [cost for artefact in manifest.artefacts for cost in artefact.costs]
        self._table = BucketTable(buckets, costs)
        batch = manifest.behaviour.rows
        column = None if batch is None else self.variables.index(batch)
        started = {
            dim
            for tensor in manifest.signature.inputs.inputs
            for dim in tensor.variables
            if dim != batch and manifest.padding[tensor.name].side == "start"
        }
        self._reader = RequestReader(
            manifest.model,
            manifest.signature.inputs,
            manifest.padding,
            manifest.behaviour,
            round_up=manifest.round_up,
            refuse_nan=refuse_nan,
        )
        self._traffic = TrafficRecorder(self.variables, column, buckets)
        self._engines = EnginePool(directory, manifest, loader, limit=resident, memory=resident_memory, copies=copies)
        self._oversize = OversizeServer(directory, manifest, fallback_loader, self._table)
        self._server = Server(
            self._engines,
            self._table,
            None if column is None else Batcher(self._table, column),
            column,
            Cropper(
                manifest.behaviour, [tensor.name for tensor in manifest.signature.outputs], self.variables, started
            ),
            self._traffic,
            self._oversize,
            manifest.behaviour,
            manifest.signature.inputs,
        )
        hits = [count for artefact in manifest.artefacts for count in artefact.hits]
        self._preparation = Preparation(
            self._server,
            self._engines,
            self._table,
            self.variables,
            hits,
            interchangeable=manifest.behaviour.kind in ("exact", "cleaned"),
            loaders=loaders,
        )
        self._executor = _LazyExecutor(in_flight)
        self._in_flight = in_flight
        self._waiting = DynamicBatcher(self._server, self._executor.get, in_flight, batch_wait, copies)

    @property
    def buckets(self) -> list[dict[str, int]]:
        """All buckets, in the order of their sizes."""
        return [dict(zip(self.variables, bucket, strict=True)) for bucket in sorted(self._table.buckets)]

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What padding does to answers, per output and variable: ``exact``, ``cleaned`` (as exact), ``approximate``."""
        return self.manifest.behaviour.verdicts

    def __repr__(self) -> str:
        """Return name, backend, and what it takes."""
        limits = zip(self.variables, self._table.largest, strict=True)
        sizes = " × ".join(f"{name} ≤ {size}" for name, size in limits) or "static"
        count = len(self._table.buckets)
        return f"<BucketedModel {self.name}: {self.manifest.backend}, {count} buckets, {sizes}>"

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """Serve one request.

        A request whose batch is larger than any bucket, or cheaper in pieces, is cut along the batch.

        Args:
            inputs: Input name to array, of the element types that the model has.

        Returns:
            Output name to array at the size that the original model gives for these inputs.

        Raises:
            RequestError: The request does not fit the model, or no bucket contains it and the policy is ``error``.
            BundleError: An artefact is missing or damaged, or the engine failed.
        """
        return self._server.run(CheckedRequest(*self._reader.read(inputs)))

    def run_many(self, requests: Iterable[Mapping[str, Any]]) -> list[Arrays]:
        """Serve many requests of any sizes in batches of least total cost; results are in the order of requests.

        Raises:
            RequestError: A request does not fit; nothing is run then.
            BundleError: An artefact is missing or damaged, or the engine failed.
        """
        read = [CheckedRequest(*self._reader.read(inputs)) for inputs in requests]
        if self._in_flight < 2:
            return self._server.run_many(read, None)
        return self._server.run_many(read, self._executor.get(), self._in_flight)

    def submit(self, inputs: Mapping[str, Any]) -> Answer:
        """Serve one request in the background; the arrays must not be changed until it is done.

        Requests that wait at the same time run together, in the batches of least total cost over all of them. Each
        waits while all engines are at work, and up to ``batch_wait`` seconds for others that make it cheaper. One that
        does not fit the model has its error in the future.

        Raises:
            BundleError: The model is closed.
        """
        answer = Answer()
        try:
            request = CheckedRequest(*self._reader.read(inputs))
        except RequestError as error:
            self._executor.get()  # A closed model says so.
            answer.set_exception(error)
        else:
            self._waiting.submit(request, answer)
        return answer

    def select(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return the bucket that would serve the sizes; variables that are left out count as 1.

        Raises:
            BundleError: An unknown variable, a size that is no whole number from 1 on (from 0 on where the variable may
                be empty), or no bucket contains the sizes.
        """
        if not isinstance(sizes, Mapping):
            what = f"sizes are a mapping from variable to number, not {type(sizes).__name__}"
            raise RequestError(what, where=self.name)
        for name, size in sizes.items():
            if name not in self.variables:
                near = nearest(name, self.variables)
                raise BundleError(
                    f"there is no variable {one_line(repr(name))}",
                    where=self.name,
                    fix=f"Did you mean {near!r}?" if near else "The model has none.",
                )
            least = 0 if name in self.manifest.behaviour.empty else 1
            if not _is_size(size, least):
                fix = f"Sizes are whole numbers from {least} to {_LARGEST}."
                raise BundleError(
                    f"{name} is {one_line(size if isinstance(size, int) else repr(size))}",
                    where=self.name,
                    fix=fix,
                )
        shape = tuple(index(sizes.get(name, 1)) for name in self.variables)
        found = self._table.find(shape)
        if found < 0:
            raise self._oversize.error(shape)
        return dict(zip(self.variables, self._table.buckets[found], strict=True))

    def warm_up(
        self,
        sizes: Sequence[Mapping[str, int]] | None = None,
        *,
        seconds: float | None = None,
        memory: int | None = None,
    ) -> Readiness:
        """Load engines and run each once on zeros, so that no request pays for it; those with the most traffic first.

        Args:
            sizes: Whose buckets to warm up; all by default.
            seconds: After so many no further one is begun.
            memory: None is begun that would, if it takes as much as the largest so far, exceed so many bytes.

        Returns:
            Which buckets are ready, and what that took.

        Raises:
            BundleError: An artefact is missing or damaged, or no bucket contains a size.
        """
        chosen = None
        if sizes is not None:
            names = [self.select(each) for each in sizes]
            chosen = [self._table.buckets.index(tuple(each[name] for name in self.variables)) for each in names]
        self._preparation.make_ready(chosen, seconds=seconds, memory=memory)
        return self.readiness

    def warm_up_in_background(self) -> None:
        """Make all buckets ready while requests are served, those that are asked for first.

        Until a request's bucket is ready, the cheapest larger one that is ready serves it, where padding changes no
        answer; where there is none, the request loads its own.
        """
        self._preparation.begin()

    def wait_until_ready(self) -> Readiness:
        """Wait for what is made ready in the background, and return what came of it."""
        self._preparation.wait()
        return self.readiness

    @property
    def readiness(self) -> Readiness:
        """Which buckets were made ready before a request asked for them, and whether more are under way."""
        return self._preparation.readiness()

    @property
    def loads(self) -> int:
        """How many engines were loaded so far; once all buckets are ready, and none is evicted, it stays."""
        return self._engines.loads

    def stats(self) -> Traffic:
        """Return what was served so far; saved as ``.csv`` it is a data set for the next plan."""
        return self._traffic.snapshot()

    def close(self) -> None:
        """Release all engines; requests that still run are finished first.

        Raises:
            BundleError: An engine could not be closed; all others are.
        """
        with contextlib.ExitStack() as parts:  # One that fails leaves none of the others open.
            parts.callback(self._oversize.close)
            parts.callback(self._engines.close)
            parts.callback(self._executor.close)
            parts.callback(self._waiting.close)
            parts.callback(self._preparation.close)

    def __enter__(self) -> BucketedModel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _is_size(value: Any, least: int) -> bool:
    try:
        return least <= index(value) <= _LARGEST
    except TypeError:
        return False


class _LazyExecutor:
    """Threads that start when the first background request comes."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None
        self._closed = False

    def get(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._closed:
                raise BundleError("the model is closed", fix="Load the bundle again.")
            if self._executor is None:
                self._executor = ThreadPoolExecutor(max(1, self._workers), thread_name_prefix="scaling-tasks")
            return self._executor

    def close(self) -> None:
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)
