"""Documents are read whole, as they were written, or refused with one sentence."""

from __future__ import annotations

import os
import pickle
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.actions.told import told
from scaling_tasks.documents import document_text, parse_document, read_document
from scaling_tasks.errors import CacheError, Mistakes
from scaling_tasks.execution.file_locks import exclusive, when_waiting

PAYLOAD = {"names": ["a", "b"], "sizes": [1, 2, 3], "text": "näme"}
TEXT = document_text("thing", 1, PAYLOAD).encode()


def read(text: bytes) -> dict[str, object]:
    return parse_document(text, "thing", 1, where="thing.json", error=CacheError, build=dict)


def test_what_was_written_is_read() -> None:
    assert read(TEXT) == PAYLOAD


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_one_other_byte_anywhere_is_refused(place: int, byte: int) -> None:
    changed = TEXT[:place] + bytes([byte]) + TEXT[place + 1 :]
    if changed == TEXT:
        return
    with pytest.raises(CacheError, match=r"thing\.json: "):
        read(changed)


@given(st.integers(0, len(TEXT) - 1))
def test_a_part_of_it_is_refused(length: int) -> None:
    with pytest.raises(CacheError, match=r"thing\.json: "):
        read(TEXT[:length])


@pytest.mark.parametrize("text", [b"[" * 100_000, b"9" * 10_000, b"\xff\xfe", b"null", b'{"format": NaN}', b"\x00"])
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(CacheError, match=r"thing\.json: "):
        read(text)


@pytest.mark.parametrize("payload", [{}, {"sizes": None}, {"sizes": 3}, {"sizes": [{}]}, {"sizes": [10**400]}])
def test_a_payload_of_another_form_is_refused(payload: dict[str, object]) -> None:
    def build(given: dict[str, list[int]]) -> float:
        return sum(float(size) for size in given["sizes"])

    text = document_text("thing", 1, payload)
    with pytest.raises(CacheError, match="does not hold what it should"):
        parse_document(text, "thing", 1, where="thing.json", error=CacheError, build=build)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    os.mkfifo(path)
    with pytest.raises(CacheError, match="not a regular file"):
        read_document(path, "thing", 1, error=CacheError, build=dict)


def test_a_file_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CacheError, match="larger than 268435456"):
        read_document(path, "thing", 1, error=CacheError, build=dict)


def test_what_is_told_steers_no_terminal() -> None:
    assert str(CacheError("no image: a\x1b[31m\nb\x9b")) == r"no image: a\x1b[31m b\x9b"
    values = {"line": "a\x1bb", "warnings": ["c\nd"], "facts": {"e": "\x1b"}, "samples": 3}
    expected = {"line": r"a\x1bb", "warnings": ["c d"], "facts": {"e": "\x1b"}, "samples": 3}
    assert told(values) == expected
    several = Mistakes([CacheError("one\ntwo"), CacheError("three")])
    assert str(several) == "2 mistakes:\n  one two\n  three"
    assert str(pickle.loads(pickle.dumps(several))) == str(several)


def test_what_a_lock_says_of_its_holder_is_text_of_one_line(tmp_path: Path) -> None:
    lines: list[str] = []
    with exclusive(tmp_path / "lock", below=tmp_path):
        (tmp_path / "lock").write_bytes(b"7 doit \x1b[31m\xff\nwaiting" + b"x" * 5000)

        def wait() -> None:
            with exclusive(tmp_path / "lock", "scanning", below=tmp_path):
                pass

        when_waiting(lines.append)
        try:
            waiting = threading.Thread(target=wait)
            waiting.start()
            while not lines and waiting.is_alive():
                time.sleep(0.01)
        finally:
            when_waiting(None)
    waiting.join()
    (line,) = lines
    assert line.startswith(r"waiting for process 7 (doit \x1b[31m")
    assert line.isprintable()
    assert len(line) < 1200


def test_an_error_is_one_line_whatever_names_it_lists() -> None:
    error = CacheError("is no variable", where="a\nb", fix="The model's variables: N, \nH.\x1b[31m")
    assert str(error) == "a b: is no variable. The model's variables: N, H.\\x1b[31m"
    assert len(str(CacheError("is no variable", where="x" * 100_000, fix=f"They are {'y' * 100_000}."))) < 3000
