"""Compilers share the cores: threads of one compiler times compilers at once is no more than there are."""

from __future__ import annotations

import os

import pytest

from scaling_tasks.config.environment import environment_settings, job_threads
from scaling_tasks.doit_plugin.doit_internals import jobs_asked_for
from scaling_tasks.errors import ConfigError
from tests.doit_plugin.repository import Repository


@pytest.mark.parametrize(
    ("arguments", "jobs"),
    [
        ([], 1),
        (["-n", "4"], 4),
        (["run", "-n4", "--continue"], 4),
        (["--process=3", "bundle"], 3),
        (["--process", "2"], 2),
        (["-n", "0"], 1),
        (["list", "--all"], 1),
        (["bundle:net", "-n"], 1),
    ],
)
def test_the_number_of_jobs_is_read_from_the_command_line(arguments: list[str], jobs: int) -> None:
    assert jobs_asked_for(arguments) == jobs


def test_threads_times_jobs_is_at_most_the_cores() -> None:
    cores = os.cpu_count() or 1
    for jobs in (1, 2, cores, 10 * cores):
        threads = job_threads({"SCALING_TASKS_JOBS": str(jobs)})
        assert threads >= 1
        assert threads * jobs <= max(cores, jobs)


def test_a_wrong_number_of_jobs_is_refused() -> None:
    with pytest.raises(ConfigError, match="SCALING_TASKS_JOBS"):
        environment_settings({"SCALING_TASKS_JOBS": "many"})


def test_the_command_that_runs_a_failed_unit_again_names_its_share(repository: Repository) -> None:
    repository.install_fussy_backend()
    repository.write_target(sizes=[(2, 2), (32, 64)], backend="fussy")
    run = repository.doit("-n", "2")
    share = max(1, (os.cpu_count() or 1) // 2)
    assert f"SCALING_TASKS_THREADS={share} " in run.output
