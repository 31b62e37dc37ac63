"""Submitted requests: which run together, when, and what becomes of them when an engine fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaling_tasks.errors import BundleError
from scaling_tasks.onnx_model.original import OriginalModel
from scaling_tasks.runtime.bundle import load_bundle
from scaling_tasks.runtime.model import BucketedModel
from tests.runtime.conftest import EngineLog, expected, write_bundle
from tests.runtime.test_real_bundles import build

# A launch costs ten rows.
COSTS = {(count, width): 10.0 + count * width / 32 for count in (1, 4) for width in (32, 64)}
LONG = 3600.0


def request_of(width: int, count: int = 1) -> dict[str, Any]:
    return {"x": np.random.default_rng((count, width)).random((count, 3, width), dtype=np.float32)}


def assert_served(answer: Any, request: dict[str, Any]) -> None:
    got, wanted = answer.result(60), expected(request["x"])
    for name in wanted:
        np.testing.assert_array_equal(got[name], wanted[name])


class Held:
    """Makes the first run of a model's engines wait for leave."""

    def __init__(self, model: BucketedModel) -> None:
        self.begun, self.leave = threading.Event(), threading.Event()
        run = model._engines.run

        def wait(*arguments: Any) -> Any:
            if not self.begun.is_set():
                self.begun.set()
                assert self.leave.wait(60)
            return run(*arguments)

        model._engines.run = wait  # type: ignore[method-assign]


def test_what_came_while_the_engine_was_at_work_runs_together(opened: Any) -> None:
    model, log = opened(costs=COSTS)
    with model:
        held, requests = Held(model), [request_of(width) for width in (9, 30, 31, 32, 20, 60)]
        answers = [model.submit(requests[0])]
        assert held.begun.wait(60)
        answers += [model.submit(request) for request in requests[1:]]
        held.leave.set()
        for answer, request in zip(answers, requests, strict=True):
            assert_served(answer, request)
    # Four narrow ones in one run, the wide one by itself: 14 + 12, and not 3 narrow and 2 in a wide batch.
    assert sorted(log.runs[1:]) == [(1, 3, 64), (4, 3, 32)]
    assert all(answer.waited > 0 for answer in answers)


def test_a_request_waits_for_others_and_a_full_batch_does_not(opened: Any) -> None:
    model, log = opened(costs=COSTS, loading={"batch_wait": LONG})
    requests = [request_of(width) for width in (9, 30, 31, 32)]
    answers = [model.submit(request) for request in requests[:3]]
    assert not any(answer.running() or answer.done() for answer in answers)
    answers.append(model.submit(requests[3]))
    for answer, request in zip(answers, requests, strict=True):
        assert_served(answer, request)
    assert log.runs == [(4, 3, 32)]
    model.close()


def test_it_does_not_wait_longer_than_it_may(opened: Any) -> None:
    model, log = opened(costs=COSTS, loading={"batch_wait": 0.05})
    requests = [request_of(30), request_of(31)]
    for answer, request in zip([model.submit(request) for request in requests], requests, strict=True):
        assert_served(answer, request)
    assert log.runs in ([(4, 3, 32)], [(1, 3, 32)] * 2)  # The second may come when the first has run.
    model.close()


def test_nothing_waits_where_batches_save_nothing(opened: Any) -> None:
    model, log = opened(loading={"batch_wait": LONG})  # costs are elements
    for width in (9, 60):
        assert_served(model.submit(request_of(width)), request_of(width))
    assert log.runs == [(1, 3, 32), (1, 3, 64)]
    model.close()


def test_closing_serves_those_that_wait_and_takes_no_more(opened: Any) -> None:
    model, log = opened(costs=COSTS, loading={"batch_wait": LONG, "in_flight": 2})
    requests = [request_of(width) for width in (30, 60, 50)]
    answers = [model.submit(request) for request in requests]
    model.close()
    for answer, request in zip(answers, requests, strict=True):
        assert_served(answer, request)
    assert len(log.runs) < len(requests)
    with pytest.raises(BundleError, match="closed"):
        model.submit(requests[0])


def test_a_cancelled_request_does_not_run(opened: Any) -> None:
    model, log = opened(costs=COSTS, loading={"batch_wait": LONG})
    answers = [model.submit(request_of(width, count)) for width, count in ((30, 1), (31, 2), (32, 1))]
    assert answers[0].cancel()
    model.close()
    assert_served(answers[1], request_of(31, 2))
    assert_served(answers[2], request_of(32))
    assert log.runs == [(4, 3, 32)]
    assert model.stats().requests == 2


def test_requests_are_tried_again_by_themselves_when_their_batch_fails(opened: Any) -> None:
    model, log = opened(costs=COSTS, loading={"batch_wait": LONG})
    requests = [request_of(width) for width in (9, 30, 31, 32)]
    log.failures += [*[RuntimeError("poison")] * 3, RuntimeError("died")]  # the last goes first
    answers = [model.submit(request) for request in requests]
    with pytest.raises(BundleError, match="poison"):
        answers[[answer.exception(60) is not None for answer in answers].index(True)].result()
    served = [number for number, answer in enumerate(answers) if answer.exception() is None]
    assert len(served) == 3
    for number in served:
        assert_served(answers[number], requests[number])
    model.close()


def test_a_request_that_fails_takes_its_other_rows_with_it(opened: Any) -> None:
    model, log = opened(costs=COSTS)
    log.failures += [RuntimeError("poison")] * 9
    answer = model.submit(request_of(30, 9))
    with pytest.raises(BundleError, match="poison"):
        answer.result(60)
    log.failures.clear()
    assert_served(model.submit(request_of(31)), request_of(31))
    model.close()
    assert len(log.runs) <= 10


def test_nobody_waits_for_a_worker_that_is_lost(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = opened(costs=COSTS)
    with monkeypatch.context() as patched:
        patched.setattr(model._server, "partition", lambda shapes: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.submit(request_of(30)).result(60)
    assert_served(model.submit(request_of(31)), request_of(31))
    model.close()


SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 64)), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def bundle_of_fakes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    directory = tmp_path_factory.mktemp("fakes")
    return directory, write_bundle(directory, sorted(COSTS), costs=COSTS)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=SIZES, workers=st.integers(1, 3), wait=st.sampled_from([0.0, 0.001, LONG]))
def test_every_request_gets_its_own_answer(
    bundle_of_fakes: Any, sizes: list[tuple[int, int]], workers: int, wait: float
) -> None:
    (directory, manifest), log = bundle_of_fakes, EngineLog()
    model = BucketedModel(directory, manifest, log.load, in_flight=workers, copies=workers, batch_wait=wait)
    requests = [request_of(width, count) for count, width in sizes]
    answers: list[Any] = [None] * len(requests)

    def send(first: int) -> None:
        for at in range(first, len(requests), 2):
            answers[at] = model.submit(requests[at])

    threads = [threading.Thread(target=send, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    model.close()
    for answer, request in zip(answers, requests, strict=True):
        assert_served(answer, request)
    stats = model.stats()
    assert stats.requests == len(requests)
    assert sum(stats.bucket_runs.values()) == len(log.runs) <= sum(count for count, _ in sizes)


@pytest.fixture(params=["openvino", "onnxruntime"])
def classifier(request: pytest.FixtureRequest, ocr_models: Path, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    path = ocr_models / "ch_ppocr_mobile_v2.0_cls_infer.onnx"
    buckets = [(count, width) for count in (1, 4) for width in (64, 96)]
    directory = build(path, request.param, [-1, 3, 48, -1], buckets, tmp_path / "bundle")
    with load_bundle(directory, in_flight=2, batch_wait=0.05) as model:
        yield model, OriginalModel(path)


def test_real_engines_answer_as_when_asked_one_by_one(classifier: tuple[Any, Any]) -> None:
    model, original = classifier
    generator = np.random.default_rng(0)
    # Widths of buckets, where nothing is padded, and one that the dynamic model serves.
    sizes = [(1, 64), (1, 96), (3, 64), (9, 96), (1, 64), (2, 96), (1, 200), (1, 64)]
    requests = [{"x": generator.random((count, 3, 48, width), dtype=np.float32)} for count, width in sizes]
    answers = [model.submit(request) for request in requests]
    for answer, request in zip(answers, requests, strict=True):
        (found,), (wanted,) = answer.result(120).values(), original.run(request).values()
        np.testing.assert_allclose(found, wanted, atol=2e-4)
    assert sum(model.stats().bucket_runs.values()) < sum(count for count, _ in sizes)
