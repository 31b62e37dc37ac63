"""What a target's answers are worth is told before it is compiled, when it is built, and afterwards."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scaling_tasks.reporting.figures import difference, verdict
from scaling_tasks.reporting.summary import markdown_table, table
from scaling_tasks.shapes.behaviour import Behaviour, Verdict
from scaling_tasks.stages.verdict import way_out
from tests.doit_plugin.repository import Repository

ACCEPT = "runtime: {padding: accept}\n"


def write_model(repository: Repository, *nodes: onnx.NodeProto) -> None:
    """Replace the repository's model by one of the same inputs, from ``x`` to ``y``."""
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "h", "w"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, repository.root / "models/net.onnx")


def write_cleaned_model(repository: Repository) -> None:
    """Write two convolutions: what the first leaves beyond the exact size the second would read."""
    path = repository.root / "models/net.onnx"
    model = onnx.load(path)
    second = np.random.default_rng(1).standard_normal((4, 4, 3, 3)).astype(np.float32)
    del model.graph.node[1:]
    model.graph.node.append(helper.make_node("Conv", ["c", "w2"], ["y"], pads=[1, 1, 1, 1]))
    model.graph.initializer.append(numpy_helper.from_array(second, "w2"))
    onnx.save(model, path)


def write_refused_model(repository: Repository) -> None:
    write_model(repository, helper.make_node("Mystery", ["x"], ["y"], name="riddle", domain="somewhere"))


def verdict_cells(output: str) -> dict[str, str]:
    """Return the column ``verdict`` of the closing table by target."""
    lines = output.splitlines()
    at = next(index for index, line in enumerate(lines) if line.startswith("target "))
    start = lines[at].index("verdict")
    end = start + len(re.match(r"-+", lines[at + 1][start:]).group())  # type: ignore[union-attr]
    rows = (line for line in lines[at + 2 :] if "build/" in line or line.endswith("-"))
    return {line.split()[0]: line[start:end].strip() for line in rows}


def planned(repository: Repository) -> dict[str, str]:
    document: dict[str, Any] = json.loads(repository.doit("plan", "--json").output)
    return dict(document["verdicts"])


def test_plan_tells_the_verdict_before_anything_is_compiled(repository: Repository) -> None:
    write_cleaned_model(repository)
    run = repository.doit("plan")
    assert "verdict  net  exact by cleaning (1 place)" in run.output.splitlines()
    assert run.compiled == []
    assert planned(repository) == {"net": "exact by cleaning (1 place)"}


def test_a_model_that_padding_cannot_change_is_exact(repository: Repository) -> None:
    write_model(repository, helper.make_node("Relu", ["x"], ["y"]))
    assert planned(repository) == {"net": "exact"}
    assert verdict_cells(repository.doit().output) == {"net": "exact"}


def test_what_is_built_by_cleaning_says_so(repository: Repository) -> None:
    write_cleaned_model(repository)
    assert verdict_cells(repository.doit("-n", "2").output) == {"net": "exact (cleaned)"}
    assert verdict_cells(repository.doit().output) == {"net": "exact (cleaned)"}, "kept, not lost"
    assert planned(repository) == {"net": "exact by cleaning (1 place)"}
    report = (repository.root / "build/net/report.html").read_text()
    assert "<h2>Verdicts</h2>" in report
    assert "<td>y</td><td>W</td><td>exact (cleaned)</td>" in report
    tried = re.findall(r"<td>1 × \d+ × \d+</td><td>([^<]*)</td><td>([^<]*)</td><td>1 × \d+ × \d+</td>", report)
    assert len(tried) == 3
    assert all(float(own) < 1e-4 and float(smaller) < 1e-4 for own, smaller in tried)


def test_what_is_accepted_is_measured_and_the_exact_form_is_named(repository: Repository) -> None:
    write_cleaned_model(repository)
    repository.write_target(more=ACCEPT)
    hint = "approximate: accepted; exact by cleaning is possible: write `runtime: {padding: exact}`"
    assert planned(repository) == {"net": hint}
    run = repository.doit()
    assert run.ok, run.output
    assert re.search(rf"^\.  analysis:net  {re.escape(hint)}", run.output, re.MULTILINE)
    cell = verdict_cells(run.output)["net"]
    assert re.fullmatch(r"approximate \d\.\de[+-]\d\d", cell)
    assert f"largest change by padding {cell.split()[1]}" in run.output


def test_a_refusal_names_the_node_its_operator_and_what_to_do(repository: Repository) -> None:
    write_refused_model(repository)
    said = planned(repository)["net"]
    assert said.startswith("refused: Mystery 'riddle': ")
    assert (
        "Fix H, N and W with input_shape; accepting it is no way out, as the shape of output 'y' is not known." in said
    )
    run = repository.doit()
    assert not run.ok
    assert run.compiled == []
    assert verdict_cells(run.output) == {"net": "refused"}


@pytest.mark.parametrize("value", [1e300, float("inf"), float("nan")])
def test_no_figure_stands_for_what_cannot_be_compared(value: float) -> None:
    assert difference(value) == "not comparable"
    row = {"target": "net", "units": {}, "difference": value, "buckets": {"verdict": "approximate"}}
    row["padding"] = {"absolute": value}
    assert "approximate not comparable  not comparable" in table([row])
    assert "| approximate not comparable | not comparable |" in markdown_table([row])


def test_what_was_not_measured_has_no_figure() -> None:
    assert verdict({"buckets": {"verdict": "approximate"}}) == "approximate, not measured"
    assert verdict({"analysis": {"verdict": "refused"}}) == "refused"
    assert verdict({}) == "-"


def test_what_is_never_padded_stands_in_no_ones_way() -> None:
    refused = Verdict("y", "N", "refused", "riddle", "Mystery", "it is not known", "Export it otherwise.")
    behaviour = Behaviour({"y": None}, (refused, Verdict("y", "W", "cleaned")))
    assert behaviour.planned({"N": 1, "W": 64}).kind == "cleaned"
    assert behaviour.planned({"N": 2, "W": 64}).refusals == (refused,)


def test_what_is_refused_by_name_is_compiled_where_it_is_accepted(repository: Repository) -> None:
    """docs/exactness.md shows this refusal, and the way out of it."""
    nodes = (
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("TopK", ["flat", "k"], ["y", "at"], name="select_12", sorted=0),
    )
    fixed = [numpy_helper.from_array(np.array(each), name) for name, each in (("shape", [1, 3, -1]), ("k", [3]))]
    ends = [("x", TensorProto.FLOAT, [1, 3, "h", "w"]), ("y", TensorProto.FLOAT, [1, 3, 3])]
    given, answer = (helper.make_tensor_value_info(*end) for end in ends)
    graph = helper.make_graph(nodes, "net", [given], [answer], fixed)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, repository.root / "models/net.onnx")
    scaling = "auto_scaling: {max_scaling_num: 2, interval: 8}\ncompile: {backend: onnxruntime}\n"
    text = f"model: models/net.onnx\ndataset: datasets/images\n{scaling}"
    (repository.root / "configs/net.yaml").write_text(text)
    run = repository.doit()
    said = "padding H and W would change the answer 'y': TopK 'select_12': it gives its entries in no order."
    assert said in run.output
    assert "Fix H and W with input_shape, or accept it with `runtime: {padding: accept}`." in run.output
    (repository.root / "configs/net.yaml").write_text(text + ACCEPT)
    run = repository.doit()
    assert run.ok, run.output
    assert verdict_cells(run.output)["net"].startswith("approximate")


REFUSED = Verdict("y", "t", "refused", "riddle", "Mystery", "it is not known")


@pytest.mark.parametrize(
    ("outputs", "advice"),
    [
        ({"y": None, "i": None}, "Fix n and t with input_shape; accepting it is no way out"),
        ({"y": None, "i": None, "z": ()}, "Fix n and t with input_shape, or leave the outputs 'i' and 'y' out of"),
        ({"y": (), "i": ()}, "Fix n and t with input_shape, or accept it with `runtime: {padding: accept}`."),
    ],
)
def test_the_way_out_names_all_that_the_reason_is_about(outputs: dict[str, Any], advice: str) -> None:
    """`Fix n` was refused again, and to leave out the model's only outputs is no advice."""
    verdicts = [replace(REFUSED, output=output, variable=name) for output in ("i", "y") for name in ("n", "t")]
    assert way_out(Behaviour(outputs, tuple(verdicts))).startswith(advice)
