"""What goes wrong is said once and clearly, and stops nothing else."""

from __future__ import annotations

from tests.doit_plugin.repository import Repository


def test_a_wrong_configuration_is_one_line(repository: Repository) -> None:
    repository.write_target(more="verfy: {}\n")
    run = repository.doit()
    assert run.status != 0
    assert "configs/net.yaml:" in run.output
    assert "Did you mean 'verify'?" in run.output
    assert "Traceback" not in run.output


def test_an_empty_data_set_fails_its_target_only(repository: Repository) -> None:
    (repository.root / "datasets/empty").mkdir()
    repository.write_target("broken")
    config = repository.root / "configs/broken.yaml"
    config.write_text(config.read_text().replace("datasets/images", "datasets/empty"))
    run = repository.doit("--continue")
    assert run.status != 0
    assert "scan:broken failed" in run.output
    assert "datasets/empty" in run.output
    assert "Traceback" not in run.output
    assert (repository.root / "build/net/manifest.json").exists()
    assert not (repository.root / "build/broken").exists()


def test_a_compiler_that_fails_stops_its_unit_only(repository: Repository) -> None:
    repository.install_fussy_backend()
    repository.write_target(sizes=[(2, 2), (32, 64)], backend="fussy")
    run = repository.doit("--continue")
    assert run.status != 0
    assert "compile:net:N1_H2_W2 failed" in run.output
    assert ".scaling/logs/net/N1_H2_W2.log" in run.output
    assert "Traceback" not in run.output
    made = {path.name for path in (repository.root / ".scaling/targets/net/artefacts").iterdir()}
    assert "net_N1_H32_W64.xml" in made
    assert "net_N1_H2_W2.xml" not in made
    assert not (repository.root / "build/net/manifest.json").exists()
    assert "verify:net:N1_H32_W64" in run.executed


def test_a_tolerance_that_is_not_met_fails_verification_only(repository: Repository) -> None:
    repository.write_target("exact", sizes=[(16, 24)], backend="openvino", more="verify: {absolute: 0, relative: 0}\n")
    run = repository.doit("--continue")
    assert run.status != 0
    assert "verify:exact:N1_H16_W24 failed" in run.output
    assert "raise verify.absolute or verify.relative" in run.output
    assert (repository.root / "build/net/manifest.json").exists()
    assert not (repository.root / "build/exact/manifest.json").exists()


def test_two_targets_of_one_name_are_refused(repository: Repository) -> None:
    repository.write_target("other", more="name: net\n")
    run = repository.doit("list")
    assert run.status != 0
    assert "is taken by configs/net.yaml" in run.output
