"""Serve bundles: ``python -m scaling_tasks.serving build/ppocr_rec build/ppocr_det``."""

from __future__ import annotations

import argparse
import asyncio
import functools
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from scaling_tasks.errors import ScalingTasksError
from scaling_tasks.runtime.bundle import load_bundle

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    options = _parser().parse_args(arguments)
    # Engines may have processes of their own; gRPC need not prepare for them, since they use none of it.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # What matters it raises.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    try:
        openers = {
            name: functools.partial(
                load_bundle,
                path,
                threads=options.threads,
                in_flight=options.in_flight,
                copies=options.copies,
                resident=options.resident,
                resident_memory=options.resident_memory << 20,
                batch_wait=options.batch_wait / 1000,
                isolated=options.isolated,
            )
            for name, path in _named(options.bundles).items()
        }
        _check_packages()
        from scaling_tasks.serving.metrics import Metrics
        from scaling_tasks.serving.repository import BundleRepository
        from scaling_tasks.serving.server import Address, serve

        def started(address: Address) -> None:
            where = f"HTTP {address.host}:{address.http}, gRPC {address.host}:{address.grpc}"
            print(f"serving {', '.join(openers)}: {where}", flush=True)

        async def run() -> None:
            repository = BundleRepository(openers, Metrics())
            await serve(repository, Address(options.host, options.http_port, options.grpc_port), options.grace, started)

        asyncio.run(run())
    except ScalingTasksError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    cores = len(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="python -m scaling_tasks.serving",
        description="Serve bundles over HTTP and gRPC by the Open Inference Protocol (KServe v2).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("bundles", nargs="+", help="directories of bundles, or NAME=DIRECTORY; a model is called as its directory")
    add("--host", default="127.0.0.1", help="where to listen; 0.0.0.0 for everywhere")
    add("--http-port", type=int, default=8080, help="also has /metrics; 0 for any that is free")
    add("--grpc-port", type=int, default=8081, help="0 for any that is free")
    add("--batch-wait", type=float, default=2.0, help="most milliseconds that a request waits for others to batch with")
    add("--in-flight", type=int, default=cores, help="batches that run at the same time, per bundle")
    add("--threads", type=int, default=1, help="threads of each engine")
    add("--copies", type=int, default=1, help="most engines of one artefact")
    add("--resident", type=int, default=0, help="most engines kept loaded, per bundle; 0 for all")
    add("--resident-memory", type=int, default=0, help="most megabytes of engines kept loaded, per bundle; 0 for all")
    add("--isolated", action="store_true", help="each engine in a process of its own, which may die unnoticed")
    add("--grace", type=float, default=30.0, help="seconds for requests that still run when the server is to end")
    return parser


def _named(bundles: Sequence[str]) -> dict[str, Path]:
    """Return the bundles' directories by name.

    Raises:
        ScalingTasksError: Two have the same name.
    """
    found: dict[str, Path] = {}
    for text in bundles:
        name, given, directory = text.rpartition("=")
        path = Path(directory)
        name = name if given else path.resolve().name
        if name in found:
            raise ScalingTasksError("two bundles have this name", where=name, fix="Name one of them: NAME=DIRECTORY.")
        found[name] = path
    return found


def _check_packages() -> None:
    """Require what serves.

    Raises:
        ScalingTasksError: It is not installed.
    """
    try:
        import kserve  # noqa: F401
    except ModuleNotFoundError as cause:
        raise ScalingTasksError(
            f"the package {cause.name!r} is not installed", fix="Run `pip install 'scaling-tasks[serve]'`."
        ) from cause


if __name__ == "__main__":
    sys.exit(main())
