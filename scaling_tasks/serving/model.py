"""A bundle as a model of KServe's server."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from grpc import StatusCode
from grpc_interceptor.exceptions import GrpcException
from kserve import InferRequest, InferResponse
from kserve.errors import InvalidInput, ModelNotReady
from kserve.model import InferenceModel, InferenceVerb

from scaling_tasks.errors import BundleError, RequestError
from scaling_tasks.runtime.dynamic_batching import Answer
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.serving.metrics import Metrics, Served
from scaling_tasks.serving.tensors import arrays_of, input_types, output_types, response_of, wanted_outputs

__all__ = ["BundleModel", "Failed", "NotReady"]

_LOG = logging.getLogger(__name__)


class Failed(GrpcException):
    """The engine failed, through no fault of the request."""

    status_code = StatusCode.INTERNAL


class NotReady(ModelNotReady):
    """As KServe's, with the attribute that its gRPC server reads."""

    @property
    def reason(self) -> str:
        """What is told."""
        return str(self)


class BundleModel(InferenceModel):
    """Serves the published generation of a bundle, and the next one once it is told to.

    Everything but opening and closing is done on the server's event loop, so that a request goes to one generation as
    a whole: those that the old one took it answers before it closes.

    Args:
        name: Under which it is served.
        open_bundle: Opens the generation that is published now; may be called from any thread.
        metrics: Where it is counted.

    Raises:
        BundleError: The bundle is missing or damaged.
    """

    def __init__(self, name: str, open_bundle: Callable[[], BucketedModel], metrics: Metrics) -> None:
        super().__init__(name)
        self._open, self._metrics = open_bundle, metrics
        self._generation = open_bundle()
        self._generation.warm_up_in_background()
        self._retired: list[BucketedModel] = []
        self._past = Served()
        self._reloading = asyncio.Lock()
        metrics.watch(name, self._counted)

    async def __call__(
        self, body: Any, headers: dict[str, str] | None = None, verb: InferenceVerb = InferenceVerb.PREDICT
    ) -> tuple[InferResponse, dict[str, str]]:
        """Serve one request, together with others that wait.

        Raises:
            InvalidInput: The request is not of the v2 protocol, or does not fit the model.
            Failed: The engine failed.
        """
        if not isinstance(body, InferRequest) or verb is not InferenceVerb.PREDICT:
            raise InvalidInput("this model speaks the v2 protocol (Open Inference) only, and infers only.")
        begin = time.perf_counter()
        try:
            # An output that there is not is told before anything runs.
            wanted_outputs(body, [tensor.name for tensor in self._generation.manifest.signature.outputs])
            answer: Answer = self._generation.submit(arrays_of(body))
            outputs = await asyncio.wrap_future(answer)
            response = response_of(body, self.name, outputs)
        except (InvalidInput, RequestError) as cause:
            self._metrics.errors.labels(self.name, "request").inc()
            raise InvalidInput(str(cause)) from cause
        except BundleError as cause:
            self._metrics.errors.labels(self.name, "engine").inc()
            _LOG.exception("%s: a request was not served", self.name)
            raise Failed(details=f"{self.name} failed; the server's log says why. Send the request again.") from cause
        self._metrics.queue.labels(self.name).observe(answer.waited)
        self._metrics.latency.labels(self.name).observe(time.perf_counter() - begin)
        return response, {}

    async def healthy(self) -> bool:
        """Return whether all buckets that may stay loaded are ready."""
        readiness = self._generation.readiness
        return not readiness.running and not readiness.failed

    async def reload(self) -> None:
        """Open the generation that is published now, get it ready, and let it take the place of the old one.

        Both are loaded meanwhile. Where it is the one that is served already, nothing is done.

        Raises:
            NotReady: It is missing or damaged; the old one goes on.
        """
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self._opened)
            except BundleError as cause:
                raise NotReady(self.name, str(cause)) from cause
            if fresh is None:
                return
            old, self._generation = self._generation, fresh
            self._retired.append(old)
            await _close(old)
            self._retired.remove(old)
            self._past.add(old)
            self._metrics.reloads.labels(self.name).inc()

    async def close(self) -> None:
        """Answer what came, and release the engines."""
        async with self._reloading:
            await _close(self._generation)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Return the inputs as the protocol's metadata has them."""
        return input_types(self._generation.manifest)

    def get_output_types(self) -> list[dict[str, Any]]:
        """Return the outputs as the protocol's metadata has them."""
        return output_types(self._generation.manifest)

    def _opened(self) -> BucketedModel | None:
        """Return the published generation, ready; None where it is the present one."""
        fresh = self._open()
        if fresh.manifest == self._generation.manifest:
            fresh.close()
            return None
        fresh.warm_up_in_background()
        failed = fresh.wait_until_ready().failed
        if failed:
            fresh.close()
            raise BundleError(failed[0])
        return fresh

    def _counted(self) -> tuple[Served, BucketedModel]:
        total = self._past.copy()
        for generation in (*self._retired, self._generation):
            total.add(generation)
        return total, self._generation


async def _close(generation: BucketedModel) -> None:
    try:
        await asyncio.to_thread(generation.close)
    except BundleError as cause:
        _LOG.warning("%s", cause)
