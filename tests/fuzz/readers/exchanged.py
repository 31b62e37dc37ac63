"""What processes and machines tell each other: remote records, jobs and outcomes, and what a farm's workers say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from scaling_tasks.action import key_of
from scaling_tasks.builds.pruning import stale_files
from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.shared import made_once
from scaling_tasks.config.environment import environment_settings, job_threads, store_secret, unknown_variables
from scaling_tasks.documents import document_text
from scaling_tasks.errors import CacheError, ConfigError, ExecutorError
from scaling_tasks.execution.contract import Origin, Work
from scaling_tasks.execution.farm.order import Blob, Outcome
from scaling_tasks.execution.jobfile import JobFile, read_job, read_outcome, write_job, write_outcome
from scaling_tasks.execution.jobfile import Outcome as WorkerOutcome
from scaling_tasks.files import digest_bytes, read_regular
from scaling_tasks.shapes.signature import Signature
from scaling_tasks.shapes.unit import Unit
from scaling_tasks.store.open_remote import open_remote
from scaling_tasks.store.records import Record, StoredFile
from scaling_tasks.store.remote_records import UnsignedError, decode_record, encode_record
from tests.fuzz.mutations import binary_numbers, json_document
from tests.fuzz.reader import Reader, anything
from tests.fuzz.readers.documents import DIGEST, WORDS, resealed
from tests.fuzz.readers.state_files import at

_COMPONENTS = {"stage": "compile", "version": 2}
_SECRET = b"a key that is long enough"


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, 1 << 26)
    except OSError as cause:
        raise CacheError(str(cause), where=str(path)) from cause


def _remote_record(secret: bytes | None, directory: Path) -> list[Path]:
    files = (StoredFile("m.xml", DIGEST, 12), StoredFile("parts/m.bin", "cd" * 32, 1 << 20))
    record = Record(key_of(_COMPONENTS), _COMPONENTS, files, {"seconds": 1.5, "values": {"files": ["m.xml"]}})
    path = directory / "record"
    path.write_bytes(encode_record(record, secret))
    return [path]


def _decoded(secret: bytes | None, directory: Path) -> Any:
    try:
        return decode_record(_content(directory / "record"), _COMPONENTS, key_of(_COMPONENTS), secret)
    except UnsignedError as cause:
        raise CacheError("not signed", where="record") from cause


def _told(directory: Path) -> list[Path]:
    files = {"m.xml": Blob(DIGEST, 12), "parts/m.bin": Blob("cd" * 32, 1 << 20)}
    outcome = Outcome("worker-1", "tcp://10.0.0.1:4000", {"files": ["m.xml"]}, files, Blob("ef" * 32, 5), seconds=2.5)
    bad = replace(outcome, files={}, problem=("it failed", "m", "Try again."), workdir="/w", peak_memory_bytes=1 << 30)
    paths = [directory / "good.json", directory / "bad.json"]
    for path, told in zip(paths, (outcome, bad), strict=True):
        path.write_text(told.to_json())
    return paths


def _heard(directory: Path) -> Any:
    """Read as a build does, which takes whatever is not right for a failure of the engine."""
    try:
        return [Outcome.from_json(_content(directory / name).decode("latin-1")) for name in ("good.json", "bad.json")]
    except ValueError as cause:
        raise ExecutorError("no outcome", where="worker-1") from cause


def _job(directory: Path) -> list[Path]:
    expected = {"toolchain": {"openvino": "1"}, "platform": {"machine": "x"}}
    origin = Origin("compile", "ab" * 32, {"m.onnx": DIGEST}, "os:getcwd", expected)
    work = Work("os:getcwd", directory / "inputs", directory / "outputs", {"unit": ["W8", "m_W8"]}, origin)
    write_job(directory / "job.json", JobFile(work, directory / "outcome.json", 1 << 30))
    return [directory / "job.json"]


def _outcome(directory: Path) -> list[Path]:
    write_outcome(directory / "good.json", WorkerOutcome({"files": ["m.xml"], "seconds": 1.5}))
    write_outcome(directory / "bad.json", WorkerOutcome(error=("it failed", "m.onnx", "Export it again.")))
    write_outcome(directory / "other.json", WorkerOutcome(other={"toolchain": {"openvino": "2"}}))
    return sorted(directory.glob("*.json"))


def _outcomes(directory: Path) -> Any:
    found = [read_outcome(directory / name) for name in ("good.json", "bad.json", "other.json")]
    for each in found:  # As executors take it apart.
        if each is not None and each.error:
            what, where, fix = each.error
            assert isinstance(f"{what.strip()}{where.strip()}{fix.strip()}", str)
        if each is not None:
            assert isinstance({**each.values, **(each.other or {})}, dict)
    return found


def _variables(directory: Path) -> list[Path]:
    lines = (
        "SCALING_TASKS_LOCKED=1", "SCALING_TASKS_STORE=store", "SCALING_TASKS_REMOTE_STORE=http://127.0.0.1:1/cache",
        "SCALING_TASKS_REMOTE_STORE_MODE=read-only", "SCALING_TASKS_REMOTE_STORE_PATIENCE=2.5",
        "SCALING_TASKS_STORE_SIZE=1.5GiB", "SCALING_TASKS_JUNIT=out.xml", "SCALING_TASKS_PROGRESS=plain",
        "SCALING_TASKS_EXECUTOR=dask://[::1]:8786", "SCALING_TASKS_JOBS=4", "SCALING_TASKS_STORE_KEY=" + "k" * 32,
        "SCALING_TASKS_REMOTE_STORES=x",
    )  # fmt: skip
    path = directory / "variables"
    path.write_text("\n".join(lines))
    return [path]


def _settings(directory: Path) -> Any:
    # As Python gives variables: no NUL, and bytes that are no text as halves of characters.
    text = _content(directory / "variables").decode("utf-8", "surrogateescape").replace("\0", "")
    variables = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    found = environment_settings(variables)
    if found.remote_store is not None:
        try:
            open_remote(found.remote_store)
        except ConfigError as error:  # Whoever asked for it tells where it was named.
            raise ConfigError(error.what, where="SCALING_TASKS_REMOTE_STORE", fix=error.fix) from error
    return found, job_threads(variables), store_secret(variables), unknown_variables(variables)


def _change_variable(content: bytes, chance: Random) -> bytes:
    lines = content.split(b"\n")
    place = chance.randrange(len(lines))
    name = lines[place].partition(b"=")[0]
    lines[place] = name + b"=" + chance.choice(_SETTINGS)
    return b"\n".join(lines)


_SETTINGS = (
    b"", b"0", b"-1", b"1" * 5000, b"1e5", "²".encode(), "٣".encode(), b"nan", b"inf", b"9" * 400 + b"T", b"1.5.5G",
    b"1_000", b"s3://", b"s3://b/p?x=1", b"file:///", b"http://", b"http://[::1", b"http://a:b@h:99999/x", b"x://y",
    b"://", b"tcp://h:99999", b"http://:80", b"https://h/\x1b[31m", b"http://h:x/",
    b"dask://h:0", b"tls://[::]:1", b"yes\x1b[31m", b"\xff\xfe", b"memory://x", b"k" * 100_000,
)  # fmt: skip


def _gone(directory: Path) -> list[Path]:
    state = directory / ".scaling/targets/gone"
    (state / "results").mkdir(parents=True)
    (directory / "build/gone").mkdir(parents=True)
    for name in ("build/gone/a.xml", "precious"):
        (directory / name).write_bytes(b"content")
    noted = {"config": "configs/gone.yaml", "directory": "build/gone"}
    (state / "target.json").write_text(document_text("target", 1, noted))
    files = [["a.xml", digest_bytes(b"content"), 7, "build/gone/a.xml"]]
    result = {"action": '{"stage":"bundle"}', "files": files, "values": {}}
    (state / "results/bundle.json").write_text(document_text("result", 2, result))
    return [state / "target.json", state / "results/bundle.json"]


def _pruned(directory: Path) -> Any:
    with at(directory):
        found = stale_files([])
    strange = [path for path in found if path.parts[:2] not in ((".scaling", "targets"), ("build", "gone"))]
    assert not strange, f"it would remove {strange}"
    return found


def _make_weights(directory: Path) -> None:
    (directory / "weights-1").write_bytes(b"weights")


def _shared(directory: Path) -> list[Path]:
    shared = directory / "shared"
    _with_shared(directory)
    return [shared / "digests.json", shared / "weights-1"]


def _with_shared(directory: Path) -> bytes:
    workdir = directory / "work"
    workdir.mkdir(exist_ok=True)
    unit = Unit("W8", "m_W8", ("W",), ((8,),))
    job = CompileJob(directory / "m.onnx", Signature(()), unit, {}, shared=directory / "shared")
    (directory / "shared").mkdir(exist_ok=True)
    for path in workdir.iterdir():
        path.unlink()
    made_once(job, workdir, ["weights-1"], partial(_make_weights, workdir))
    return (workdir / "weights-1").read_bytes()


def _some_not_there(valid: Any, found: Any) -> bool:
    return all(there in (known, None) for known, there in zip(valid, found, strict=True))


def _some_left(valid: Any, found: Any) -> bool:
    return set(found) <= set(valid)


def _no_other(valid: Any, found: Any) -> bool:
    return False


def _document(
    name: str,
    file: str,
    make: Callable[[Path], list[Path]],
    read: Callable[[Path], Any],
    allowed: Callable[[Any, Any], bool] = _no_other,
    *,
    refuses: bool = True,
) -> list[Reader]:
    valid = Reader(name, make, read, allowed, refuses, mutators=(json_document,), words=WORDS, share=0.5)
    return [valid, replace(valid, name=f"{name}, forged", read=resealed(read, file), allowed=anything)]


_RECORD = Reader(
    "remote record", partial(_remote_record, None), partial(_decoded, None), mutators=(binary_numbers,), words=WORDS
)
READERS = (
    _RECORD,
    replace(
        _RECORD, name="remote record, signed", make=partial(_remote_record, _SECRET), read=partial(_decoded, _SECRET)
    ),
    Reader("farm outcome", _told, _heard, allowed=anything, mutators=(json_document,) * 3, words=WORDS),
    *_document("job", "job.json", _job, lambda directory: read_job(directory / "job.json")),
    *_document("outcome", "*.json", _outcome, _outcomes, _some_not_there),
    *_document("what prune reads", "*.json", _gone, _pruned, _some_left, refuses=False),
    Reader("environment", _variables, _settings, allowed=anything, mutators=(_change_variable,) * 3),
    Reader("shared weights", _shared, _with_shared, refuses=False, mutators=(json_document,) * 3, share=0.5),
)
