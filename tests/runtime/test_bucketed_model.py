"""Serving requests: selection, padding, cropping, batching, oversize, errors, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_tasks.errors import BundleError
from scaling_tasks.files import digest_file
from scaling_tasks.runtime.buffers import PaddedBuffer
from scaling_tasks.runtime.manifest import ArtefactFile, Fallback, Manifest
from scaling_tasks.runtime.model import BucketedModel
from scaling_tasks.runtime.policies import Padding

Answer = Callable[[Any], dict[str, Any]]
fixture_is_reusable = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def request_of(width: int, count: int = 1, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng((seed, width, count))
    return {"x": generator.random((count, 3, width), dtype=np.float32) + 1}


def assert_same(got: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert got.keys() == wanted.keys()
    for name, array in wanted.items():
        assert got[name].shape == array.shape
        np.testing.assert_array_equal(got[name], array)


@fixture_is_reusable
@given(st.lists(st.tuples(st.integers(1, 64), st.integers(1, 11)), min_size=1, max_size=12))
def test_every_request_gets_the_exact_answer_alone_and_together(
    opened: Any, answer: Answer, sizes: list[tuple[int, int]]
) -> None:
    model, _ = opened()
    requests = [request_of(width, count, seed) for seed, (width, count) in enumerate(sizes)]
    wanted = [answer(request["x"]) for request in requests]
    # Twice, so that buffers hold the leftovers of other sizes.
    for _ in range(2):
        for request, result in zip(requests, wanted, strict=True):
            assert_same(model.run(request), result)
        for got, result in zip(model.run_many(requests), wanted, strict=True):
            assert_same(got, result)


def test_answers_name_outputs_in_the_order_of_the_model(opened: Any, tmp_path: Path) -> None:
    _, log = opened([(1, 32), (4, 32)])
    model = BucketedModel(tmp_path, Manifest.from_json((tmp_path / "manifest.json").read_text()), log.load)
    for answer in (model.run(request_of(30)), model.run(request_of(30, 9)), *model.run_many([request_of(32)] * 3)):
        assert list(answer) == ["y", "top"]


def test_padding_is_zero_after_a_larger_request(opened: Any) -> None:
    model, log = opened([(2, 64)])
    model.run(request_of(60, 2))
    model.run(request_of(10, 1))
    assert (log.last[0, :, :10] > 0).all()
    assert not log.last[0, :, 10:].any()
    np.testing.assert_array_equal(log.last[1], log.last[0])


def test_a_model_tells_what_it_takes(opened: Any) -> None:
    model, _ = opened([(2, 64), (1, 128), (1, 9)])
    assert [tuple(bucket.values()) for bucket in model.buckets] == [(1, 9), (1, 128), (2, 64)]
    assert "3 buckets, " in repr(model)
    assert " ≤ 2 × " in repr(model)
    assert repr(model).endswith(" ≤ 128>")


def test_a_ready_request_is_passed_through(opened: Any) -> None:
    model, log = opened([(1, 32)])
    request = request_of(32)
    model.run(request)
    np.testing.assert_array_equal(log.last, request["x"])


def test_a_strided_view_of_bucket_size_arrives_contiguous(opened: Any, answer: Answer) -> None:
    model, _ = opened([(1, 32)])
    view = np.asfortranarray(request_of(32)["x"])
    assert_same(model.run({"x": view}), answer(view))


def test_selection_takes_the_cheapest_containing_bucket(opened: Any) -> None:
    model, _ = opened([(1, 32), (1, 64), (1, 128)], costs={(1, 64): 9.0, (1, 128): 5.0, (1, 32): 1.0})
    assert model.select({"W": 32}) == {"N": 1, "W": 32}
    assert model.select({"W": 33}) == {"N": 1, "W": 128}
    with pytest.raises(BundleError, match=r"no bucket contains \{'N': 1, 'W': 129\}"):
        model.select({"W": 129})
    with pytest.raises(BundleError, match=r"no variable 'V'.*Did you mean 'W'"):
        model.select({"V": 3})
    with pytest.raises(BundleError, match="W is 0"):
        model.select({"W": 0})


def test_a_large_batch_is_cut_at_least_cost(opened: Any, answer: Answer) -> None:
    model, log = opened([(1, 32), (4, 32)], costs={(1, 32): 1.0, (4, 32): 2.0})
    request = request_of(30, 9)
    assert_same(model.run(request), answer(request["x"]))
    assert sorted(log.runs) == [(1, 3, 32), (4, 3, 32), (4, 3, 32)]
    assert model.stats().oversize == {"batch": 1}


def test_a_batch_is_padded_where_no_bucket_has_its_count(opened: Any, answer: Answer) -> None:
    model, log = opened([(4, 32)])
    request = request_of(20, 3)
    assert_same(model.run(request), answer(request["x"]))
    assert log.runs == [(4, 3, 32)]


def test_together_is_cheaper_where_batches_are(opened: Any) -> None:
    model, log = opened(costs={(1, 32): 3.0, (1, 64): 6.0, (4, 32): 4.0, (4, 64): 8.0})
    model.run_many([request_of(width) for width in (10, 60, 20, 50, 30, 32)])
    # Two wide and four narrow ones: (4, 64) for the wide, (4, 32) for the others.
    assert sorted(log.runs) == [(4, 3, 32), (4, 3, 64)]


def test_run_many_of_nothing(opened: Any) -> None:
    model, log = opened()
    assert model.run_many([]) == []
    assert log.runs == []


@pytest.mark.parametrize("in_flight", [1, 3])
def test_batches_in_flight_keep_the_order(opened: Any, answer: Answer, in_flight: int) -> None:
    model, _ = opened(loading={"in_flight": in_flight})
    requests = [request_of(1 + (7 * i) % 64, 1 + i % 3, i) for i in range(40)]
    for got, request in zip(model.run_many(requests), requests, strict=True):
        assert_same(got, answer(request["x"]))


def test_oversize_fallback_runs_the_dynamic_model(opened: Any, answer: Answer, tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    path.write_text("stand-in")
    fallback = Fallback("fake", ArtefactFile(path.name, digest_file(path)))
    model, log = opened(oversize="fallback", fallback=fallback)
    requests = [request_of(100), request_of(30)]
    for got, request in zip(model.run_many(requests), requests, strict=True):
        assert_same(got, answer(request["x"]))
    assert len(log.runs) == 1
    assert model.stats().oversize == {"fallback": 1}


def test_oversize_split_joins_the_pieces(opened: Any, answer: Answer) -> None:
    model, log = opened(oversize="split", outputs=("y",))
    for count in (2, 7):
        request = request_of(150, count)
        assert_same(model.run(request), {"y": answer(request["x"])["y"]})
    assert model.stats().oversize["split"] == 2
    assert max(shape[2] for shape in log.runs) == 64


def test_oversize_split_that_cannot_be_joined_is_refused(opened: Any) -> None:
    # 37 columns give 10, its pieces of 33 and 4 give 9 + 1, but "top" has nothing to join.
    model, _ = opened([(1, 33)], oversize="split")
    with pytest.raises(BundleError, match="cannot be joined from pieces along W"):
        model.run(request_of(37))


def test_engines_load_on_first_use_and_only_so_many_stay(opened: Any, answer: Answer) -> None:
    model, log = opened([(1, 16), (1, 32), (1, 64)], loading={"resident": 2})
    assert log.loaded == []
    for width in (16, 32, 64, 16, 64):
        request = request_of(width)
        assert_same(model.run(request), answer(request["x"]))
        assert model._engines.resident <= 2
    # 16 was used longest ago when 64 came, then 32 when 16 came back; 64 was still there.
    assert log.loaded == ["m_N1_W16.bin", "m_N1_W32.bin", "m_N1_W64.bin", "m_N1_W16.bin"]
    assert log.closed == 2


def test_warm_up_loads_everything_or_what_is_asked_for(opened: Any) -> None:
    model, log = opened([(1, 16), (1, 32), (1, 64)])
    model.warm_up([{"W": 20}])
    assert log.loaded == ["m_N1_W32.bin"]
    model.warm_up()
    assert sorted(log.loaded) == ["m_N1_W16.bin", "m_N1_W32.bin", "m_N1_W64.bin"]
    assert model.stats().requests == 0


def test_an_engine_that_fails_is_replaced(opened: Any, answer: Answer) -> None:
    model, log = opened([(1, 32)])
    log.failures.append(RuntimeError("out of memory"))
    request = request_of(9)
    with pytest.raises(BundleError, match="out of memory"):
        model.run(request)
    assert_same(model.run(request), answer(request["x"]))
    assert len(log.loaded) == 2


def test_an_interruption_amid_padding_leaves_nothing_to_the_next_request(
    opened: Any, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, log = opened([(1, 64)])
    model.run(request_of(8))
    noted = PaddedBuffer._place

    def interrupted(self: PaddedBuffer, row: int, part: Any) -> None:
        extents = list(self._extents)
        noted(self, row, part)
        self._extents = extents  # What is real now was not noted yet.
        raise KeyboardInterrupt

    monkeypatch.setattr(PaddedBuffer, "_place", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.run(request_of(60))
    monkeypatch.undo()
    assert_same(model.run(request_of(8)), answer(request_of(8)["x"]))
    assert log.last is not None
    assert not log.last[:, :, 8:].any()
    assert len(log.loaded) == 2


def test_a_damaged_or_missing_artefact_is_named(opened: Any, tmp_path: Path) -> None:
    model, _ = opened([(1, 16), (1, 32)])
    (tmp_path / "m_N1_W16.bin").write_text("1x17")
    (tmp_path / "m_N1_W32.bin").unlink()
    with pytest.raises(BundleError, match=r"m_N1_W16\.bin: it is not the file that was built"):
        model.run(request_of(16))
    with pytest.raises(BundleError, match=r"m_N1_W32\.bin: cannot be read"):
        model.run(request_of(32))


def test_a_closed_model_refuses(opened: Any) -> None:
    model, log = opened([(1, 32)])
    with model:
        model.run(request_of(8))
    assert log.closed == 1
    with pytest.raises(BundleError, match="closed"):
        model.run(request_of(8))
    with pytest.raises(BundleError, match="closed"):
        model.submit(request_of(8))


def test_whoever_waits_gets_the_first_engine_that_is_free(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, log = opened([(1, 32)], loading={"copies": 2})
    model.warm_up()
    first, second = (slot.engine for slot in model._engines._slots[0])
    begun, end = (
        {first: threading.Event(), second: threading.Event()},
        {first: threading.Event(), second: threading.Event()},
    )
    run = type(first).run

    def slow(engine: Any, inputs: Any) -> Any:
        if not begun[engine].is_set():
            begun[engine].set()
            assert end[engine].wait(60)
        return run(engine, inputs)

    monkeypatch.setattr(type(first), "run", slow)
    threads = [threading.Thread(target=model.run, args=(request_of(8),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert all(event.wait(60) for event in begun.values())
    served = threading.Event()
    third = threading.Thread(target=lambda: (model.run(request_of(9)), served.set()))
    third.start()
    end[second].set()
    assert served.wait(60)
    end[first].set()
    for thread in (*threads, third):
        thread.join()
    assert len(log.loaded) == 2


def test_a_closed_model_warms_up_no_more(opened: Any) -> None:
    model, log = opened()
    model.close()
    with pytest.raises(BundleError, match="closed"):
        model.warm_up()
    assert log.loaded == []


def test_a_closed_model_loads_no_fallback(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "dynamic.bin").write_text("dynamic")
    fallback = Fallback("fake", ArtefactFile("dynamic.bin", digest_file(tmp_path / "dynamic.bin")))
    model, _ = opened([(1, 32)], oversize="fallback", fallback=fallback)
    assert model.run(request_of(40))["y"].shape == (1, 10)
    model.close()
    with pytest.raises(BundleError, match="closed"):
        model.run(request_of(40))


def test_an_engine_that_does_not_close_leaves_none_of_the_others_open(
    opened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, log = opened([(1, 16), (1, 32), (1, 64)])
    model.warm_up()
    engine = next(iter(model._engines._slots[0])).engine
    monkeypatch.setattr(engine, "close", lambda: 1 / 0)
    with pytest.raises(BundleError, match="could not be closed"):
        model.close()
    assert log.closed == 2
    with pytest.raises(BundleError, match="closed"):
        model.submit(request_of(8))


def test_an_engine_that_does_not_close_fails_no_request(opened: Any, answer: Answer) -> None:
    model, log = opened([(1, 16), (1, 32)], loading={"resident": 1})
    model.run(request_of(8))
    next(iter(model._engines._slots[0])).engine.close = lambda: 1 / 0
    assert_same(model.run(request_of(32)), answer(request_of(32)["x"]))
    log.failures.append(RuntimeError("out of memory"))
    next(iter(model._engines._slots[1])).engine.close = lambda: 1 / 0
    with pytest.raises(BundleError, match="out of memory"):
        model.run(request_of(32))


def test_a_file_that_is_replaced_while_it_is_loaded_is_not_served(opened: Any, tmp_path: Path) -> None:
    model, log = opened([(1, 32)])
    path, load = tmp_path / "m_N1_W32.bin", log.load

    def replaced(file: Path, options: Any) -> Any:
        other = path.with_name("other")
        other.write_text("1x31")
        other.replace(path)
        return load(file, options)

    model._engines._loader = replaced
    with pytest.raises(BundleError, match=r"m_N1_W32\.bin: a file of it was changed while it was loaded"):
        model.run(request_of(8))
    assert log.closed == 1


def test_many_threads_get_what_one_would(opened: Any, answer: Answer) -> None:
    model, _ = opened(loading={"resident": 2})
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for step in range(60):
                request = request_of(1 + (seed * 31 + step * 17) % 64, 1 + step % 5, seed)
                assert_same(model.run(request), answer(request["x"]))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert model.stats().requests == 480


def test_submitted_requests_come_back(opened: Any, answer: Answer) -> None:
    with opened(loading={"in_flight": 2})[0] as model:
        requests = [request_of(width) for width in range(1, 30)]
        futures = [model.submit(request) for request in requests]
        for future, request in zip(futures, requests, strict=True):
            assert_same(future.result(), answer(request["x"]))


@pytest.mark.parametrize(
    ("policy", "row"),
    [
        (Padding("constant", value=7.0), [1, 2, 7, 7]),
        (Padding("edge"), [1, 2, 2, 2]),
        (Padding(side="start"), [0, 0, 1, 2]),
        (Padding("edge", side="start"), [1, 1, 1, 2]),
    ],
)
def test_padding_policies(opened: Any, policy: Padding, row: list[int]) -> None:
    model, log = opened([(1, 4)], padding={"x": policy})
    for _ in range(2):
        model.run({"x": np.ones((1, 3, 3), np.float32)})
        model.run({"x": np.broadcast_to(np.array([1, 2], np.float32), (1, 3, 2))})
        assert log.last[0, 0].tolist() == row
