"""Environment variables that adjust a run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import scaling_tasks
from scaling_tasks.config.environment import (
    EnvironmentSettings,
    environment_settings,
    parse_executor,
    parse_size,
    store_secret,
    unknown_variables,
)
from scaling_tasks.errors import ConfigError
from scaling_tasks.store.open_remote import open_remote


def test_nothing_set_means_the_defaults() -> None:
    assert environment_settings({}) == EnvironmentSettings()


def test_every_knob_is_read() -> None:
    found = environment_settings(
        {
            "SCALING_TASKS_LOCKED": "yes",
            "SCALING_TASKS_STORE": "/cache/store",
            "SCALING_TASKS_STORE_SIZE": "2GiB",
            "SCALING_TASKS_JUNIT": "out/junit.xml",
            "SCALING_TASKS_SUMMARY": "mine.md",
            "GITHUB_STEP_SUMMARY": "theirs.md",
            "SCALING_TASKS_PROGRESS": "plain",
            "SCALING_TASKS_EXECUTOR": "dask://farm:8786",
        }
    )
    assert found.locked
    assert found.store == Path("/cache/store")
    assert found.store_size == 2 * 2**30
    assert found.junit == Path("out/junit.xml")
    assert found.summary == Path("mine.md")
    assert found.progress == "plain"
    assert found.executor == "tcp://farm:8786"


def test_no_variable_that_is_read_anywhere_is_unknown() -> None:
    texts = [path.read_text() for path in Path(scaling_tasks.__file__).parent.rglob("*.py")]
    used = {name for text in texts for name in re.findall(r"\bSCALING_TASKS_[A-Z_]*[A-Z]\b", text)}
    assert {"SCALING_TASKS_THREADS", "SCALING_TASKS_WORKER_SIZE", "SCALING_TASKS_LOCKED"} <= used
    assert unknown_variables(dict.fromkeys(used, "")) == {}


def test_a_variable_that_nobody_reads_is_told_with_the_nearest() -> None:
    names = ["SCALING_TASKS_STOER_KEY", "SCALING_TASKS_QQQ", "SCALING_TASKS_STORE", "SCALING_TASKS_TEST_X", "PATH"]
    found = unknown_variables(dict.fromkeys(names, ""))
    assert found == {"SCALING_TASKS_QQQ": None, "SCALING_TASKS_STOER_KEY": "SCALING_TASKS_STORE_KEY"}


def test_the_summary_goes_where_the_ci_system_points() -> None:
    assert environment_settings({"GITHUB_STEP_SUMMARY": "theirs.md"}).summary == Path("theirs.md")


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("500M", 500_000_000), ("2g", 2_000_000_000), ("1.5GiB", 3 * 2**29), ("10 kB", 10_000)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, where="here") == size


@pytest.mark.parametrize("text", ["", "much", "-1", "1X", "1.G", "i", "1i"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="here"):
        parse_size(text, where="here")


@pytest.mark.parametrize(("name", "value"), [("LOCKED", "perhaps"), ("PROGRESS", "fancy"), ("STORE_SIZE", "big")])
def test_a_wrong_value_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"SCALING_TASKS_{name}"):
        environment_settings({f"SCALING_TASKS_{name}": value})


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        ("local", "local"),
        ("dask://farm:8786", "tcp://farm:8786"),
        ("tls://10.0.0.1:8786/", "tls://10.0.0.1:8786"),
        ("dask://[::1]:8786", "tcp://[::1]:8786"),
    ],
)
def test_executors(text: str, address: str | None) -> None:
    assert parse_executor(text, where="here") == address


@pytest.mark.parametrize("text", ["farm:8786", "dask://farm", "http://farm:1", "dask://me:secret@farm:1", "remote"])
def test_executors_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="here"):
        parse_executor(text, where="here")


def test_a_remote_store_is_read_and_its_address_is_not_shown() -> None:
    found = environment_settings(
        {
            "SCALING_TASKS_REMOTE_STORE": "https://user:hunter2@host/models",
            "SCALING_TASKS_REMOTE_STORE_MODE": "read-only",
            "SCALING_TASKS_REMOTE_STORE_PATIENCE": "0.5",
        }
    )
    assert found.remote_store == "https://user:hunter2@host/models"
    assert (found.remote_store_mode, found.remote_store_patience) == ("read-only", 0.5)
    assert "hunter2" not in repr(found)


def test_the_key_of_a_store_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"0123456789abcdef\n")
    assert store_secret({}) is None
    assert store_secret({"SCALING_TASKS_STORE_KEY": "fedcba9876543210"}) == b"fedcba9876543210"
    assert store_secret({"SCALING_TASKS_STORE_KEY_FILE": str(tmp_path / "key")}) == b"0123456789abcdef"
    with pytest.raises(ConfigError, match=r"SCALING_TASKS_STORE_KEY_FILE: .* cannot be read .*\. Name a file"):
        store_secret({"SCALING_TASKS_STORE_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(ConfigError) as short:
        store_secret({"SCALING_TASKS_STORE_KEY": "hunter2"})
    assert "hunter2" not in str(short.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JOBS", "\u00b2"),
        ("JOBS", "1" * 5000),
        ("STORE_SIZE", "9" * 400 + "T"),
        ("STORE_SIZE", "\u0663G"),
        ("PROGRESS", "x" * 100_000),
        ("EXECUTOR", "x\x1b[31m" * 1000),
    ],
)
def test_values_that_are_nearly_numbers_or_without_end_are_told_in_one_line(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as raised:
        environment_settings({f"SCALING_TASKS_{name}": value})
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()


def test_a_key_may_hold_bytes_that_are_no_text() -> None:
    assert store_secret({"SCALING_TASKS_STORE_KEY": "\udcff" * 20}) == b"\xff" * 20


def test_an_address_that_cannot_be_taken_apart_is_none() -> None:
    with pytest.raises(ConfigError, match="is no address of a store"):
        open_remote("http://[::1/cache")
