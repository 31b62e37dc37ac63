"""KServe's HTTP and gRPC servers over a repository of bundles, in one process, until a signal ends them."""

from __future__ import annotations

import logging
import signal
import socket
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import grpc
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from kserve.constants.constants import FASTAPI_APP_IMPORT_STRING
from kserve.errors import InferenceError, InvalidInput, ModelNotFound, ModelNotReady, ServerNotReady
from kserve.logging import logger as kserve_logger
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException

from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.serving.model import Failed
from scaling_tasks.serving.repository import BundleDataPlane, BundleExtension, BundleRepository

__all__ = ["Address", "serve"]

_MOST_BYTES = 256 << 20
_NO_VERSIONS = "models have no versions here: the generation that is published is served. Leave the version out."
_TOLD = (InvalidInput, InferenceError, ModelNotFound, ModelNotReady, ServerNotReady, Failed)


@dataclass(frozen=True)
class Address:
    """Where a server listens.

    Attributes:
        host: A name or number.
        http: A port; 0 for any that is free.
        grpc: A port; 0 for any that is free.
    """

    host: str
    http: int
    grpc: int


async def serve(
    repository: BundleRepository, address: Address, grace: float, started: Callable[[Address], None]
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what came, and release the engines.

    Args:
        repository: What is served.
        address: Where.
        grace: For how many seconds requests that came may still run.
        started: Is told the ports.

    Raises:
        ScalingTasksError: A port is taken.
    """
    kserve_logger.addFilter(_is_news)
    plane, extension = BundleDataPlane(repository), BundleExtension(repository)
    listener = _listener(address)
    rpc = grpc.aio.server(
        interceptors=(ExceptionToStatusInterceptor(),),
        options=[("grpc.max_send_message_length", _MOST_BYTES), ("grpc.max_receive_message_length", _MOST_BYTES)],
    )
    add_GRPCInferenceServiceServicer_to_server(_Servicer(plane, extension), rpc)
    try:
        port = rpc.add_insecure_port(f"{address.host}:{address.grpc}")
    except RuntimeError as cause:
        raise _taken(address.host, address.grpc) from cause
    await rpc.start()
    # Uvicorn takes the signals, and sends them again when it has ended; by then they have been heard.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    web = uvicorn.Server(
        uvicorn.Config(_application(plane, extension), log_config=None, timeout_graceful_shutdown=max(1, round(grace)))
    )
    started(Address(address.host, listener.getsockname()[1], port))
    try:
        await web.serve(sockets=[listener])
    finally:
        await rpc.stop(grace)
        await repository.close()


def _application(plane: BundleDataPlane, extension: BundleExtension) -> FastAPI:
    """Return KServe's application; its own server would listen everywhere."""
    RESTServer(FASTAPI_APP_IMPORT_STRING, plane, extension, 0).create_application()
    from kserve.model_server import app  # Reads the command line when it is imported.

    # What KServe's application was made with; each answer would say so.
    warnings.filterwarnings("ignore", "ORJSONResponse is deprecated")
    application: FastAPI = app
    application.add_exception_handler(Failed, _failed)
    application.add_exception_handler(Exception, _unforeseen)
    application.add_exception_handler(RequestValidationError, _malformed)
    application.add_exception_handler(HTTPException, _refused)
    application.add_exception_handler(NotImplementedError, _versioned)
    application.add_middleware(_LimitedBodies)
    return application


class _Servicer(InferenceServicer):
    """KServe's, which does not look at versions."""

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        _without_version(request.model_version)
        return await super().ModelInfer(request, context)

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        _without_version(request.version)
        return await super().ModelReady(request, context)

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        _without_version(request.version)
        return await super().ModelMetadata(request, context)


def _without_version(version: str) -> None:
    if version:
        raise InvalidInput(_NO_VERSIONS)


class _LimitedBodies:
    """Refuses a body that is larger than may be, before or as soon as it is.

    Args:
        application: What gets the others.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""
        told = dict(scope.get("headers") or ()).get(b"content-length", b"0")
        came, announced = 0, int(told) if told.isdigit() else 0

        async def limited() -> Any:
            nonlocal came
            message = {} if announced > _MOST_BYTES else await receive()
            came += len(message.get("body", b""))
            if max(came, announced) > _MOST_BYTES:
                what = f"the request is larger than {_MOST_BYTES} bytes. Send fewer rows at a time."
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, what)
            return message

        await self._application(scope, limited, send)


async def _failed(_: Request, error: Any) -> JSONResponse:
    return JSONResponse({"error": error.details}, HTTPStatus.INTERNAL_SERVER_ERROR)


async def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    # Uvicorn logs it.
    return JSONResponse({"error": "internal error; the server's log says why."}, HTTPStatus.INTERNAL_SERVER_ERROR)


async def _malformed(_: Request, error: Any) -> JSONResponse:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "InferenceRequest"))
    what = f"{where}: {first['msg']}" if where else first["msg"]
    return JSONResponse({"error": f"the request is malformed: {what}."}, HTTPStatus.BAD_REQUEST)


async def _refused(request: Request, error: Any) -> JSONResponse:
    what = f"there is nothing at {request.url.path}." if error.status_code == HTTPStatus.NOT_FOUND else error.detail
    return JSONResponse({"error": what}, error.status_code)


async def _versioned(_: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": _NO_VERSIONS}, HTTPStatus.BAD_REQUEST)


def _listener(address: Address) -> socket.socket:
    """Return a socket that is bound, and listens once the server runs.

    Raises:
        ScalingTasksError: The port is taken, or there is no such host.
    """
    try:
        return socket.create_server((address.host, address.http), backlog=2048)
    except OSError as cause:
        raise _taken(address.host, address.http) from cause


def _taken(host: str, port: int) -> ScalingTasksError:
    return ScalingTasksError("cannot listen there", where=f"{host}:{port}", fix="Choose another host or port.")


def _is_news(record: logging.LogRecord) -> bool:
    """Return whether a record of KServe's is neither of each request nor of what its client was told."""
    told = record.exc_info and isinstance(record.exc_info[1], _TOLD)
    return record.levelno >= logging.WARNING and not told
