"""Google Cloud Storage, by an emulator of it: a build beside a store there, of a data set there."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.samples import image_parts
from scaling_tasks.samples.part_work import measure_part
from scaling_tasks.samples.parts import DOCUMENT, RESULT
from scaling_tasks.samples.scan import scan, watch
from tests.doit_plugin.repository import Repository
from tests.store.services import ObjectStorage

PLANNED = """
input_shape: {{x: [1, 3, -1, -1]}}
dataset: {{path: "{path}", preprocessing: none}}
auto_scaling: {{max_scaling_num: 2, interval: 8}}
"""


def image(height: int, width: int) -> bytes:
    made = io.BytesIO()
    pytest.importorskip("PIL.Image").new("RGB", (width, height)).save(made, "PNG")
    return made.getvalue()


@pytest.fixture
def put(google_storage: ObjectStorage, tmp_path: Path) -> Callable[[str, bytes], None]:
    """Write an object below a directory of this test's own."""
    import fsspec

    files = fsspec.filesystem("gs")
    return lambda name, content: files.pipe_file(f"team/{tmp_path.name}/{name}", content)


def test_a_data_set(put: Callable[[str, bytes], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        put(f"images/{number % 2}/{number}.png", image(10 + number, 20))
    dataset, cache = DatasetSpec(path=f"gs://team/{tmp_path.name}/images"), tmp_path / "a.cache"
    assert scan(dataset, cache).values.tolist() == [[10 + number, 20] for number in range(4)]
    assert watch(dataset, cache)
    put("images/0/0.png", image(33, 44))
    assert not watch(dataset, cache)
    assert scan(dataset, cache).values.tolist() == [[11, 20], [12, 20], [13, 20], [33, 44]]
    put("sizes.csv", b"H,W\n1,2\n")
    table = DatasetSpec(path=f"gs://team/{tmp_path.name}/sizes.csv")
    assert scan(table, tmp_path / "b.cache").values.tolist() == [[1, 2]]
    assert watch(table, tmp_path / "b.cache")

    # In parts, as workers read it.
    monkeypatch.setattr(image_parts, "_FEWEST", 1)

    def elsewhere(parts: Any) -> Any:
        for part in parts:
            (tmp_path / DOCUMENT).write_text(part.document())
            measure_part(tmp_path, tmp_path, {**part.parameters, "listed": part.listed})
            yield part, tmp_path / RESULT

    scan(dataset, tmp_path / "c.cache", elsewhere=elsewhere)
    assert (tmp_path / "c.cache").read_bytes() == cache.read_bytes()


def test_a_second_build_plans_nothing(
    google_storage: ObjectStorage, put: Callable[[str, bytes], None], tmp_path: Path
) -> None:
    put("images/a.png", image(16, 24))
    for name in ("first", "second"):
        made = Repository(tmp_path / name)
        (made.root / "configs/far.yaml").write_text(PLANNED.format(path=f"gs://team/{tmp_path.name}/images"))
        store = {
            "SCALING_TASKS_REMOTE_STORE": f"{google_storage.url}/{tmp_path.name}",
            "SCALING_TASKS_REMOTE_STORE_PATIENCE": "20",
        }
        run = made.doit("-n", "2", environment={**os.environ, **store})
        assert run.ok, run.output
        assert "warning" not in run.output
        assert ("buckets:far  from the store" in run.output) == (name == "second"), run.output
