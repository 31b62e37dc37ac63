"""Options of a target, each through real doit to what it changes in the end."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import scaling_tasks as st
from scaling_tasks.compilers.conformance_models import image_case, transformer_case
from scaling_tasks.errors import BundleError, ConfigError
from tests.analysis.drafts import Draft
from tests.doit_plugin.repository import Repository

NET = """
model: models/net.onnx
input_shape: {x: [1, 3, -1, -1]}
dataset: datasets/images
auto_scaling: {max_scaling_num: 2, interval: 8}
compile: {backend: onnxruntime}
"""


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def configure(repository: Repository, more: str, text: str = NET) -> None:
    (repository.root / "configs/net.yaml").write_text(text + more)


def document(path: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(path.read_text())
    return loaded


def image(height: int, width: int) -> dict[str, np.ndarray]:
    return {"x": np.random.default_rng(0).random((1, 3, height, width), dtype=np.float32)}


def test_larger_inputs_fall_back_to_the_original_model(repository: Repository) -> None:
    configure(repository, "runtime: {oversize: fallback}\n")
    run = repository.doit()
    assert run.ok, run.output
    with st.load_bundle(repository.root / "build/net") as model:
        assert model.run(image(100, 200))["y"].shape == (1, 4, 100, 200)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_original_of_larger_inputs_has_what_an_input_always_is(repository: Repository, backend: str) -> None:
    """It waited for that input, which requests do not have: each of them failed."""
    ends = [helper.make_tensor_value_info(name, 1, dims) for name, dims in (("x", ["L"]), ("by", [1]), ("y", [1]))]
    nodes = [helper.make_node("Mul", ["x", "by"], ["scaled"]), helper.make_node("ReduceSum", ["scaled"], ["y"])]
    graph = helper.make_graph(nodes, "summed", ends[:2], ends[2:])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(proto, repository.root / "models/net.onnx")
    text = "model: models/net.onnx\ninputs: {by: 2}\nauto_scaling: {strategy: explicit, buckets: [{L: 8}]}\n"
    configure(repository, f"compile: {{backend: {backend}}}\nruntime: {{oversize: fallback}}\n", text)
    run = repository.doit()
    assert run.ok, run.output
    with st.load_bundle(repository.root / "build/net") as model:
        for length in (5, 100):
            np.testing.assert_array_equal(model.run({"x": np.ones(length, np.float32)})["y"], [2.0 * length])


def test_an_engine_that_does_not_take_the_original_serves_nothing_by_it(repository: Repository) -> None:
    """It was green, and each larger request failed."""
    from benchmarks.zoo.registry import zoo_model

    onnx.save(zoo_model("pad_modes").build(), str(repository.root / "models/net.onnx"))
    text = (
        "model: models/net.onnx\nauto_scaling: {strategy: explicit, buckets: [{N: 1, H: 16, W: 16}]}\n"
        "compile: {backend: openvino}\n"
    )
    configure(repository, "runtime: {oversize: fallback}\n", text)
    run = repository.doit()
    assert not run.ok
    assert "openvino does not take the original model, which is to serve what no bucket contains" in run.output
    configure(repository, "", text)
    assert repository.doit().ok


def test_larger_inputs_are_an_error_by_default(repository: Repository) -> None:
    configure(repository, "")
    assert repository.doit().ok
    with st.load_bundle(repository.root / "build/net") as model:
        with pytest.raises(BundleError, match="no bucket contains"):
            model.run(image(100, 200))
        assert model.run(image(9, 9))["y"].shape == (1, 4, 9, 9)


def test_padding_is_reported_and_gates_where_asked(repository: Repository) -> None:
    configure(repository, "verify: {compare_padding: true}\nruntime: {padding: accept}\n")
    assert repository.doit().ok
    # A convolution that keeps the size sees the padding beyond the edge as it sees its own: zeros change nothing.
    found = document(next((repository.root / ".scaling/targets").glob("*/padding.json")))
    assert found["changed"] == {}
    assert found["recommended"] == "zero"
    assert "What padding does to answers" in (repository.root / "build/net/report.html").read_text()
    configure(repository, "verify: {padding_tolerance: 0.001}\nruntime: {padding: {x: {mode: constant, value: 1}}}\n")
    run = repository.doit()
    assert not run.ok
    assert "padding:net failed" in run.output
    assert "padding changes output 'y'" in run.output
    assert run.compiled == []


def test_padding_is_judged_on_samples_where_there_are_any(repository: Repository) -> None:
    configure(repository, "verify: {compare_padding: true, samples: samples}\nruntime: {padding: accept}\n")
    missing = repository.doit()
    assert not missing.ok
    assert "'samples' is not there" in missing.output
    samples = repository.root / "samples"
    samples.mkdir()
    # One that is padded, and one that no bucket holds.
    for name, size in (("small", (15, 23)), ("huge", (900, 900))):
        np.savez(samples / f"{name}.npz", **image(*size))
    assert repository.doit().ok
    path = next((repository.root / ".scaling/targets").glob("*/padding.json"))
    probes = [probe for probe in document(path)["probes"] if probe["inputs"] == "samples"]  # type: ignore[attr-defined]
    assert [probe["sizes"] for probe in probes] == [{"H": 15, "W": 23}]
    assert document(path)["recommended"] == "zero"
    assert "zero, recommended" in (repository.root / "build/net/report.html").read_text()
    assert repository.doit().executed == []
    (samples / "gone").symlink_to("nowhere")  # What is no file is no sample.
    assert repository.doit().ok
    (samples / "small.npz").unlink()
    assert "no bucket pads a sample in 'samples', of 1" in repository.doit().output
    np.savez(samples / "small.npz", y=np.zeros((1, 3, 8, 8), np.float32))
    wrong = repository.doit()
    assert "small.npz" in wrong.output
    assert "'x'" in wrong.output
    (samples / "small.npz").write_bytes(b"nonsense")
    assert "small.npz: is no .npz file of plain arrays" in repository.doit().output


def test_samples_that_are_not_there_are_missed_after_a_build_without(repository: Repository) -> None:
    configure(repository, "")
    assert repository.doit().ok
    configure(repository, "verify: {samples: nowhere}\nruntime: {padding: accept}\n")
    run = repository.doit()
    assert not run.ok
    assert "'nowhere' is not there" in run.output


def test_a_report_shows_nothing_of_stages_that_the_target_has_no_longer(repository: Repository) -> None:
    configure(repository, "verify: {compare_padding: true}\nruntime: {padding: accept}\n")
    assert repository.doit().ok
    report = repository.root / "build/net/report.html"
    assert "Padding policies" in report.read_text()
    configure(repository, "", NET.replace("compile: {backend: onnxruntime}\n", ""))
    run = repository.doit()
    assert run.ok, run.output
    assert "Padding policies" not in report.read_text()


METRIC = """
import numpy as np


def mean_brightness(run, dataset):
    sizes = [tuple(map(int, line.split())) for line in dataset.read_text().splitlines()]
    answers = run([{"x": np.full((1, 3, *size), SHADE, np.float32)} for size in sizes])
    return float(np.mean([answer["y"].shape[2] for answer in answers])) / DIVISOR
"""


def test_the_task_metric_gates(repository: Repository) -> None:
    (repository.root / "labels.txt").write_text("9 9\n16 24\n")
    (repository.root / "score.py").write_text(METRIC.replace("SHADE", "1.0").replace("DIVISOR", "16"))
    configure(repository, "verify: {metric: score:mean_brightness, dataset: labels.txt, drop: 0.0}\n")
    run = repository.doit()
    assert run.ok, run.output
    found = document(next((repository.root / ".scaling/targets").glob("*/metric.json")))
    assert found["buckets"] == found["exact"] == pytest.approx(12.5 / 16)
    assert repository.doit().executed == []
    (repository.root / "score.py").write_text(METRIC.replace("SHADE", "1.0").replace("DIVISOR", "0"))
    failed = repository.doit()
    assert not failed.ok
    assert "the metric failed (ZeroDivisionError" in failed.output


def test_measured_costs_plan_the_next_run_and_settle(repository: Repository) -> None:
    configure(repository, "", NET.replace("interval: 8", "interval: 8, cost: measured"))
    first = repository.doit()
    assert first.ok, first.output
    assert "nothing is measured yet" in first.output
    table = repository.root / "build/net/latency.json"
    assert len(document(table)["shapes"]) == 2  # type: ignore[arg-type]
    for _ in range(4):
        run = repository.doit()
        assert run.ok, run.output
        if not run.executed:
            break
    assert run.executed == []
    assert document(repository.root / "build/net/buckets.json")["cost"]["kind"] == "measured"  # type: ignore[index]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_is_measured_of_a_cleaned_model_is_told_its_sizes(repository: Repository, backend: str) -> None:
    shutil.copy(image_case(repository.root).model, repository.root / "models/net.onnx")
    shapes = "strategy: explicit, buckets: [{N: 1, W: 32}, {N: 2, W: 64}], cost: measured"
    configure(repository, "", f"model: models/net.onnx\nauto_scaling: {{{shapes}}}\ncompile: {{backend: {backend}}}\n")
    run = repository.doit()
    assert run.ok, run.output
    assert "exact (cleaned)" in run.output
    assert len(document(repository.root / "build/net/latency.json")["shapes"]) == 2  # type: ignore[arg-type]


def test_pieces_of_what_padding_is_cleaned_in_make_no_whole_unless_that_is_accepted(repository: Repository) -> None:
    """A mean over a piece is not that of the whole: the build was green, and answers were off by as much."""
    shutil.copy(image_case(repository.root).model, repository.root / "models/net.onnx")
    text = (
        "model: models/net.onnx\nauto_scaling: {strategy: explicit, buckets: [{N: 1, W: 32}]}\n"
        "compile: {backend: onnxruntime}\n"
    )
    configure(repository, "runtime: {oversize: split}\n", text)
    for run in (repository.doit("check"), repository.doit()):
        assert not run.ok
        assert "split cannot join answers: output 'y' at one position of W depends on others" in run.output
        assert run.compiled == []
    configure(repository, "runtime: {oversize: split, padding: accept}\n", text)
    run = repository.doit()
    assert run.ok, run.output
    with st.load_bundle(repository.root / "build/net") as model:
        assert model.run({"x": np.ones((1, 3, 16, 40), np.float32)})["y"].shape == (1, 8, 16, 40)


SUMS = '<ir_version: 8, opset_import: ["": 17]> g (float[T,4] x) => (float[T,4] y) <int64 axis = {0}> { BODY }'
CAUSAL = "y = CumSum (x, axis)"
NUMBERED = """
one = Constant <value_ints = [1]> ()
step = Constant <value_int = 1> ()
shape = Shape (x)
length = Gather (shape, axis)
numbers = Range (axis, length, step)
column = Unsqueeze (numbers, one)
floats = Cast <to = 1> (column)
y = Add (x, floats)
"""
ALONE = "y = Sigmoid (x)"


@pytest.mark.parametrize("body", [CAUSAL, NUMBERED, ALONE])
def test_requests_are_cut_where_each_position_is_answered_by_itself(repository: Repository, body: str) -> None:
    """Padding changes none of them, but a piece does not know what came before it, nor where it begins."""
    onnx.save(onnx.parser.parse_model(SUMS.replace("BODY", body)), str(repository.root / "models/net.onnx"))
    text = (
        "model: models/net.onnx\nauto_scaling: {strategy: explicit, buckets: [{T: 8}]}\n"
        "compile: {backend: onnxruntime}\nruntime: {oversize: split}\n"
    )
    configure(repository, "", text)
    run = repository.doit()
    if body == ALONE:
        assert run.ok, run.output
        whole = np.random.default_rng(0).random((21, 4), dtype=np.float32)
        with st.load_bundle(repository.root / "build/net") as model:
            np.testing.assert_allclose(model.run({"x": whole})["y"], 1 / (1 + np.exp(-whole)), rtol=1e-5)
    else:
        assert not run.ok
        assert "split cannot join answers: output 'y' at one position of T depends on others" in run.output
        assert run.compiled == []


def test_fixed_and_ranged_variables_without_data(repository: Repository) -> None:
    shutil.copy(transformer_case(repository.root).model, repository.root / "models/net.onnx")
    ranges = "{shape_bucket_range_info: {seq: [1, 100]}, shape_bucket_segments_count: 4, shape_bucket_fix_var_map: MAP}"
    text = f"model: models/net.onnx\ncompile: {{backend: onnxruntime}}\nshape_bucket: {ranges}\n"
    configure(repository, "", text.replace("MAP", "{batch: 3}"))
    run = repository.doit()
    assert run.ok, run.output
    with st.load_bundle(repository.root / "build/net") as model:
        assert sorted(bucket["seq"] for bucket in model.buckets) == [1, 25, 49, 100]
    configure(repository, "", text.replace("MAP", "{bach: 3}"))
    wrong = repository.doit()
    assert not wrong.ok
    assert "Did you mean 'batch'?" in wrong.output


def test_lengths_of_sentences_are_not_padded_in_the_batch(repository: Repository) -> None:
    shutil.copy(transformer_case(repository.root).model, repository.root / "models/net.onnx")
    (repository.root / "lengths.csv").write_text("seq\n5\n17\n30\n30\n")
    configure(repository, "", "model: models/net.onnx\ndataset: lengths.csv\nauto_scaling: {interval: 16}\n")
    run = repository.doit()
    assert run.ok, run.output
    plan = st.BucketPlan.from_json((repository.root / "build/net/buckets.json").read_text())
    assert plan.variables == ("batch", "seq")
    assert plan.buckets.tolist() == [[1, 16], [1, 32]]
    assert not list((repository.root / "build/net").glob("*.onnx"))


def test_a_plan_without_building(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(repository, "")
    planned = st.plan_target(repository.root / "configs/net.yaml")
    monkeypatch.chdir(repository.root)
    assert st.plan_target("configs/net.yaml").to_json() == planned.to_json()
    assert not (repository.root / "build").exists()
    assert repository.doit("buckets").ok
    assert (repository.root / "build/net/buckets.json").read_text() == planned.to_json()


def test_half_a_metric_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"verify\.dataset"):
        st.plan_target({"model": "m.onnx", "verify": {"metric": "a:b"}})


def test_importing_the_package_loads_nothing_heavy() -> None:
    import subprocess

    probe = "import sys, scaling_tasks; assert not {'numpy', 'onnx', 'doit'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


def test_what_the_planner_says_names_the_configuration_s_key(repository: Repository) -> None:
    configure(repository, "", NET.replace("interval: 8", "interval: 8, strategy: quantiles, bucket_price: 1"))
    run = repository.doit()
    assert "configs/net.yaml: auto_scaling.bucket_price: the strategy 'quantiles' does not mind it" in run.output


def test_rows_that_are_rounded_as_sizes_are_told(repository: Repository) -> None:
    """Requests of one row were padded to 32, and nothing said why."""
    (repository.root / "datasets/sizes.csv").write_text("rows,T\n1,9\n3,20\n")
    draft = Draft()
    onnx.save(draft.model(draft.add("Relu", [draft.input("x", ["rows", "T"])])), repository.root / "models/net.onnx")
    text = "model: models/net.onnx\ndataset: datasets/sizes.csv\n"
    configure(repository, "compile: {backend: onnxruntime}\n", text)
    said = "'rows' counts rows, and its sizes are multiples of 32 as others are: called batch in input_shape"
    assert said in repository.doit("buckets:net").output
    configure(repository, "auto_scaling: {interval: 1}\ncompile: {backend: onnxruntime}\n", text)
    assert "counts rows" not in repository.doit("buckets:net").output
