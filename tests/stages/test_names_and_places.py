"""Names in what is read cannot lead elsewhere, and nothing elsewhere is removed or waited for."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scaling_tasks.errors import BundleError, CacheError, PlanError
from scaling_tasks.files import digest_bytes
from scaling_tasks.runtime.loading import load_verified
from scaling_tasks.runtime.manifest import ArtefactFile
from scaling_tasks.shapes.unit import Unit
from scaling_tasks.stages.units import UnitsDocument, read_units, write_units
from scaling_tasks.store.blobs import LostContentError, place_copy
from scaling_tasks.store.store import Store
from tests.documents import resealed
from tests.doit_plugin.repository import Repository
from tests.runtime.test_manifest import manifest_of


def written_units(directory: Path) -> Path:
    manifest, unit = manifest_of(), Unit("L16", "m_L16", ("batch", "length"), ((1, 16),))
    path = directory / "units.json"
    inputs, outputs = manifest.signature.inputs, manifest.signature.outputs
    write_units(path, UnitsDocument("ab" * 32, inputs, outputs, manifest.behaviour, (unit,)))
    return path


@pytest.mark.parametrize("name", ["../x", "/x", "..", "", "a/b", "\0", "x" * 300])
@pytest.mark.parametrize("key", ["name", "stem"])
def test_a_unit_cannot_be_called_what_holds_a_path(name: str, key: str, tmp_path: Path) -> None:
    path = written_units(tmp_path)
    document = json.loads(path.read_text())
    document["units"][0][key] = name
    path.write_text(resealed(document))
    with pytest.raises(PlanError, match=r"units\.json: does not hold what it should"):
        read_units(path)


def test_an_edited_list_of_units_is_refused(tmp_path: Path) -> None:
    path = written_units(tmp_path)
    path.write_text(path.read_text().replace("[[1,16]]", "[[3,16]]"))
    with pytest.raises(PlanError, match="damaged or edited"):
        read_units(path)


def test_a_pipe_in_the_place_of_an_artefact_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.onnx")
    with pytest.raises(BundleError, match=r"a\.onnx: cannot be read \(it is not a regular file\)"):
        load_verified(tmp_path, [ArtefactFile("a.onnx", "ab" * 32)], lambda path, options: pytest.fail("loaded"), {})


def test_a_pipe_in_the_place_of_a_blob_or_an_output_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    store = Store(tmp_path / "store")
    record = store.put({"a": 1}, {"a": tmp_path / "a"}, {})
    blob = store.path(record.files[0])
    blob.unlink()
    os.mkfifo(blob)
    assert store.get({"a": 1}) is None
    os.mkfifo(tmp_path / "output")
    place_copy(tmp_path / "a", tmp_path / "output", digest_bytes(b"content"), 7, below=tmp_path)
    assert (tmp_path / "output").read_bytes() == b"content"


def test_a_place_that_cannot_be_made_is_no_lost_content(tmp_path: Path) -> None:
    """A lost content is made again, for as long as it is lost."""
    (tmp_path / "a").write_bytes(b"content")
    nowhere = Path("/proc/nothing")
    with pytest.raises(CacheError, match="cannot be written") as caught:
        place_copy(tmp_path / "a", nowhere / "output", digest_bytes(b"content"), 7, below=nowhere)
    assert not isinstance(caught.value, LostContentError)


def test_prune_removes_nothing_outside_whatever_a_record_names(tmp_path: Path) -> None:
    """A target is gone, and its records name files of the user's: elsewhere, above, through a link, and below."""
    repository = Repository(tmp_path)
    repository.write_target()
    root = repository.root
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (root / "linked").symlink_to(outside)
    kept = [outside / "precious", root / "models/net.onnx"]
    kept[0].write_text("precious")
    for number, directory in enumerate((outside.as_posix(), f"../{outside.name}", "linked", "models")):
        state = root / f".scaling/targets/gone{number}"
        (state / "results").mkdir(parents=True)
        target = {"format": "scaling-tasks/target/1", "config": "configs/gone.yaml", "directory": directory}
        (state / "target.json").write_text(resealed(target))
        files = [[path.name, "ab" * 32, 1, f"{directory}/{path.name}"] for path in kept]
        result = {"format": "scaling-tasks/result/2", "action": "{}", "files": files, "values": {}}
        (state / "results/bundle.json").write_text(resealed(result))
    run = repository.doit("prune")
    assert run.ok, run.output
    assert all(path.exists() for path in kept)
    assert not (root / ".scaling/targets/gone0").exists()
