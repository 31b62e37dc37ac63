"""A bundle appears whole, after it was checked, and stays what it was for whoever has loaded it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from scaling_tasks.actions.publication import publish_generation, while_it_stays
from scaling_tasks.errors import BundleError
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.held import hold
from tests.doit_plugin.repository import Repository


def generation(root: Path, number: int) -> dict[str, Path]:
    """Return the files of a generation, each saying which it is of."""
    place = root / f"made{number}"
    place.mkdir()
    for name in ("a", "b", "manifest.json"):
        (place / name).write_text(f"{number}")
    return {name: place / name for name in ("a", "b", "manifest.json")}


def publish(directory: Path, files: dict[str, Path]) -> None:
    publish_generation(directory, files, ["a", "b", "manifest.json"], last="manifest.json")


def test_a_failing_verification_keeps_the_last_good_bundle(built: Repository) -> None:
    bundle = built.root / "build/net"
    before = {path.name: path.read_bytes() for path in [*bundle.glob("*.onnx"), bundle / "manifest.json"]}
    built.write_model(seed=1)
    built.write_target(more=["verify: {absolute: 0, relative: 0}\n", ": {backend: openvino}\n"][0])
    config = built.root / "configs/net.yaml"
    config.write_text(config.read_text().replace("backend: onnxruntime", "backend: openvino"))
    run = built.doit("--continue")
    assert not run.ok
    assert "verify:net:" in run.output
    assert {name: (bundle / name).read_bytes() for name in before} == before
    with load_bundle(bundle) as model:
        model.run({"x": np.zeros((1, 3, 16, 24), np.float32)})


def test_what_an_earlier_plan_published_goes_though_its_record_was_lost(built: Repository) -> None:
    bundle = built.root / "build/net"
    (bundle / "notes.txt").write_text("mine")
    shutil.rmtree(built.root / ".scaling/targets")
    built.write_target(sizes=[(16, 24)])
    assert built.doit().ok
    assert [path.name for path in bundle.glob("*.onnx")] == ["net_N1_H16_W24.onnx"]
    assert (bundle / "notes.txt").read_text() == "mine"


def test_whatever_else_lies_in_the_directory_stays(tmp_path: Path) -> None:
    bundle = tmp_path / "net"
    publish(bundle, generation(tmp_path, 0))
    (bundle / "notes.txt").write_text("mine")
    (bundle / "results").mkdir()
    (bundle / "results/x").write_text("mine too")
    (bundle / "link").symlink_to("notes.txt")
    files = generation(tmp_path, 1)
    del files["b"]
    publish(bundle, files)
    assert {path.name for path in bundle.iterdir()} == {"a", "manifest.json", "notes.txt", "results", "link"}
    assert (bundle / "link").read_text() == "mine"
    assert (bundle / "results/x").read_text() == "mine too"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_is_put_into_a_bundle_waits_while_another_run_publishes_it(built: Repository) -> None:
    report = built.root / "build/net/report.html"
    report.unlink()
    command = [sys.executable, "-m", "doit", "report:net"]
    with while_it_stays(Path("build/net"), built.root / ".scaling"):
        run = subprocess.Popen(command, cwd=built.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(timeout=4)
        assert not report.exists()
    assert run.wait(timeout=300) == 0
    assert report.exists()


def test_who_holds_a_generation_keeps_it(tmp_path: Path) -> None:
    bundle = tmp_path / "net"
    publish(bundle, generation(tmp_path, 0))
    held = hold(bundle)
    for number in range(1, 4):
        publish(bundle, generation(tmp_path, number))
        assert (held / "a").read_text() == (held / "b").read_text() == "0"
    assert (bundle / "a").read_text() == "3"
    del held
    publish(bundle, generation(tmp_path, 4))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_directory_that_cannot_be_renamed_is_published_file_by_file(tmp_path: Path) -> None:
    bundle = tmp_path / "net"
    bundle.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(bundle)], capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system is not permitted here")
    try:
        for number in range(2):
            publish(bundle, generation(tmp_path, number))
            assert {path.name: path.read_text() for path in bundle.iterdir()} == dict.fromkeys(
                ("a", "b", "manifest.json"), str(number)
            )
    finally:
        subprocess.run(["umount", str(bundle)], check=True)


LOADS = """
import sys
from pathlib import Path
from scaling_tasks.runtime.held import hold
mixed = loads = 0
print("ready", flush=True)
while not Path(sys.argv[2]).exists():
    held = hold(Path(sys.argv[1]))
    said = {(held / name).read_text() for name in ("manifest.json", "a", "b", "a")}
    mixed += len(said) != 1
    loads += 1
print(mixed, loads)
"""


def test_a_hundred_publications_show_no_mixture(tmp_path: Path) -> None:
    bundle, stop = tmp_path / "net", tmp_path / "stop"
    publish(bundle, generation(tmp_path, 0))
    reader = subprocess.Popen([sys.executable, "-c", LOADS, bundle, stop], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "ready\n"
    for number in range(1, 101):
        publish(bundle, generation(tmp_path, number))
    stop.touch()
    mixed, loads = reader.communicate(timeout=60)[0].split()
    assert (int(mixed), int(loads) > 100) == (0, True)


def test_a_server_answers_through_rebuilds(built: Repository) -> None:
    """One server loads engines only when they are needed, long after its bundle was replaced; others load all along."""
    bundle = built.root / "build/net"
    sizes = [(16, 24), (24, 40), (32, 64)]
    server = load_bundle(bundle)
    x = [np.random.default_rng(1).random((1, 3, *size), dtype=np.float32) for size in sizes]
    first = server.run({"x": x[0]})["y"]
    failures: list[BaseException] = []
    over = threading.Event()

    def load_again_and_again() -> None:
        while not over.is_set():
            try:
                with load_bundle(bundle) as model:
                    model.run({"x": x[1]})
            except BundleError as error:
                failures.append(error)

    loader = threading.Thread(target=load_again_and_again)
    loader.start()
    try:
        for seed in (1, 2, 3):
            built.write_model(seed=seed)
            assert built.doit("-n", "2").ok
    finally:
        over.set()
        loader.join()
    assert failures == []
    built.write_model(seed=0)
    shutil.rmtree(built.root / ".scaling")
    assert built.doit("-n", "2").ok
    with server, load_bundle(bundle) as fresh:
        np.testing.assert_array_equal(server.run({"x": x[0]})["y"], first)
        for each in x[1:]:
            np.testing.assert_allclose(server.run({"x": each})["y"], fresh.run({"x": each})["y"], atol=1e-5)
    assert not list(bundle.glob(".*"))
