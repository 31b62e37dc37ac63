"""Planning here, compiling where CANN is: the exported script."""

from __future__ import annotations

import json
import subprocess

from tests.doit_plugin.repository import Repository

ATC = """
model: models/net.onnx
input_shape: {x: [1, 3, -1, -1]}
dataset: datasets/images
auto_scaling: {max_scaling_num: 2, interval: 8}
compile: {backend: atc, soc_version: Ascend910B1}
"""


def test_commands_are_exported_once_planned(repository: Repository) -> None:
    (repository.root / "configs/npu.yaml").write_text(ATC)
    early = repository.doit("export_commands")
    assert early.status == 1
    assert "units.json" in early.output
    assert repository.doit("buckets:npu").ok
    done = repository.doit("export_commands", "--json")
    assert done.ok, done.output
    script = repository.root / json.loads(done.output)["scripts"]["npu"]
    text = script.read_text()
    assert "--soc_version=Ascend910B1" in text
    assert "--dynamic_dims=" in text
    assert str(repository.root) not in text
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0
    # On a machine without CANN the script says what is missing and leaves nothing behind.
    run = subprocess.run([script], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}, check=False)
    assert run.returncode == 1
    assert "atc was not found" in run.stderr


def test_only_atc_targets_have_commands(repository: Repository) -> None:
    run = repository.doit("export_commands", "net")
    assert run.status == 1
    assert "only targets of the backend 'atc'" in run.output
    assert repository.doit("export_commands", "absent").status == 2


ATC_STAND_IN = """#!/bin/sh
for argument in "$@"; do case "$argument" in --output=*) output=${argument#--output=};; esac; done
{ printf IMOD; head -c 300 /dev/zero; } > "$output.om"
"""


def test_results_of_another_machine_are_adopted(repository: Repository) -> None:
    # The stand-in proves the way there and back; that real commands compile is for a machine with CANN to show.
    config = repository.root / "configs/npu.yaml"
    config.write_text(ATC)
    (repository.root / "configs/net.yaml").unlink()
    assert repository.doit("buckets:npu").ok
    assert repository.doit("export_commands").ok
    tools = repository.root / "tools"
    tools.mkdir()
    (tools / "atc").write_text(ATC_STAND_IN)
    (tools / "atc").chmod(0o755)
    script = repository.root / "build/npu/compile.sh"
    subprocess.run([script], env={"PATH": f"{tools}:/usr/bin:/bin"}, check=True)
    config.write_text(ATC.replace("Ascend910B1}", "Ascend910B1, options: {adopt: build/npu/results}}"))
    run = repository.doit()
    assert run.ok, run.output
    assert "not compared with the original model" in run.output
    manifest = json.loads((repository.root / "build/npu/manifest.json").read_text())
    assert [artefact["stem"] for artefact in manifest["artefacts"]] == ["net_dynamic_hw"]
    assert repository.doit().executed == []
