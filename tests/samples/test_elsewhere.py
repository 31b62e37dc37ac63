"""Data sets in object stores and behind HTTP: the same measurements, by range reads, and nothing read twice."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scaling_tasks.config.load import parse_target
from scaling_tasks.config.specs import DatasetSpec
from scaling_tasks.errors import ConfigError, DatasetError
from scaling_tasks.samples import remote, remote_images
from scaling_tasks.samples.scan import scan, watch
from tests.doit_plugin.repository import Repository
from tests.samples.tars import write_tar

pytest.importorskip("fsspec")


class Reads:
    """Counts what is read of a store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.paths: list[str] = []
        self.bytes = 0
        self.listings = 0
        for name in ("beginnings", "read", "entries"):
            monkeypatch.setattr(remote.Remote, name, self._counted(name, getattr(remote.Remote, name)))

    def _counted(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(method)
        def counted(own: remote.Remote, *arguments: object) -> object:
            found = method(own, *arguments)
            if name == "entries":
                self.listings += 1
            elif name == "beginnings":
                self.paths += arguments[0]
                self.bytes += sum(len(head or b"") for head in found)
            else:
                self.paths.append(str(arguments[0]))
                self.bytes += len(found)
            return found

        return counted

    def clear(self) -> None:
        self.paths, self.bytes, self.listings = [], 0, 0


def fill(directory: Path, make_image: Callable[..., Path]) -> None:
    make_image(directory / "images/a.png", 10, 20)
    make_image(directory / "images/deep/b.jpg", 30, 40, orientation=6)
    make_image(directory / "images/deep/.hidden.png", 1, 1)
    (directory / "images/empty.jpg").write_bytes(b"")
    (directory / "images/notes.txt").write_bytes(b"words")


def test_an_image_folder_in_a_bucket(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, make_image)
    reads = Reads(monkeypatch)
    dataset, cache = DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "scan.cache"
    found = scan(dataset, cache)
    assert found.digest == scan(DatasetSpec(path=str(bucket / "images")), tmp_path / "here.cache").digest
    assert found.values.tolist() == [[10, 20], [40, 30]]
    assert found.source["skipped"] == 2
    reads.clear()
    assert watch(dataset, cache)
    assert (reads.listings, reads.paths) == (1, [])

    make_image(bucket / "images/deep/c.png", 50, 60)
    assert not watch(dataset, cache)
    reads.clear()
    assert scan(dataset, cache).values.tolist() == [[10, 20], [40, 30], [50, 60]]
    assert [path.rpartition("/")[2] for path in reads.paths] == ["c.png"]

    make_image(bucket / "images/a.png", 11, 21)
    (bucket / "images/deep/b.jpg").unlink()
    assert not watch(dataset, cache)
    reads.clear()
    assert scan(dataset, cache).values.tolist() == [[11, 21], [50, 60]]
    assert [path.rpartition("/")[2] for path in reads.paths] == ["a.png"]


def test_headers_alone_are_read(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_image(bucket / "images/large.bmp", 700, 800)
    # A photograph whose metadata go on beyond what is read at first.
    comment = b"\xff\xfe\xff\xff" + b"x" * 0xFFFD
    small = make_image(tmp_path / "small.jpg", 33, 44).read_bytes()
    (bucket / "images/late.jpg").write_bytes(small[:2] + comment + small[2:] + bytes(1 << 20))
    reads = Reads(monkeypatch)
    found = scan(DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "scan.cache")
    assert found.values.tolist() == [[33, 44], [700, 800]]
    assert reads.bytes < 60_000 < path.stat().st_size


@pytest.mark.parametrize("name", ["sizes.csv", "sizes.jsonl", "sizes.parquet", "sizes.arrow", "labels.txt"])
def test_a_table_in_a_bucket(name: str, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc, parquet

    table = pyarrow.table({"H": [10, 20], "W": [30, 40]})
    path = bucket / name
    if name == "sizes.parquet":
        parquet.write_table(table, path)
    elif name == "sizes.arrow":
        with ipc.new_file(path, table.schema) as file:
            file.write_table(table)
    else:
        texts = {
            "sizes.csv": "H,W\n10,30\n20,40\n",
            "sizes.jsonl": '{"H": 10, "W": 30}\n{"H": 20, "W": 40}\n',
            "labels.txt": 'a.jpg\t[{"points": [[0, 0], [30, 0], [30, 10], [0, 10]]}]\n'
            'b.jpg\t[{"points": [[0, 0], [40, 0], [40, 20], [0, 20]]}]\n',
        }
        path.write_text(texts[name])
    dataset, cache = DatasetSpec(path=f"s3://{bucket.name}/{name}"), tmp_path / "scan.cache"
    assert scan(dataset, cache).values.tolist() == [[10, 30], [20, 40]]
    reads = Reads(monkeypatch)
    assert watch(dataset, cache)
    assert scan(dataset, cache).values.tolist() == [[10, 30], [20, 40]]
    assert reads.paths == []
    path.write_bytes(path.read_bytes().replace(b"10", b"11") + b"\n")
    assert not watch(dataset, cache)


@pytest.mark.parametrize("pattern", ["{00..02}.tar", "{00,01,02}.tar", "*.tar", ""])
def test_shards_in_a_bucket(
    pattern: str, bucket: Path, tmp_path: Path, make_image: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bucket / "shards").mkdir()
    large = make_image(tmp_path / "large.bmp", 500, 600).read_bytes()
    for number in range(3):
        small = make_image(tmp_path / "small.png", 10 + number, 20).read_bytes()
        members = [("0.png", small), ("0.json", b"{}"), ("1.bmp", large), ("1.json", b"{}"), ("2.png", small)]
        write_tar(bucket / f"shards/{number:02}.tar", members)
    dataset = DatasetSpec(path=f"s3://{bucket.name}/shards/{pattern}".rstrip("/"), format="shards")
    reads = Reads(monkeypatch)
    found = scan(dataset, tmp_path / "scan.cache")
    assert sorted(map(tuple, found.values.tolist())) == sorted([(10 + n, 20) for n in range(3)] * 2 + [(500, 600)] * 3)
    assert reads.bytes < len(large)
    reads.clear()
    assert watch(dataset, tmp_path / "scan.cache")
    assert reads.paths == []
    write_tar(bucket / "shards/01.tar", [("0.png", make_image(tmp_path / "x.png", 7, 8).read_bytes())])
    assert not watch(dataset, tmp_path / "scan.cache")
    reads.clear()
    assert [7, 8] in scan(dataset, tmp_path / "scan.cache").values.tolist()
    assert {path.rpartition("/")[2] for path in reads.paths} == {"01.tar"}


def test_what_is_not_there_is_one_line(bucket: Path, tmp_path: Path) -> None:
    for path in (f"s3://{bucket.name}/sizes.csv", "s3://no-such-bucket/sizes.csv", f"s3://{bucket.name}/{{0..2}}.tar"):
        with pytest.raises(DatasetError, match="no such file") as caught:
            scan(DatasetSpec(path=path), tmp_path / "scan.cache")
        assert "s3://" in caught.value.where or ".tar" in caught.value.where
        assert not watch(DatasetSpec(path=path), tmp_path / "scan.cache")
    with pytest.raises(DatasetError, match=r"there is no image in it|cannot be listed"):
        scan(DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "scan.cache")


def test_a_store_that_fails_is_one_line(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, make_image)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(DatasetError, match="cannot be listed") as caught:
        scan(DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "scan.cache")
    assert "\n" not in str(caught.value)
    assert "wrong" not in str(caught.value)
    s3fs.S3FileSystem.clear_instance_cache()


def test_memory(make_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    image = make_image(tmp_path / "a.png", 10, 20).read_bytes()
    files.pipe("/photos/x/a.png", image)
    dataset, cache = DatasetSpec(path="memory://photos"), tmp_path / "scan.cache"
    # Where only a time tells versions apart, what is young is read again.
    assert scan(dataset, cache).values.tolist() == [[10, 20]]
    assert not watch(dataset, cache)
    monkeypatch.setattr(remote, "_COARSE_SECONDS", 0.0)
    scan(dataset, cache)
    assert watch(dataset, cache)
    files.pipe("/photos/x/b.png", image)
    assert not watch(dataset, cache)
    assert scan(dataset, cache).values.tolist() == [[10, 20], [10, 20]]
    files.rm("/photos", recursive=True)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A plain web server, which lists directories as pages and knows no ranges."""
    pytest.importorskip("aiohttp")
    (tmp_path / "web").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_web_server(web: str, make_image: Callable[..., Path], make_old: Callable[..., None], tmp_path: Path) -> None:
    root = tmp_path / "web"
    make_image(root / "images/a.png", 10, 20)
    make_image(root / "images/deep/b.bmp", 300, 400)
    (root / "sizes.csv").write_text("H,W\n1,2\n")
    write_tar(root / "0.tar", [("a.png", (root / "images/a.png").read_bytes())])
    for name in ("sizes.csv", "0.tar"):
        make_old(root / name)
    for path, values in (
        ("images", [[10, 20], [300, 400]]),
        ("sizes.csv", [[1, 2]]),
        ("{0..0}.tar", [[10, 20]]),
    ):
        dataset, cache = DatasetSpec(path=f"{web}/{path}"), tmp_path / f"{len(path)}.cache"
        assert scan(dataset, cache).values.tolist() == values
        assert watch(dataset, cache)
    (root / "images/a.png").touch()
    assert not watch(DatasetSpec(path=f"{web}/images"), tmp_path / "6.cache")


def test_a_url_of_this_machine_is_a_path(make_image: Callable[..., Path], tmp_path: Path) -> None:
    make_image(tmp_path / "images/a.png", 10, 20)
    dataset = DatasetSpec(path=f"file://{tmp_path}/images")
    assert scan(dataset, tmp_path / "scan.cache").values.tolist() == [[10, 20]]
    assert watch(dataset, tmp_path / "scan.cache")


def test_what_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with pytest.raises(DatasetError, match=r"scaling-tasks\[s3\]"):
        scan(DatasetSpec(path="s3://bucket/images"), tmp_path / "scan.cache")


def test_unknown_protocols_are_told(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be used"):
        scan(DatasetSpec(path="nowhere://bucket/images"), tmp_path / "scan.cache")


def test_credentials_do_not_belong_in_a_configuration() -> None:
    with pytest.raises(ConfigError, match="credentials"):
        parse_target({"model": "m.onnx", "dataset": "https://me:secret@host/images"})


def test_a_file_that_cannot_be_read_is_counted_and_read_again(
    bucket: Path, make_image: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(bucket, make_image)
    dataset, cache = DatasetSpec(path=f"s3://{bucket.name}/images"), tmp_path / "scan.cache"
    with monkeypatch.context() as broken:
        broken.setattr(remote_images.Remote, "beginnings", lambda own, paths, sizes: [None] * len(paths))
        with pytest.raises(DatasetError, match="no image"):
            scan(dataset, cache)
    assert not watch(dataset, cache)
    assert scan(dataset, cache).values.tolist() == [[10, 20], [40, 30]]
    assert watch(dataset, cache)


PLANNED = """
input_shape: {{x: [1, 3, -1, -1]}}
dataset: {{path: "s3://{bucket}/{path}", preprocessing: none}}
auto_scaling: {{max_scaling_num: 2, interval: 8}}
"""


def test_a_build_with_data_in_a_bucket(bucket: Path, make_image: Callable[..., Path], tmp_path: Path) -> None:
    repository = Repository(tmp_path / "repository")
    (bucket / "shards").mkdir()
    for name, path in (("one", "images"), ("two", "shards/{0..1}.tar")):
        (repository.root / f"configs/{name}.yaml").write_text(PLANNED.format(bucket=bucket.name, path=path))
    for number in range(2):
        image = make_image(bucket / f"images/{number}.png", 16, 24)
        write_tar(bucket / f"shards/{number}.tar", [("0.png", image.read_bytes())])
    run = repository.doit()
    assert run.ok, run.output
    assert repository.doit().executed == []
    image = make_image(bucket / "images/1.png", 64, 40)
    write_tar(bucket / "shards/1.tar", [("0.png", image.read_bytes())])
    changed = {f"{stage}:{name}" for stage in ("scan", "statistics", "buckets") for name in ("one", "two")}
    assert changed <= set(repository.doit().executed)
    for name in ("one", "two"):
        plan = json.loads((repository.root / f"build/{name}/buckets.json").read_bytes())
        assert plan["buckets"] == [[16, 24], [64, 40]]
