"""A local store before a remote one: what is found where, what is sent, what is not believed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling_tasks.action import key_of
from scaling_tasks.files import digest_bytes
from scaling_tasks.store.blobs import LostContentError
from scaling_tasks.store.remote_store import open_remote_store
from scaling_tasks.store.store import Store
from tests.store.services import MissingPartError, Nginx, running, start_nginx

COMPONENTS = {"stage": "compile", "bucket": [1, 320]}
KEY = key_of(COMPONENTS)
SECRET = b"0123456789abcdef0123456789abcdef"
WEIGHTS = os.urandom(300_000)

Opener = Callable[..., Store]


@pytest.fixture
def opened(tmp_path: Path) -> Opener:
    """Opens a local store, new for each name, before a remote one."""

    def open_store(name: str, url: str, *, writes: bool = True, secret: bytes | None = None) -> Store:
        # Far more patience than any test takes: machines that run tests are busy.
        return Store(tmp_path / name, open_remote_store(url, writes=writes, secret=secret, patience=60))

    return open_store


def put(store: Store, directory: Path, components: dict = COMPONENTS, **contents: bytes) -> None:
    directory.mkdir(exist_ok=True)
    for name, content in (contents or {"net": b"artefact", "weights": WEIGHTS}).items():
        (directory / name).write_bytes(content)
    files = {name: directory / name for name in contents or ("net", "weights")}
    store.put(components, files, {"seconds": 2.5})
    store.remote.finish()


def placed(store: Store, directory: Path, components: dict = COMPONENTS) -> dict[str, bytes] | None:
    """Return what the store gives for an action, None for a miss."""
    record = store.get(components)
    if record is None:
        return None
    for file in record.files:
        store.place(file, directory / file.name, below=directory)
    return {file.name: (directory / file.name).read_bytes() for file in record.files}


def blob(store: Store, content: bytes) -> Path:
    digest = digest_bytes(content)
    return store.root / "blobs" / digest[:2] / digest


def test_what_one_put_another_gets(remote_url: str, opened: Opener, tmp_path: Path):
    put(opened("one", remote_url), tmp_path / "made")
    other = opened("other", remote_url)
    assert other.get({"unknown": 1}) is None
    assert placed(other, tmp_path / "out") == {"net": b"artefact", "weights": WEIGHTS}
    assert other.get(COMPONENTS).details == {"seconds": 2.5}
    activity = other.activity()
    assert (activity.hits, activity.misses, activity.seconds_saved) == (2, 1, 5.0)


def test_what_was_found_far_is_near_from_then_on(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("one", nginx.url), tmp_path / "made")
    placed(opened("other", nginx.url), tmp_path / "out")
    before = nginx.requests
    alone = Store(tmp_path / "other")
    assert placed(alone, tmp_path / "again") == {"net": b"artefact", "weights": WEIGHTS}
    assert placed(opened("other", nginx.url), tmp_path / "third") is not None
    assert nginx.requests == before


def test_content_is_fetched_when_it_is_read_and_not_before(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("one", nginx.url), tmp_path / "made")
    other = opened("other", nginx.url)
    record = other.get(COMPONENTS)
    assert record is not None
    assert nginx.count("GET", "/cas/") == 0
    assert other.peek(COMPONENTS) == record
    assert other.get(COMPONENTS) == record
    other.place(record.files[0], tmp_path / "out", below=tmp_path)
    assert nginx.count("GET", "/cas/") == 1
    assert blob(other, b"artefact").exists()
    assert not blob(other, WEIGHTS).exists()
    # Where no remote store can give the rest, the record here is a miss.
    assert Store(tmp_path / "other").get(COMPONENTS) is None


def test_many_actions_are_looked_up_in_one_round(nginx: Nginx, opened: Opener, tmp_path: Path):
    one, actions = opened("one", nginx.url), [{"n": number} for number in range(40)]
    for components in actions[:30]:
        put(one, tmp_path / "made", components, net=b"%d" % components["n"])
    other = opened("other", nginx.url)
    before = nginx.count("GET", "/ac/")
    other.look_up(actions)
    assert nginx.count("GET", "/ac/") - before == 40
    assert [other.peek(components) is not None for components in actions] == [True] * 30 + [False] * 10
    assert [other.get(components) is not None for components in actions] == [True] * 30 + [False] * 10
    assert nginx.count("GET", "/ac/") - before == 40


def test_content_that_many_have_in_common_is_sent_and_fetched_once(nginx: Nginx, opened: Opener, tmp_path: Path):
    one = opened("one", nginx.url)
    for number in range(6):
        put(one, tmp_path / f"made{number}", {"n": number}, net=b"%d" % number, weights=WEIGHTS)
    assert nginx.count("PUT", f"/cas/{digest_bytes(WEIGHTS)}") == 1
    other = opened("other", nginx.url)
    records = [other.get({"n": number}) for number in range(6)]
    for record in records:
        other.expect(record.files)
    for number, record in enumerate(records):
        for file in record.files:
            other.place(file, tmp_path / f"out{number}" / file.name, below=tmp_path)
    assert nginx.count("GET", f"/cas/{digest_bytes(WEIGHTS)}") == 1
    assert nginx.count("GET", "/cas/") == 7


def test_what_is_far_already_is_not_sent_again(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("one", nginx.url), tmp_path / "made")
    put(opened("two", nginx.url), tmp_path / "made")
    assert nginx.count("PUT", f"/cas/{digest_bytes(WEIGHTS)}") == 1


def test_nothing_is_sent_to_what_is_read_only(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("one", nginx.url, writes=False), tmp_path / "made")
    assert nginx.requests == []
    put(opened("two", nginx.url), tmp_path / "made")
    assert placed(opened("three", nginx.url, writes=False), tmp_path / "out") is not None


def test_what_was_made_without_it_is_sent_when_asked_for(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("other", nginx.url), tmp_path / "made", {"n": 0})
    alone = Store(tmp_path / "one")
    for number in range(3):
        (tmp_path / "net").write_bytes(b"%d" % number)
        alone.put({"n": number}, {"net": tmp_path / "net"}, {})
    blob(alone, b"2").write_bytes(b"damaged")
    one = opened("one", nginx.url)
    assert one.send_all() == 1  # One is there already, and one is not whole.
    assert nginx.path(f"ac/{key_of({'n': 1})}").exists()
    assert opened("one", nginx.url).send_all() == 0
    assert opened("one", nginx.url, writes=False).send_all() == 0


def test_nothing_that_a_link_leads_to_is_sent(tmp_path: Path, opened: Opener):
    remote, elsewhere = tmp_path / "remote", tmp_path / "elsewhere"
    put(opened("one", f"file://{tmp_path / 'another'}"), tmp_path / "made")
    local = blob(opened("one", f"file://{remote}"), WEIGHTS).parent
    local.rename(elsewhere)
    local.symlink_to(elsewhere, target_is_directory=True)
    store = opened("one", f"file://{remote}")
    record = store.get(COMPONENTS)
    store.remote.send(record, store._opened)
    store.remote.finish()
    assert not [path for path in remote.rglob("*") if path.is_file() and path.name == digest_bytes(WEIGHTS)]
    assert not (remote / "ac" / KEY).exists()


def test_a_record_comes_after_all_that_it_names(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("one", nginx.url), tmp_path / "made")
    puts = [line.split()[1] for line in nginx.requests if line.startswith("PUT")]
    assert puts[-1] == f"/ac/{KEY}"
    assert {*puts[:-1]} == {f"/cas/{digest}" for digest in (digest_bytes(b"artefact"), digest_bytes(WEIGHTS), KEY)}


def test_what_somebody_else_did_is_known_by_its_key(remote_url: str, opened: Opener, tmp_path: Path):
    put(opened("one", remote_url), tmp_path / "made")
    assert opened("other", remote_url).components(KEY) == COMPONENTS
    assert opened("other", remote_url).components(digest_bytes(b"nobody's")) is None


@pytest.mark.parametrize("content", [b"", b"cut"])
def test_a_content_cut_short_or_damaged_far_is_a_miss_and_is_mended(
    nginx: Nginx, opened: Opener, tmp_path: Path, told: list[str], content: bytes
):
    put(opened("one", nginx.url), tmp_path / "made")
    nginx.path(f"cas/{digest_bytes(WEIGHTS)}").write_bytes(content)
    other = opened("other", nginx.url)
    record = other.get(COMPONENTS)
    with pytest.raises(LostContentError):
        other.place(record.files[1], tmp_path / "out", below=tmp_path)
    other.lose(record)
    assert not (tmp_path / "out").exists()
    assert len(told) == 1
    assert f"cas/{digest_bytes(WEIGHTS)} (weights): damaged or cut short" in told[0]
    assert other.get(COMPONENTS) is None
    activity = other.activity()
    assert (activity.hits, activity.misses, activity.corrupt, activity.bytes_restored) == (0, 2, 1, 0)
    # Whoever makes it again mends the remote store too, though that says that it has it.
    put(other, tmp_path / "made")
    assert nginx.path(f"cas/{digest_bytes(WEIGHTS)}").read_bytes() == WEIGHTS
    assert placed(opened("third", nginx.url), tmp_path / "third") is not None


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-20], lambda text: b"", lambda text: text.replace(b"2.5", b"9.5")]
)
def test_a_damaged_record_is_a_miss_and_is_mended(
    nginx: Nginx, opened: Opener, tmp_path: Path, told: list[str], damage
):
    put(opened("one", nginx.url), tmp_path / "made")
    path = nginx.path(f"ac/{KEY}")
    path.write_bytes(damage(path.read_bytes()))
    other = opened("other", nginx.url)
    assert other.get(COMPONENTS) is None
    assert len(told) == 1
    assert f"ac/{KEY}" in told[0]
    put(other, tmp_path / "made")
    assert placed(opened("third", nginx.url), tmp_path / "out") is not None
    assert len(told) == 1


def test_a_record_of_another_action_is_a_miss(nginx: Nginx, opened: Opener, tmp_path: Path, told: list[str]):
    put(opened("one", nginx.url), tmp_path / "made")
    nginx.path(f"ac/{key_of({'other': 1})}").write_bytes(nginx.path(f"ac/{KEY}").read_bytes())
    assert opened("other", nginx.url).get({"other": 1}) is None
    assert len(told) == 1


@pytest.mark.parametrize("writer", [None, b"another" * 5])
def test_where_a_key_is_set_only_records_signed_with_it_count(
    nginx: Nginx, opened: Opener, tmp_path: Path, told: list[str], writer: bytes | None
):
    for number in range(3):
        put(opened("one", nginx.url, secret=writer), tmp_path / "made", {"n": number})
    other = opened("other", nginx.url, secret=SECRET)
    assert [other.get({"n": number}) for number in range(3)] == [None] * 3
    assert told == [
        f"warning: records in the store {nginx.url} are not signed with the key that is set here; they are not used"
    ]
    put(other, tmp_path / "made", {"n": 0})
    assert placed(opened("third", nginx.url, secret=SECRET), tmp_path / "out", {"n": 0}) is not None


def test_a_signed_record_cannot_be_given_other_content(nginx: Nginx, opened: Opener, tmp_path: Path, told: list[str]):
    put(opened("one", nginx.url, secret=SECRET), tmp_path / "made", net=b"artefact")
    evil = b"evil" * 2
    nginx.path(f"cas/{digest_bytes(evil)}").write_bytes(evil)
    path = nginx.path(f"ac/{KEY}")
    path.write_bytes(path.read_bytes().replace(digest_bytes(b"artefact").encode(), digest_bytes(evil).encode()))
    assert opened("other", nginx.url, secret=SECRET).get(COMPONENTS) is None
    assert len(told) == 1


def test_content_damaged_here_comes_from_afar(nginx: Nginx, opened: Opener, tmp_path: Path):
    one = opened("one", nginx.url)
    put(one, tmp_path / "made")
    blob(one, WEIGHTS).unlink()
    blob(one, WEIGHTS).write_bytes(b"wrong")
    assert placed(one, tmp_path / "out") == {"net": b"artefact", "weights": WEIGHTS}


def test_records_whose_content_stayed_far_take_no_room(nginx: Nginx, opened: Opener, tmp_path: Path):
    put(opened("one", nginx.url), tmp_path / "made")
    other = opened("other", nginx.url)
    other.get(COMPONENTS)
    assert other.size() == 0
    assert other.evict(1000, grace=0) == 0
    assert other.peek(COMPONENTS) is not None


def test_a_full_far_store_costs_one_warning_and_is_still_read(tmp_path: Path, opened: Opener, told: list[str]):
    try:
        full = start_nginx(tmp_path / "nginx", more="client_max_body_size 100k;")  # answers 413
    except MissingPartError as missing:
        pytest.skip(str(missing))
    with running(full.process):
        one = opened("one", full.url)
        put(one, tmp_path / "small", {"n": 0}, net=b"small")
        put(one, tmp_path / "made", {"n": 1})
        for number in range(2, 5):
            put(one, tmp_path / "small", {"n": number}, net=b"%d" % number)
        assert len(told) == 1
        assert f"nothing more is sent to the store {full.url}: it answers PUT with 413" in told[0]
        assert not full.path(f"ac/{key_of({'n': 1})}").exists()  # no record without all that it names
        assert full.count("PUT", "/ac/") == 1
        assert one.get({"n": 9}) is None
        assert full.count("GET", f"/ac/{key_of({'n': 9})}") == 1
        assert placed(opened("other", full.url), tmp_path / "out", {"n": 0}) == {"net": b"small"}
