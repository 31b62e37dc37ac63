"""A bundle's engines: loaded and checked on first use, run by one thread each, evicted where there are too many."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.engines.contract import Engine
from scaling_tasks.errors import BundleError, RequestError, reason_of
from scaling_tasks.process_memory import process_memory
from scaling_tasks.runtime.buffers import PaddedBuffer
from scaling_tasks.runtime.cropping import widened
from scaling_tasks.runtime.loading import Loader, load_verified
from scaling_tasks.runtime.manifest import Manifest
from scaling_tasks.runtime.requests import Arrays
from scaling_tasks.runtime.size_feeds import RowShapes, SizeFeeds
from scaling_tasks.runtime.slots import Slot, Slots

__all__ = ["EnginePool"]

# What grows while one engine is loaded is its own: of all bundles of the process one is measured at a time.
_MEASURING = threading.Lock()

Parts = Mapping[str, Sequence[NDArray[Any]]]


class EnginePool:
    """The artefacts of one bundle.

    Args:
        directory: Of the bundle.
        manifest: What is in it.
        loader: Turns an artefact's first file into an engine.
        limit: Most engines loaded at once; 0 for no limit. It is exceeded only while more than that many run.
        memory: Most bytes of all engines together, likewise. Engines are then loaded one at a time, in this process,
            and each counts for what memory grew by meanwhile.
        copies: Most engines of one artefact.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        loader: Loader,
        *,
        limit: int = 0,
        memory: int = 0,
        copies: int = 1,
    ) -> None:
        self._directory, self._manifest, self._loader = directory, manifest, loader
        self._limit, self._memory, self.copies = limit, memory, copies
        # What was measured per artefact; what an evicted engine left free hides the growth that another makes.
        self._measured: dict[int, int] = {}
        self._age = 0
        rows, inputs = manifest.behaviour.rows, manifest.signature.inputs.inputs
        self._row_axes = {tensor.name: None if rows is None else tensor.dims.index(rows) for tensor in inputs}
        self._dtypes = {tensor.name: tensor.dtype for tensor in manifest.signature.outputs}
        self._sizes = SizeFeeds(manifest)
        self._slots = [Slots(copies) for _ in manifest.artefacts]
        self._artefact_of = [position for position, artefact in enumerate(manifest.artefacts) for _ in artefact.buckets]
        buckets = [bucket for artefact in manifest.artefacts for bucket in artefact.buckets]
        self._shapes = [
            manifest.signature.inputs.shapes(dict(zip(manifest.variables, bucket, strict=True))) for bucket in buckets
        ]
        self._clock = itertools.count(1)
        self._evicting = threading.Lock()
        self._closed = False
        self.loads = 0

    @property
    def resident(self) -> int:
        """How many engines are loaded."""
        return sum(slot.engine is not None for slots in self._slots for slot in slots)

    def artefact(self, bucket: int) -> int:
        """Return the index of the artefact that holds the bucket."""
        return self._artefact_of[bucket]

    def run(self, bucket: int, parts: Parts, shapes: Sequence[RowShapes]) -> Arrays:
        """Pad the parts of every input to the bucket, run, and return the outputs at the bucket's size.

        Args:
            bucket: Index over all buckets in the order of the manifest.
            parts: Per input the arrays that lie behind each other along the rows; one array where nothing counts rows.
            shapes: The exact shape of each part, and how many rows it has.

        Raises:
            BundleError: The artefact is missing or damaged, or the engine failed.
            RequestError: What the data makes is longer than the artefact has room for.
        """
        position = self._artefact_of[bucket]
        slot = self._slots[position].take()
        try:
            engine = slot.engine or self._load(position, slot)
            slot.uses += 1
            slot.worth, slot.used = self._age + slot.uses, next(self._clock)
            try:
                outputs = engine.run(self._feeds(slot, bucket, parts) | self._sizes.feeds(bucket, shapes))
                return widened(outputs, self._dtypes)
            except RequestError:
                raise  # The engine has done its work.
            except BaseException as cause:
                # Whatever state it and its buffers are in, the next request gets fresh ones.
                slot.abandon()
                if not isinstance(cause, Exception):
                    raise
                what = f"the engine failed ({reason_of(cause)})"
                raise BundleError(what, where=self._where(bucket), fix="Send the request again.") from cause
        finally:
            slot.release()

    @property
    def limited(self) -> bool:
        """Whether not all engines may stay loaded."""
        return bool(self._memory) or 0 < self._limit < sum(1 for slots in self._slots for _ in slots)

    @property
    def counts_memory(self) -> bool:
        """Whether engines have to be loaded one after another, because each one's memory is measured."""
        return bool(self._memory)

    def full(self, begun: int = 0) -> bool:
        """Return whether one more engine would drop another, once so many artefacts that are begun are loaded."""
        engines = self.resident + begun * self.copies
        return 0 < self._limit <= engines or (engines > 0 and self._exceeds(max(self._measured.values(), default=0)))

    def is_ready(self, bucket: int) -> bool:
        """Return whether an engine for the bucket is loaded."""
        return any(slot.engine is not None for slot in self._slots[self._artefact_of[bucket]])

    def load(self, bucket: int) -> list[int]:
        """Load the bucket's engine now, and its copies; return the processes that they run in, if not in this one.

        Raises:
            BundleError: The artefact is missing or damaged.
        """
        position, processes = self._artefact_of[bucket], []
        for slot in self._slots[position]:
            with slot.held():
                engine = slot.engine or self._load(position, slot)
                processes.append(getattr(engine, "process", None))
        return [process for process in processes if process is not None]

    def zeros(self, bucket: int) -> Arrays:
        """Return inputs of exactly the bucket's size."""
        tensors = self._manifest.signature.inputs.inputs
        return {tensor.name: np.zeros(self._shapes[bucket][tensor.name], tensor.dtype) for tensor in tensors}

    def close(self) -> None:
        """Release all engines; wait for those that run.

        Raises:
            BundleError: An engine could not be closed; all others are.
        """
        self._closed = True
        failed: Exception | None = None
        for slot in itertools.chain(*self._slots):
            with slot.held():
                try:
                    slot.drop()
                except Exception as cause:
                    failed = failed or cause
        if failed is not None:
            raise BundleError(f"an engine could not be closed ({failed})", where=self._manifest.model) from failed

    def _load(self, position: int, slot: Slot) -> Engine:
        if self._closed:
            raise BundleError("the model is closed", where=self._manifest.model, fix="Load the bundle again.")
        artefact = self._manifest.artefacts[position]
        likely = self._measured.get(position, max(self._measured.values(), default=0))
        self._evict(slot, lambda: 0 < self._limit <= self.resident or self._exceeds(likely))
        with _MEASURING if self._memory else contextlib.nullcontext():
            before = process_memory() if self._memory else 0
            slot.engine = load_verified(self._directory, artefact.files, self._loader, self._manifest.options)
            self.loads += 1
            if self._memory:
                self._measure(position, slot, before)
        self._evict(slot, lambda: self._exceeds(0))
        return slot.engine

    def _measure(self, position: int, slot: Slot, before: int) -> None:
        """Note by how many bytes an engine made memory grow, its own process' included."""
        process = getattr(slot.engine, "process", None)
        grown = process_memory() - before + (0 if process is None else process_memory(process))
        known = self._measured.get(position, 0 if self.loads == self.resident else min(self._measured.values()))
        slot.memory = self._measured[position] = max(grown, known)

    def _exceeds(self, more: int) -> bool:
        """Return whether the engines' memory and so many bytes more are more than may be."""
        return 0 < self._memory < more + sum(slot.memory for slots in self._slots for slot in slots)

    def _evict(self, keep: Slot, full: Callable[[], bool]) -> None:
        """Drop engines that are idle, until it is no longer full: those that were used least.

        One that comes begins with the uses that the last one to be dropped had, so that what was used much long ago
        does not stay for ever (least frequently used, with dynamic ageing); of equals the one used longest ago goes.
        """
        with self._evicting:
            for slot in sorted(itertools.chain(*self._slots), key=lambda slot: (slot.worth, slot.used)):
                if not full():
                    return
                if slot is not keep and slot.engine is not None:
                    with slot.held_if_free() as held:
                        if held:
                            self._age = max(self._age, slot.worth)
                            slot.abandon()

    def _feeds(self, slot: Slot, bucket: int, parts: Parts) -> Arrays:
        feeds: Arrays = {}
        for name, shape in self._shapes[bucket].items():
            arrays = parts[name]
            if len(arrays) == 1 and arrays[0].shape == shape and arrays[0].flags.c_contiguous:
                feeds[name] = arrays[0]
                continue
            buffer = slot.buffers.get((bucket, name))
            if buffer is None:
                buffer = slot.buffers[bucket, name] = self._buffer(name, shape, arrays[0])
            feeds[name] = buffer.fill(arrays)
        return feeds

    def _buffer(self, name: str, shape: tuple[int, ...], like: NDArray[Any]) -> PaddedBuffer:
        return PaddedBuffer(shape, like.dtype, self._manifest.padding[name], self._row_axes[name])

    def _where(self, bucket: int) -> str:
        return self._manifest.artefacts[self._artefact_of[bucket]].stem
