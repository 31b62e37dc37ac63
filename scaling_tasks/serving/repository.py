"""The bundles of a server, by name, and what the protocol does with them: load, unload, ready."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kserve import InferRequest
from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
from kserve.errors import InvalidInput, ModelNotFound
from kserve.model_repository import ModelRepository
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.serving.metrics import Metrics
from scaling_tasks.serving.model import BundleModel
from scaling_tasks.serving.tensors import with_raw_inputs

__all__ = ["BundleDataPlane", "BundleExtension", "BundleRepository"]


class UnknownModel(ModelNotFound):
    """As KServe's, and says which models there are."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.reason = f"there is no model {name!r}; there are {', '.join(map(repr, known)) or 'none'}."


class BundleRepository(ModelRepository):
    """The models that are served.

    Args:
        openers: Per name what opens the bundle's published generation.
        metrics: Where they are counted.

    Raises:
        BundleError: A bundle is missing or damaged.
    """

    def __init__(self, openers: Mapping[str, Callable[[], BucketedModel]], metrics: Metrics) -> None:
        super().__init__()
        self._openers, self._metrics = dict(openers), metrics
        self._closing: set[asyncio.Task[None]] = set()
        for name in openers:
            self._add(name)

    async def load(self, name: str) -> bool:
        """Serve the generation that is published now.

        Raises:
            UnknownModel: The server was not started with such a bundle.
            NotReady: The generation is missing or damaged.
        """
        model = self.models.get(name)
        if model is not None:
            await model.reload()
        elif name in self._openers:
            self._add(name)
        else:
            raise UnknownModel(name, self._openers)
        return True

    def unload(self, name: str) -> None:
        """Serve a model no more; what it has taken it answers.

        Raises:
            KeyError: It is not served.
        """
        model = self.models.pop(name)
        self._metrics.forget(name)
        task = asyncio.get_running_loop().create_task(model.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Answer what came, and release all engines."""
        await asyncio.gather(*self._closing, *(model.close() for model in self.models.values()))

    def _add(self, name: str) -> None:
        self.update(BundleModel(name, self._openers[name], self._metrics))


class BundleExtension(ModelRepositoryExtension):
    """The protocol's model repository extension, with answers that KServe's gRPC server understands."""

    def __init__(self, repository: BundleRepository) -> None:
        super().__init__(repository)
        self._repository = repository

    async def load(self, model_name: str) -> dict[str, Any]:
        """Load the published generation of a bundle.

        Raises:
            UnknownModel: The server was not started with such a bundle.
            NotReady: The generation is missing or damaged.
        """
        return {"name": model_name, "load": await self._repository.load(model_name)}

    async def unload(self, model_name: str) -> dict[str, Any]:
        """Serve a model no more.

        Raises:
            UnknownModel: It is not served.
        """
        if model_name not in self._repository.models:
            raise UnknownModel(model_name, self._repository.models)
        await super().unload(model_name)
        return {"name": model_name, "unload": True}


class BundleDataPlane(DataPlane):
    """KServe's data plane; ready once all bundles are, and it serves before that."""

    async def ready(self) -> bool:
        """Return whether every model is ready."""
        repository = self.model_registry
        return all([await repository.is_model_ready(name) for name in list(repository.get_models())])

    async def model_ready(self, model_name: str, disable_predictor_health_check: bool = False) -> bool:
        """Return whether a model is ready, or for a request, which sets the flag, whether it is there.

        Raises:
            UnknownModel: It is not served.
        """
        model = self.get_model_from_registry(model_name)
        return disable_predictor_health_check or bool(await model.healthy())

    async def get_model(self, name: str) -> Any:
        """Return a model, ready or not.

        Raises:
            UnknownModel: It is not served.
        """
        return self.get_model_from_registry(name)

    def get_model_from_registry(self, name: str) -> Any:
        """Return a model, ready or not.

        Raises:
            UnknownModel: It is not served.
        """
        models = self.model_registry.get_models()
        if name not in models:
            raise UnknownModel(name, models)
        return models[name]

    def decode_inference_request(self, body: Any, headers: dict[str, str], model_name: str) -> InferRequest:
        """Read the body of an HTTP request.

        Raises:
            InvalidInput: It is malformed.
        """
        if not isinstance(body, bytes):
            return super().decode_inference_request(body, headers, model_name)
        told = headers.get(INFERENCE_CONTENT_LENGTH_HEADER, str(len(body)))
        if not told.isdecimal() or int(told) > len(body):
            raise InvalidInput(f"{INFERENCE_CONTENT_LENGTH_HEADER} is {told!r}, of a body of {len(body)} bytes.")
        try:
            head = json.loads(body[: int(told)])
        except (ValueError, RecursionError) as cause:
            raise InvalidInput(f"the request is no JSON ({cause}).") from cause
        if not isinstance(head, dict):
            raise InvalidInput("the request is no JSON object.")
        return with_raw_inputs(model_name, head, body[int(told) :])
