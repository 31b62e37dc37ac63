"""A store behind HTTPS, with an authority of one's own: taken where it is named, told once where it is not."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.doit_plugin.repository import Repository, Run
from tests.store.services import MissingPartError, Nginx, running, start_nginx

PASSWORD = "open-sesame-4711"
ONLY_BUILDERS = 'auth_basic "builders"; auth_basic_user_file {users};'


@dataclass
class Authority:
    """A certificate authority, and a certificate of it for loopback."""

    root: Path

    def __post_init__(self) -> None:
        new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        own = ["-subj", "/CN=an authority of tests", "-keyout", "ca.key", "-out", "ca.pem"]
        self._openssl(*new, *own)
        served = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "own.key"]
        # An end's certificate: one that may sign others is refused by strict readers.
        served += ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", "ca.pem", "-CAkey", "ca.key"]
        self._openssl(*new, *served, "-out", "own.pem")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.root, check=True, capture_output=True)

    @property
    def certificate(self) -> tuple[Path, Path]:
        return self.root / "own.pem", self.root / "own.key"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def _without_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom the machine believes in that the tests run on."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(authority: Authority, tmp_path: Path) -> Iterator[Nginx]:
    (tmp_path / "users").write_text(f"builder:{{PLAIN}}{PASSWORD}\n")
    (tmp_path / "users").chmod(0o644)
    try:
        nginx = start_nginx(
            tmp_path / "nginx",
            certificate=authority.certificate,
            more=ONLY_BUILDERS.format(users=tmp_path / "users"),
        )
    except MissingPartError as missing:
        pytest.skip(str(missing))
    with running(nginx.process):
        yield nginx


def build(root: Path, url: str, **environment: str) -> tuple[Run, Repository]:
    made = Repository(root)
    made.write_target(sizes=[(16, 24)])
    more = {"SCALING_TASKS_REMOTE_STORE": url, "SCALING_TASKS_REMOTE_STORE_PATIENCE": "20", **environment}
    return made.doit(environment=more), made


def warnings(run: Run) -> list[str]:
    return re.findall(r"^warning: .*$", run.output, re.MULTILINE)


def with_password(nginx: Nginx) -> str:
    return nginx.url.replace("://", f"://builder:{PASSWORD}@")


def secret_is_kept(run: Run, repository: Repository) -> None:
    assert PASSWORD not in run.output
    for path in repository.root.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_authority_that_is_named_is_believed(
    variable: str, authority: Authority, served: Nginx, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login builder password {PASSWORD}\n")
    netrc.chmod(0o600)
    named = {variable: str(authority.root / "ca.pem")}
    first, repository = build(tmp_path / "first", with_password(served), **named)
    assert first.ok, first.output
    assert warnings(first) == []
    assert len(list((served.files / "ac").iterdir())) > 3
    secret_is_kept(first, repository)
    second, other = build(tmp_path / "second", served.url, NETRC=str(netrc), **named)
    assert second.ok, second.output
    assert (second.compiled, warnings(second)) == ([], [])
    secret_is_kept(second, other)


def test_one_that_nobody_named_is_one_sentence(served: Nginx, tmp_path: Path) -> None:
    run, repository = build(tmp_path / "repository", with_password(served))
    assert run.ok, run.output
    (told,) = warnings(run)
    assert f"the store {served.url} is left out from now on: its certificate is not accepted: " in told
    assert "unable to get local issuer certificate" in told
    secret_is_kept(run, repository)


def test_an_authority_that_is_not_there_is_one_sentence(served: Nginx, tmp_path: Path) -> None:
    run, repository = build(tmp_path / "repository", with_password(served), REQUESTS_CA_BUNDLE="/nowhere/ca.pem")
    assert run.ok, run.output
    (told,) = warnings(run)
    assert "/nowhere/ca.pem" in told
    secret_is_kept(run, repository)


def test_a_wrong_password_is_one_sentence_without_it(authority: Authority, served: Nginx, tmp_path: Path) -> None:
    url = with_password(served).replace("builder:", "nobody:")
    run, repository = build(tmp_path / "repository", url, SSL_CERT_FILE=str(authority.root / "ca.pem"))
    assert run.ok, run.output
    (told,) = warnings(run)
    assert "401" in told
    secret_is_kept(run, repository)
