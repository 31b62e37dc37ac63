"""Each kind of remote store, on the real server: nginx, S3, a directory."""

from __future__ import annotations

import os
import pickle
import stat
from pathlib import Path

import pytest

from scaling_tasks.errors import ConfigError
from scaling_tasks.files import digest_bytes
from scaling_tasks.store.open_remote import open_remote
from scaling_tasks.store.remote import RemoteError, WrongContentError, shown_url
from tests.store.services import MissingPartError, Nginx, running, start_nginx

KEY = digest_bytes(b"an action")
CONTENT = os.urandom(700_000)
DIGEST = digest_bytes(CONTENT)


def test_what_was_put_is_found_and_nothing_else(remote_url: str, tmp_path: Path):
    remote = open_remote(remote_url)
    assert remote.record(KEY) is None
    assert remote.missing([DIGEST, KEY]) == {DIGEST, KEY}
    assert remote.fetch(DIGEST, tmp_path / "content", tmp_path) is False
    (tmp_path / "source").write_bytes(CONTENT)
    moved: list[int] = []
    with (tmp_path / "source").open("rb") as source:
        remote.upload(DIGEST, source, moved.append)
    assert sum(moved) == len(CONTENT)
    remote.upload(KEY, b"an action")
    remote.put_record(KEY, b"first")
    remote.put_record(KEY, b"second")
    other = pickle.loads(pickle.dumps(remote))  # As a worker elsewhere gets it.
    assert other.url == remote.url
    assert other.record(KEY) == b"second"
    assert other.missing([DIGEST, KEY]) == set()
    moved.clear()
    assert other.fetch(DIGEST, tmp_path / "below" / "content", tmp_path, moved.append)
    assert (tmp_path / "below/content").read_bytes() == CONTENT
    assert sum(moved) == len(CONTENT)


def test_an_empty_content_is_one(remote_url: str, tmp_path: Path):
    remote = open_remote(remote_url)
    (tmp_path / "source").write_bytes(b"")
    with (tmp_path / "source").open("rb") as source:
        remote.upload(digest_bytes(b""), source)
    assert remote.fetch(digest_bytes(b""), tmp_path / "content", tmp_path)
    assert (tmp_path / "content").read_bytes() == b""


@pytest.mark.parametrize("wrong", [b"evil" * 1000, CONTENT[:-1], b""])
def test_a_content_that_is_not_what_it_is_called_never_arrives(remote_url: str, tmp_path: Path, wrong: bytes):
    remote = open_remote(remote_url)
    remote.upload(DIGEST, wrong)
    with pytest.raises(WrongContentError):
        remote.fetch(DIGEST, tmp_path / "out/content", tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_fetched_nobody_else_may_change(tmp_path: Path):
    remote = open_remote(f"file://{tmp_path}/remote")
    remote.upload(DIGEST, CONTENT)
    before = os.umask(0)
    try:
        remote.fetch(DIGEST, tmp_path / "content", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "content").stat().st_mode) == 0o644


def test_a_directory_shows_no_half_written_file(tmp_path: Path):
    remote = open_remote(f"file://{tmp_path}/remote")
    remote.upload(DIGEST, CONTENT)
    remote.put_record(KEY, b"record")
    assert sorted(path.name for path in (tmp_path / "remote").rglob("*") if path.is_file()) == sorted([DIGEST, KEY])


def test_connections_are_kept_open(nginx: Nginx, tmp_path: Path):
    remote = open_remote(nginx.url)
    for _ in range(5):
        remote.record(KEY)
    remote.upload(KEY, b"an action")
    assert remote.missing([KEY]) == set()
    assert remote.fetch(KEY, tmp_path / "content", tmp_path)
    assert len(nginx.requests) == 8
    assert len({line.split()[-1] for line in nginx.requests}) == 1


def test_credentials_come_from_netrc_and_are_shown_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "users").write_text("builder:{PLAIN}correct-horse\n")
    try:
        nginx = start_nginx(tmp_path / "nginx", more=f'auth_basic "team"; auth_basic_user_file {tmp_path}/users;')
    except MissingPartError as missing:
        pytest.skip(str(missing))
    with running(nginx.process):
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login builder password wrong-horse\n")
        with pytest.raises(RemoteError, match="answers GET with 401") as refused:
            open_remote(nginx.url).record(KEY)
        assert "horse" not in str(refused.value)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login builder password correct-horse\n")
        open_remote(nginx.url).put_record(KEY, b"record")
        assert open_remote(nginx.url).record(KEY) == b"record"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host:8080/team?token=x", "https://host:8080/team"),
        ("s3://key:secret@bucket/prefix", "s3://bucket/prefix"),
        ("http://[", "(not an address)"),
    ],
)
def test_an_address_is_shown_without_secrets(url: str, shown: str):
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "'nonsense' is no address of a store"),
        ("https://", "'https://' is no address of a store"),
        ("https://:80/x", "https://:80/x: the address has no host"),
        (
            "gopher://user:secret@host/x",
            "gopher://host/x: there is no package here for addresses",
        ),
    ],
)
def test_an_address_that_is_none_is_one_clear_error(url: str, said: str):
    with pytest.raises(ConfigError) as error:
        open_remote(url)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_why_it_cannot_be_reached_is_told_in_plain_words(own_nginx: Nginx):
    own_nginx.kill()
    with pytest.raises(RemoteError, match="Connection refused") as error:
        open_remote(own_nginx.url.replace("http://", "http://user:secret@")).record(KEY)
    assert error.value.passing
    assert not error.value.reached
    assert "secret" not in str(error.value)
