"""What a run says of transfers while they go on."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from scaling_tasks.builds.workshop import open_store
from scaling_tasks.doit_plugin.console.transfers import finish_transfers, transfers_line, transfers_under_way
from tests.store.services import MissingPartError, running, start_nginx
from tests.store.test_remote_store import COMPONENTS, placed, put


def test_transfers_are_shown_while_they_go_on_and_summed_up_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        nginx = start_nginx(tmp_path / "nginx", more="limit_rate 600k;")
    except MissingPartError as missing:
        pytest.skip(str(missing))
    with running(nginx.process):
        monkeypatch.setenv("SCALING_TASKS_REMOTE_STORE", nginx.url)
        monkeypatch.setenv("SCALING_TASKS_REMOTE_STORE_PATIENCE", "60")
        monkeypatch.setenv("SCALING_TASKS_STORE", str(tmp_path / "one"))
        put(open_store(), tmp_path / "made")
        lines: list[str] = []
        finish_transfers(lines.append)
        assert lines == []
        assert transfers_line().endswith(" requests, 0 B fetched, 1 results with 300.0 kB sent")
        monkeypatch.setenv("SCALING_TASKS_STORE", str(tmp_path / "other"))
        fetch = threading.Thread(target=placed, args=(open_store(), tmp_path / "out"))
        fetch.start()
        seen = set()
        while fetch.is_alive():
            seen.add(transfers_under_way())
        assert any(line.startswith("fetching ") and line.endswith(" of 300.0 kB") for line in seen)
        assert transfers_under_way() == ""
        assert open_store().get(COMPONENTS) is not None
