"""Stage ``bundle``: what was compiled, described and checked becomes the target's product, by one rename."""

from __future__ import annotations

from typing import Any

from scaling_tasks.action import Action
from scaling_tasks.actions.request import ActionRequest
from scaling_tasks.actions.results import Result, ResultFile, places_of, read_result_if_there, write_result
from scaling_tasks.errors import BundleError, of_disk
from scaling_tasks.execution.contract import Subject
from scaling_tasks.files import remove_whole
from scaling_tasks.known_digests import STATE, known_digests
from scaling_tasks.own_code import code_of
from scaling_tasks.stages.leftovers import leftovers
from scaling_tasks.stages.manifest import bundle_files
from scaling_tasks.stages.stage import Built, Made, Opening, Stage
from scaling_tasks.stages.target import Target
from scaling_tasks.stages.units import planned_units

__all__ = ["STAGE"]

_MANIFEST = "manifest.json"


def _request(target: Target, made: Made, unit: str | None) -> ActionRequest:
    files = bundle_files(made)
    action = Action("bundle", code_of(), {name: file.digest for name, file in files.items()}, outputs=tuple(files))
    return ActionRequest(
        action, lambda: places_of(files), "", Subject(target.name, "the bundle", BundleError), stored=False
    )


def _former(target: Target) -> list[str]:
    """Return the files that the last publication put there: by its record or, where that was lost, by its manifest."""
    if record := read_result_if_there(target.result("bundle")):
        return [file.name for file in record.files]
    from scaling_tasks.runtime.bundle import read_manifest

    try:
        return [file.name for file in read_manifest(target.directory).files]
    except BundleError:
        return []  # Nothing tells what is there apart from files of the user's.


def _publish(target: Target, opening: Opening) -> dict[str, Any]:
    """Publish the bundle whole, and remove what earlier plans left in its place; the store keeps it.

    Raises:
        BundleError: A file is not what was made, or the directory cannot be written.
    """
    from scaling_tasks.actions.publication import publish_generation, while_it_stays

    made = Built(target)
    files = bundle_files(made)
    record = target.result("bundle")
    with while_it_stays(target.directory, STATE):
        for file in files.values():
            if not known_digests().holds(file.place, file.digest, file.size):
                raise BundleError("it is not what was made", where=file.place, fix="Build again.")
        try:
            publish_generation(
                target.directory.resolve(),  # It may be a link to another disk.
                places_of(files),
                _former(target),
                last=_MANIFEST,
            )
        except OSError as cause:
            raise of_disk(cause, BundleError, where=target.directory, what="cannot be published") from cause
        placed = tuple(
            ResultFile(file.name, file.digest, file.size, (target.directory / name).as_posix())
            for name, file in files.items()
        )
        for file in (*placed, *files.values()):
            known_digests().made(file.place, file.digest)
        write_result(record, Result.of(_request(target, made, None).action.text, placed, {}), below=STATE)
        removed = leftovers(target, [unit.name for unit in planned_units(made).units])
        for path in removed:
            remove_whole(path, below=STATE)
    return {"path": target.directory.as_posix(), "removed": len(removed)}


STAGE = Stage(
    name="bundle",
    doc="publish what the runtime loads",
    after=("verify", "manifest", "padding", "metric"),
    applies=lambda target: target.compiles,
    request=_request,
    do=_publish,
    place=lambda target, unit, name: target.directory / name,
    products=lambda target: (target.manifest,),
)
