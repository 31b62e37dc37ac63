"""Engines: loaded and checked on first use, run by one thread at a time, evicted when there are too many."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.compilers.contract import Engine
from scaling_tasks.errors import BundleError, ScalingTasksError
from scaling_tasks.files import digest_file
from scaling_tasks.runtime.buffers import PaddedBuffer
from scaling_tasks.runtime.manifest import ArtefactFile, Manifest
from scaling_tasks.runtime.requests import Arrays

__all__ = ["EnginePool", "Loader", "verify_files"]

Loader = Callable[[Path, Mapping[str, Any]], Engine]
Parts = Mapping[str, Sequence[NDArray[Any]]]


class EnginePool:
    """The artefacts of one bundle.

    Args:
        directory: Of the bundle.
        manifest: What is in it.
        loader: Turns an artefact's first file into an engine.
        batch: Whether the first axis of every input counts rows.
        limit: Most engines loaded at once; 0 for no limit. It is exceeded only while more than that many run.
        copies: Most engines of one artefact.
    """

    def __init__(
        self, directory: Path, manifest: Manifest, loader: Loader, *, batch: bool, limit: int = 0, copies: int = 1
    ) -> None:
        self._directory, self._manifest, self._loader = directory, manifest, loader
        self._batch, self._limit, self.copies = batch, limit, copies
        self._slots = [[_Slot() for _ in range(copies)] for _ in manifest.artefacts]
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

    def run(self, bucket: int, parts: Parts) -> Arrays:
        """Pad the parts of every input to the bucket, run, and return the outputs at the bucket's size.

        Args:
            bucket: Index over all buckets in the order of the manifest.
            parts: Per input the arrays that lie below each other in the batch; one array where there is no batch.

        Raises:
            BundleError: The artefact is missing or damaged, or the engine failed.
        """
        position = self._artefact_of[bucket]
        slot = self._acquire(position)
        try:
            engine = slot.engine or self._load(position, slot)
            slot.used = next(self._clock)
            try:
                return engine.run(self._feeds(slot, bucket, parts))
            except BaseException as cause:
                # Whatever state it and its buffers are in, the next request gets fresh ones.
                slot.drop()
                if not isinstance(cause, Exception):
                    raise
                what = f"the engine failed ({cause})"
                raise BundleError(what, where=self._where(bucket), fix="Send the request again.") from cause
        finally:
            slot.lock.release()

    def load(self, bucket: int) -> None:
        """Load the bucket's engine now, and its copies.

        Raises:
            BundleError: The artefact is missing or damaged.
        """
        position = self._artefact_of[bucket]
        for slot in self._slots[position]:
            with slot.lock:
                if slot.engine is None:
                    self._load(position, slot)

    def zeros(self, bucket: int) -> Arrays:
        """Return inputs of exactly the bucket's size."""
        tensors = self._manifest.signature.inputs.inputs
        return {tensor.name: np.zeros(self._shapes[bucket][tensor.name], tensor.dtype) for tensor in tensors}

    def close(self) -> None:
        """Release all engines; wait for those that run."""
        self._closed = True
        for slots in self._slots:
            for slot in slots:
                with slot.lock:
                    slot.drop()

    def _acquire(self, position: int) -> _Slot:
        """Lock and return a slot of the artefact: a loaded one, else an empty one, else the first that gets free."""
        slots = self._slots[position]
        if len(slots) > 1:
            for slot in sorted(slots, key=lambda slot: slot.engine is None):
                if slot.lock.acquire(blocking=False):
                    return slot
        slots[0].lock.acquire()
        return slots[0]

    def _load(self, position: int, slot: _Slot) -> Engine:
        if self._closed:
            raise BundleError("the model is closed", where=self._manifest.model, fix="Load the bundle again.")
        artefact = self._manifest.artefacts[position]
        self._evict(slot)
        verify_files(self._directory, artefact.files)
        try:
            slot.engine = self._loader(self._directory / artefact.files[0].name, self._manifest.options)
        except ScalingTasksError as cause:
            raise BundleError(cause.what, where=artefact.stem, fix=cause.fix or "Build the bundle again.") from cause
        self.loads += 1
        return slot.engine

    def _evict(self, keep: _Slot) -> None:
        """Drop the engines that were used longest ago and are idle, until one more may be loaded."""
        if not self._limit:
            return
        with self._evicting:
            for slot in sorted(itertools.chain(*self._slots), key=lambda slot: slot.used):
                if self.resident < self._limit:
                    return
                if slot is not keep and slot.engine is not None and slot.lock.acquire(blocking=False):
                    try:
                        slot.drop()
                    finally:
                        slot.lock.release()

    def _feeds(self, slot: _Slot, bucket: int, parts: Parts) -> Arrays:
        feeds: Arrays = {}
        for name, shape in self._shapes[bucket].items():
            arrays = parts[name]
            if len(arrays) == 1 and arrays[0].shape == shape and arrays[0].flags.c_contiguous:
                feeds[name] = arrays[0]
                continue
            buffer = slot.buffers.get((bucket, name))
            if buffer is None:
                buffer = slot.buffers[bucket, name] = self._buffer(name, shape, arrays[0])
            feeds[name] = buffer.fill(arrays) if self._batch else buffer.fill([arrays[0][None]])[0]
        return feeds

    def _buffer(self, name: str, shape: tuple[int, ...], like: NDArray[Any]) -> PaddedBuffer:
        return PaddedBuffer(shape if self._batch else (1, *shape), like.dtype, self._manifest.padding[name])

    def _where(self, bucket: int) -> str:
        return self._manifest.artefacts[self._artefact_of[bucket]].stem


class _Slot:
    """An artefact's engine with its buffers; everything in it is guarded by the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engine: Engine | None = None
        self.buffers: dict[tuple[int, str], PaddedBuffer] = {}
        self.used = 0

    def drop(self) -> None:
        engine, self.engine = self.engine, None
        self.buffers.clear()
        if engine is not None:
            engine.close()


def verify_files(directory: Path, files: Sequence[ArtefactFile]) -> None:
    """Check that the files are what was built.

    Raises:
        BundleError: One is missing or differs.
    """
    for file in files:
        try:
            digest = digest_file(directory / file.name)
        except OSError as cause:
            raise BundleError(
                f"cannot be read ({cause.strerror})", where=str(directory / file.name), fix="Build the bundle again."
            ) from cause
        if digest != file.digest:
            raise BundleError(
                "it is not the file that was built", where=str(directory / file.name), fix="Build the bundle again."
            )
