"""Whatever is edited, between builds and during them, the next build gives what one from nothing gives."""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.doit_plugin.edited_repository import EditedRepository
from tests.doit_plugin.repository import Repository, Run

# `SCALING_TASKS_TEST_EDITS=200 pytest -s tests/doit_plugin/test_random_edits.py` takes an hour or two on two cores.
EDITS = int(os.environ.get("SCALING_TASKS_TEST_EDITS", "4"))
SEED = int(os.environ.get("SCALING_TASKS_TEST_SEED", "20240711"))


def products(root: Path) -> dict[str, bytes]:
    files = [path for path in (root / "build").glob("*/*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in [*files, root / "scaling.lock"]}


def refusals(run: Run) -> set[str]:
    """Return what a build says of what cannot be built: the summary's lines, one per task."""
    return {line.strip() for line in run.output.splitlines() if "Run it alone" in line}


def from_nothing(edited: EditedRepository, place: Path) -> tuple[Run, dict[str, bytes]]:
    shutil.copytree(edited.root, place, ignore=shutil.ignore_patterns(".scaling", "build", "scaling.lock"))
    run = Repository.at(place).doit("-n", "2", "--continue", environment=edited.environment(place))
    found = products(place) if run.ok else {}
    shutil.rmtree(place)
    return run, found


def edit_during_a_build(edited: EditedRepository) -> list[str]:
    """Edit, or kill, while a build is at work on an edit; whatever that build says, it must spoil nothing."""
    done = [edited.edit()]
    build = subprocess.Popen(
        [sys.executable, "-m", "doit", "-n", "2", "--continue"],
        cwd=edited.root,
        env={**os.environ, **edited.environment(edited.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    for _ in range(edited.chance.choice([1, 2])):
        try:
            build.wait(timeout=edited.chance.uniform(0.3, 3.0))
        except subprocess.TimeoutExpired:
            done.append(f"{edited.edit()} during a build")
    if edited.chance.random() < 0.2 and build.poll() is None:
        done.append("killed")
        os.killpg(build.pid, signal.SIGKILL)
    build.wait(timeout=300)
    return done


def test_every_build_gives_what_one_from_nothing_gives(tmp_path: Path) -> None:
    quantised = importlib.util.find_spec("nncase") is not None
    edited = EditedRepository(tmp_path / "repository", random.Random(SEED), quantised=quantised)
    edits = turn = 0
    while edits < EDITS:
        done = edit_during_a_build(edited) if turn % 3 == 2 else []
        done.append(edited.edit())
        edits, turn = edits + len(done), turn + 1
        print(edits, *done, sep="  ", flush=True)
        run = edited.repository.doit("-n", "2", "--continue", environment=edited.environment(edited.root))
        fresh, wanted = from_nothing(edited, tmp_path / "fresh")
        assert refusals(run) == refusals(fresh), done  # No bucket may contain the only image that is left, say.
        assert run.ok == fresh.ok, f"{done}\n{run.output}\n{fresh.output}"
        if not run.ok:
            continue
        found = products(edited.root)
        assert found.keys() == wanted.keys(), done
        assert [name for name in sorted(found) if found[name] != wanted[name]] == [], done
        again = edited.repository.doit(environment=edited.environment(edited.root))
        assert (again.ok, again.executed) == (True, []), done
