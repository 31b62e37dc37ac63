"""A remote store that is dead, dying, slow or silent: what it costs, counted in requests and warnings."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from scaling_tasks.store import connection as connection_module
from scaling_tasks.store.connection import Connection
from scaling_tasks.store.open_remote import open_remote
from scaling_tasks.store.patience import Patience
from scaling_tasks.store.remote_reader import RemoteReader
from scaling_tasks.store.remote_sender import Sender
from scaling_tasks.store.remote_store import RemoteStore, open_remote_store
from scaling_tasks.store.store import Store
from tests.store.faulty_server import FaultyServer, faulty_server
from tests.store.services import Nginx
from tests.store.test_remote_store import COMPONENTS, placed, put

ACTIONS = [{"n": number} for number in range(50)]
LATER = " Results are kept here; `doit store --send` sends them later."


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with faulty_server() as found:
        yield found


def opened(root: Path, url: str, patience: float = 60) -> Store:
    connection = Connection(open_remote(url), patience)
    reader = RemoteReader(connection, None)
    return Store(root, RemoteStore(connection, reader, Sender(connection, None, reader.damaged)))


def test_a_dead_store_costs_three_attempts_and_one_warning(own_nginx: Nginx, tmp_path: Path, told: list[str]):
    own_nginx.kill()
    store = opened(tmp_path / "one", own_nginx.url)
    store.look_up(ACTIONS)
    assert [store.get(components) for components in ACTIONS] == [None] * 50
    for components in ACTIONS[:3]:
        put(store, tmp_path / "made", components)
        assert placed(store, tmp_path / "out", components) is not None
    assert store.remote.connection.attempts == 3
    assert told == [f"warning: the store {own_nginx.url} is left out from now on: Connection refused.{LATER}"]


def test_a_dead_store_that_is_only_read_is_not_said_to_be_sent_to(own_nginx: Nginx, tmp_path: Path, told: list[str]):
    own_nginx.kill()
    store = Store(tmp_path, open_remote_store(own_nginx.url, writes=False, secret=None, patience=60))
    store.look_up(ACTIONS)
    assert told == [f"warning: the store {own_nginx.url} is left out from now on: Connection refused."]


def test_a_silent_store_costs_one_warning(own_nginx: Nginx, tmp_path: Path, told: list[str]):
    """It takes connections, and that is all it does."""
    own_nginx.stall()
    store = opened(tmp_path / "one", own_nginx.url, patience=0.3)
    store.look_up(ACTIONS)
    assert [store.get(components) for components in ACTIONS] == [None] * 50
    put(store, tmp_path / "made", ACTIONS[0])
    assert store.remote.connection.attempts == 1
    assert told == [f"warning: the store {own_nginx.url} is left out from now on: it is too slow.{LATER}"]


def test_a_store_that_dies_in_between_costs_one_warning(own_nginx: Nginx, tmp_path: Path, told: list[str]):
    for number in range(3):
        put(opened(tmp_path / "one", own_nginx.url), tmp_path / "made", {"n": number}, net=b"%d" % number)
    store = opened(tmp_path / "other", own_nginx.url)
    records = [store.get(components) for components in ACTIONS[:3]]
    store.place(records[0].files[0], tmp_path / "out", below=tmp_path)
    own_nginx.kill()
    store.expect(file for record in records for file in record.files)
    missing = [record for record in records if not store.here(record.files[0]).exists()]
    assert missing == records[1:]
    put(store, tmp_path / "made", {"n": 1}, net=b"1")
    assert placed(store, tmp_path / "again", {"n": 1}) == {"net": b"1"}
    assert len(told) == 1
    assert "is left out from now on: " in told[0]


def test_a_store_that_falls_silent_while_it_is_sent_to_ends_with_one_warning(
    own_nginx: Nginx, tmp_path: Path, told: list[str]
):
    store = opened(tmp_path / "one", own_nginx.url, patience=0.5)
    put(store, tmp_path / "made", {"n": 0})
    own_nginx.stall()
    for number in range(1, 9):
        put(store, tmp_path / "made", {"n": number}, net=b"%d" % number)
    store.remote.finish()
    assert told == [f"warning: the store {own_nginx.url} is left out from now on: it is too slow.{LATER}"]
    assert store.remote.pending == 0
    assert [store.get({"n": number}) is not None for number in range(9)] == [True] * 9
    own_nginx.resume()


def test_a_content_that_trickles_is_given_up(server: FaultyServer, tmp_path: Path, told: list[str]):
    put(opened(tmp_path / "one", server.url), tmp_path / "made")
    store = opened(tmp_path / "other", server.url, patience=0.3)
    record = store.get(COMPONENTS)
    server.trickle = 0.05
    assert not store.here(record.files[1]).exists()
    assert told == [f"warning: the store {server.url} is left out from now on: it is too slow.{LATER}"]


def test_slow_answers_add_up(server: FaultyServer, tmp_path: Path, told: list[str]):
    """None of them is too slow alone."""
    server.delay = 0.45
    store = opened(tmp_path / "one", server.url, patience=0.8)
    assert [store.get(components) for components in ACTIONS] == [None] * 50
    assert 1 < server.count("GET") < 10
    assert len(told) == 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_passing_fault_is_asked_again(server: FaultyServer, tmp_path: Path, told: list[str], status: int):
    put(opened(tmp_path / "one", server.url), tmp_path / "made")
    server.statuses, server.requests = [status] * 2, []
    store = opened(tmp_path / "other", server.url)
    assert store.get(COMPONENTS) is not None
    assert server.count("GET") == 3
    assert told == []


def test_a_lasting_fault_is_asked_three_times(server: FaultyServer, tmp_path: Path, told: list[str]):
    server.statuses = [503] * 100
    store = opened(tmp_path / "one", server.url)
    store.look_up(ACTIONS)
    assert server.count("GET") == 3
    assert len(told) == 1
    assert "it answers GET with 503" in told[0]


def test_a_refusal_is_not_asked_again(server: FaultyServer, tmp_path: Path, told: list[str]):
    server.statuses = [403] * 100
    store = opened(tmp_path / "one", server.url)
    store.look_up(ACTIONS)
    put(store, tmp_path / "made")
    assert server.count("") == 1
    assert len(told) == 1


def test_a_refusal_to_write_is_told_once_and_reading_goes_on(server: FaultyServer, tmp_path: Path, told: list[str]):
    store = opened(tmp_path / "one", server.url)
    assert store.get({"n": 0}) is None
    server.statuses = [404, 404, 405]  # Two contents are not there, and the first cannot be put.
    put(store, tmp_path / "made", {"n": 0})
    put(store, tmp_path / "made", {"n": 1})
    assert server.count("PUT") == 1
    assert len(told) == 1
    assert "nothing more is sent" in told[0]
    assert store.get({"n": 5}) is None
    assert server.requests[-1].startswith("GET /ac/")


def test_a_content_that_ends_too_early_is_fetched_again(server: FaultyServer, tmp_path: Path, told: list[str]):
    put(opened(tmp_path / "one", server.url), tmp_path / "made")
    store = opened(tmp_path / "other", server.url)
    record = store.get(COMPONENTS)
    server.cut = 5
    server.requests = []
    mend = threading.Timer(0.05, lambda: setattr(server, "cut", None))
    mend.start()
    assert store.here(record.files[1]).exists()
    assert server.count("GET") > 1
    assert told == []


def test_a_content_without_end_is_not_taken(server: FaultyServer, tmp_path: Path, told: list[str]):
    put(opened(tmp_path / "one", server.url), tmp_path / "made")
    store = opened(tmp_path / "other", server.url)
    record = store.get(COMPONENTS)
    path = next(path for path, content in server.content.items() if content == b"artefact")
    server.content[path] = b"artefact" + bytes(50_000_000)
    assert not store.here(record.files[0]).exists()
    assert store.remote.connection.fetched < 1_000_000
    assert "damaged or cut short" in told[0]


def test_patience_counts_what_is_lost_and_each_moment_once():
    patience = Patience(2.0)
    assert patience.lost(0.2, 1, 0) == 0
    assert patience.lost(3.0, 1, 10_000_000) == 0  # Much came meanwhile.
    assert patience.lost(4.0, 400, 0) == 0
    assert patience.lost(1.01, 1, 0) == pytest.approx(1.0)
    patience.lose(1.0, now=10.0)
    patience.lose(1.0, now=10.2)  # At the same time, but for 0.2 s.
    assert patience.left == pytest.approx(0.8)
    patience.lose(5.0, now=20.0)
    assert patience.left == 0.0


def test_waiting_ends_whatever_the_seconds_add_up_to(
    tmp_path: Path, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds lost are a difference of floats: what is left of the patience may become too little to be waited for."""
    clock, steps = [0.0], [0]

    def passes(pending: list[Future[None]], timeout: float) -> SimpleNamespace:
        steps[0] += 1
        assert steps[0] < 200, "it waits without end"
        clock[0] += timeout
        return SimpleNamespace(not_done=pending)

    monkeypatch.setattr(connection_module, "wait", passes)
    monkeypatch.setattr(connection_module.time, "monotonic", lambda: clock[0])
    for answers in range(100):
        connection, steps[0] = Connection(open_remote(f"file://{tmp_path}"), 2.0), 0
        future: Future[None] = Future()
        # Answers come to somebody else while this one waits.
        monkeypatch.setattr(connection, "_patience", CountsAnswers(2.0, answers))
        connection.wait([future])
        assert future.cancelled()
        assert not connection.reading


class CountsAnswers(Patience):
    """A patience that so many more answers have been counted for."""

    def __init__(self, seconds: float, answers: int) -> None:
        super().__init__(seconds)
        self._answers = answers

    def lost(self, waited: float, answers: int, size: int) -> float:
        return super().lost(waited, answers + self._answers, size)
