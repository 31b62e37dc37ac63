"""Compilers that abort, hang, leak, lie or are killed: their unit fails alone, clearly, and leaves nothing behind."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import onnx
import pytest
from onnx import helper

from scaling_tasks.compilers.contract import CompileJob
from scaling_tasks.compilers.isolation import run_job
from scaling_tasks.compilers.registry import get_backend
from scaling_tasks.errors import CompileError
from scaling_tasks.execution.process_trees import resident_bytes
from scaling_tasks.shapes.signature import name_dimensions
from scaling_tasks.shapes.unit import Unit

MIB = 2**20


def run(job, directory: Path, **limits):
    return run_job(job, directory / "work", log=directory / "logs" / "m_W8.log", **{"timeout": 60, **limits})


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_an_accepted_result(make_job, tmp_path: Path):
    result = run(make_job(), tmp_path)
    (path,) = result.artefact.files
    assert path == tmp_path / "work" / "m_W8.out"
    assert path.stat().st_mode & 0o777 == 0o644  # although the compiler left it unwritable
    assert result.seconds > 0
    assert 5 * MIB < result.peak_memory_bytes < 2000 * MIB


@pytest.mark.parametrize(
    ("job", "message"), [([], "usage: "), (["nowhere.json"], "error: nowhere.json: cannot be read")]
)
def test_repeating_what_is_no_job_is_one_line(job: list[str], message: str, tmp_path: Path):
    command = [sys.executable, "-m", "scaling_tasks.execution.worker", *job]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("no_file", r"wrote no such file"),
        ("empty_file", r"wrote no such file"),
        ("truncated", r"m_W8\.out: is not whole"),
        ("success_over_error", r"claimed success but reported 'E19999: the configuration was ignored'"),
        ("compile_error", r"m_W8: node 7: this operator is unknown\. Use another\."),
        ("crash", r"was killed by SIGABRT: fatal: assertion failed in pass 3"),
        ("exit_three", r"ended with status 3: cannot allocate a thing"),
        ("exception", r"ZeroDivisionError: by zero"),
        ("killed", r"was killed by SIGKILL"),
        ("disk_full", r"m_W8\.out: No space left on device"),
    ],
)
def test_a_fault_names_its_cause_its_log_and_how_to_repeat_it(make_job, tmp_path: Path, fault: str, message: str):
    with pytest.raises(CompileError, match=message) as caught:
        run(make_job(fault), tmp_path)
    text = str(caught.value)
    assert text.startswith("m_W8")
    assert str(tmp_path / "logs" / "m_W8.log") in text
    command = shlex.split(text.partition("Run it alone: ")[2])
    again = subprocess.run(command, capture_output=True, text=True)
    assert (again.returncode != 0) == (fault != "success_over_error")
    assert run(make_job(), tmp_path).artefact.files  # the next try, with the fault mended, succeeds


def test_a_hanging_compiler_is_killed_with_all_its_children(make_job, tmp_path: Path, wait_for):
    with pytest.raises(CompileError, match=r"took longer than 3 s: working\. Raise `compile.timeout`"):
        run(make_job("hang", pids=str(tmp_path / "pids")), tmp_path, timeout=3)
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 3
    wait_for(lambda: not [pid for pid in pids if alive(pid)])


@pytest.mark.parametrize("fault", ["greedy", "greedy_child"])
def test_memory_is_limited_for_the_whole_tree(make_job, tmp_path: Path, fault: str):
    with pytest.raises(CompileError, match=r"needed more than the memory limit of 300 MiB\. Raise `compile.memory`"):
        run(make_job(fault), tmp_path, memory=300 * MIB)


def test_a_process_left_behind_by_a_successful_compiler_is_ended(make_job, tmp_path: Path, wait_for):
    result = run(make_job("leaves_a_process", pids=str(tmp_path / "pid")), tmp_path)
    assert result.artefact.files
    wait_for(lambda: not alive(int((tmp_path / "pid").read_text())))


def test_threads_are_limited_by_the_environment(make_job, tmp_path: Path):
    run(make_job("threads"), tmp_path, threads=1)
    assert "threads 1" in (tmp_path / "logs" / "m_W8.log").read_text()


def test_a_kernel_without_process_descriptors_will_do(make_job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert run(make_job(), tmp_path).artefact.files
    with pytest.raises(CompileError, match="took longer than 1 s"):
        run(make_job("hang", pids=str(tmp_path / "pids")), tmp_path, timeout=1)


def test_two_units_at_once_from_threads(make_job, tmp_path: Path):
    failures: list[str] = []
    results: list[object] = []

    def compile_one(fault: str) -> None:
        try:
            results.append(run(make_job(fault), tmp_path / fault))
        except CompileError as error:
            failures.append(str(error))

    (tmp_path / "none").mkdir()
    (tmp_path / "crash").mkdir()
    threads = [threading.Thread(target=compile_one, args=(fault,)) for fault in ("none", "crash")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == len(failures) == 1


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_survives_the_death_of_the_build(make_job, tmp_path: Path, wait_for, sent: signal.Signals):
    job = make_job("hang", pids=str(tmp_path / "pids"))
    code = (
        "from pathlib import Path\n"
        "from scaling_tasks.compilers.contract import CompileJob\n"
        "from scaling_tasks.compilers.isolation import run_job\n"
        "from scaling_tasks.shapes.signature import Signature, TensorSpec\n"
        "from scaling_tasks.shapes.unit import Unit\n"
        f"job = CompileJob(Path({str(job.model)!r}), Signature((TensorSpec('x', (1, 'W')),)), "
        f"Unit('W8', 'm_W8', ('W',), ((8,),)), {dict(job.options)!r})\n"
        f"run_job(job, Path({str(tmp_path / 'work')!r}), log=Path({str(tmp_path / 'm.log')!r}), timeout=600)\n"
    )
    build = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    wait_for((tmp_path / "pids").exists)
    pids = [int(text) for text in (tmp_path / "pids").read_text().split()]
    os.kill(build.pid, sent)
    build.wait()
    wait_for(lambda: not [pid for pid in pids if alive(pid)])


def test_a_compilers_whole_explanation_is_in_the_log(tmp_path: Path):
    """OpenVINO tells in seven lines of an exception what it does not know; a message shows one of them."""
    nodes = [helper.make_node("Fancy", ["x"], ["y"], domain="elsewhere")]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, "w"]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:])
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=sets, ir_version=8), tmp_path / "m.onnx")
    unit, signature = Unit("W8", "m_W8", ("W",), ((8,),)), name_dimensions({"x": [1, "W"]})
    job = CompileJob(tmp_path / "m.onnx", signature, unit, {"backend": "openvino", "options": {}})
    with pytest.raises(CompileError, match=r"No conversion rule found for operations: elsewhere\.Fancy"):
        run(job, tmp_path)
    log = (tmp_path / "logs/m_W8.log").read_text()
    assert "FrontEnd API failed with OpConversionFailure:\nModel wasn't fully converted.\n" in log


def test_a_read_only_work_directory_is_named(make_job, tmp_path: Path):
    (tmp_path / "work").write_text("a file in the way")
    with pytest.raises(CompileError, match=r"m_W8: .*work: (File exists|Not a directory)"):
        run(make_job(), tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path):
    """Mount a small file system of its own; return a function that makes it read-only."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a file system is not permitted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def ocr_job(models: Path, backend: str) -> CompileJob:
    signature = name_dimensions({"x": [1, 3, 48, -1]})
    options = {"backend": backend, "device": "cpu", "options": {}}
    (unit,) = get_backend(backend).units("rec", signature, [(64,)], options)
    return CompileJob(models / "ch_PP-OCRv4_rec_infer.onnx", signature, unit, options)


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_full_disk_is_named_and_the_next_try_succeeds(
    backend: str, small_disk: Path, ocr_models: Path, tmp_path: Path
):
    job = ocr_job(ocr_models, backend)
    with pytest.raises(CompileError, match=r"rec_W64: .*(the disk of .*/disk/work is full|No space left on device)"):
        run_job(job, small_disk / "work", log=tmp_path / "rec.log", timeout=60)
    assert run_job(job, tmp_path / "work", log=tmp_path / "rec.log", timeout=60).artefact.files


def test_a_full_disk_under_the_log_is_named(small_disk: Path, make_job, tmp_path: Path):
    (small_disk / "filler").write_bytes(b"x" * (1 << 20))
    with pytest.raises(CompileError, match=r"No space left on device|the disk of .* is full"):
        run_job(make_job(), tmp_path / "work", log=small_disk / "m.log", timeout=60)


def test_a_read_only_disk_is_named(small_disk: Path, make_job, tmp_path: Path):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(CompileError, match=r"/disk/work: Read-only file system"):
        run_job(make_job(), small_disk / "work", log=tmp_path / "m.log", timeout=60)
    with pytest.raises(CompileError, match=r"the log cannot be written \(Read-only file system\)"):
        run_job(make_job(), tmp_path / "work", log=small_disk / "m.log", timeout=60)


def test_memory_that_a_fork_shares_counts_once():
    code = (
        "import os, sys, time\n"
        "block = bytearray(os.urandom(1)) * (200 << 20)\n"
        "if os.fork() == 0:\n"
        "    time.sleep(60)\n"
        "sys.stdout.write('ready\\n')\n"
        "sys.stdout.flush()\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            if not Path(f"/proc/{process.pid}/smaps_rollup").exists():
                pytest.skip("this kernel does not tell what processes share")
            assert 200 * MIB < resident_bytes(process.pid) < 300 * MIB
        finally:
            os.killpg(process.pid, signal.SIGKILL)
