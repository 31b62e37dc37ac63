"""What clients of the Open Inference Protocol get: answers, errors, metadata, metrics."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling_tasks.runtime.bundle import load_bundle
from tests.serving.conftest import HTTP, PROTOCOLS, Served, infer, pixels_of

# Some are of a bucket's size, some are padded, some cut along the batch; 200 the dynamic model serves.
SIZES = [(1, 64), (2, 64), (3, 33), (9, 96), (1, 200), (1, 40), (4, 64), (1, 90)]


@pytest.fixture(scope="module")
def answers(bundle: Path) -> list[Any]:
    """What the bundle answers without a server."""
    with load_bundle(bundle, threads=1) as model:
        return [next(iter(model.run({"x": pixels_of(*size)}).values())) for size in SIZES]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_equal_direct_runs(served: Served, answers: list[Any], protocol: str) -> None:
    client = served.client(protocol)
    for size, wanted in zip(SIZES, answers, strict=True):
        np.testing.assert_allclose(infer(client, "cls", pixels_of(*size), protocol), wanted, atol=1e-5)
        np.testing.assert_allclose(infer(client, "again", pixels_of(*size), protocol), wanted, atol=1e-5)


def test_numbers_may_come_and_go_as_json(served: Served, answers: list[Any]) -> None:
    pixels = pixels_of(*SIZES[1])
    body = {"inputs": [{"name": "x", "shape": pixels.shape, "datatype": "FP32", "data": pixels.ravel().tolist()}]}
    code, answer = served.post(
        "/v2/models/cls/infer", json.dumps({"id": "7", **body}).encode(), **{"content-type": "application/json"}
    )
    assert code == 200
    assert answer["id"] == "7"
    (output,) = answer["outputs"]
    np.testing.assert_allclose(np.reshape(output["data"], output["shape"]), answers[1], atol=1e-5)


def test_requests_of_several_clients_run_in_batches(served: Served, answers: list[Any]) -> None:
    before, several = served.metrics(), 16
    start, wrong = threading.Barrier(several), []

    def send(number: int) -> None:
        protocol = "http" if number % 2 else "grpc"
        client, chosen = served.client(protocol), (0, 5)[number // 2 % 2]  # widths of the same bucket
        start.wait(60)
        if not np.allclose(infer(client, "paying", pixels_of(*SIZES[chosen]), protocol), answers[chosen], atol=1e-5):
            wrong.append(number)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(several)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    after = served.metrics()
    assert not wrong
    grown = {key: value - before.get(key, 0.0) for key, value in after.items()}
    assert grown['scaling_tasks_requests_total{model="paying"}'] == several
    runs = {
        key: count for key, count in grown.items() if "bucket_runs_total" in key and 'model="paying"' in key and count
    }
    assert sum(runs.values()) < several
    assert any("N4_W64" in key for key in runs)
    assert grown['scaling_tasks_request_seconds_count{model="paying"}'] == several
    assert grown['scaling_tasks_queue_seconds_count{model="paying"}'] == several
    assert grown['scaling_tasks_requests_total{model="again"}'] == 0


def test_metrics_tell_padding_oversize_and_errors(served: Served) -> None:
    client, before = served.client("grpc"), served.metrics()
    infer(client, "again", pixels_of(1, 200), "grpc")
    infer(client, "again", pixels_of(1, 48), "grpc")
    with pytest.raises(Exception, match="3 axes"):
        infer(client, "again", pixels_of(1, 48)[0], "grpc")
    after = served.metrics()
    for key in ('oversize_total{model="again",policy="fallback"}', 'errors_total{kind="request",model="again"}'):
        assert after[f"scaling_tasks_{key}"] == before.get(f"scaling_tasks_{key}", 0.0) + 1
    assert after['scaling_tasks_padding_ratio{model="again"}'] > 1
    assert after['scaling_tasks_buckets{model="again",state="ready"}'] == 4
    assert after['scaling_tasks_buckets{model="again",state="waiting"}'] == 0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_metadata_name_what_varies(served: Served, protocol: str) -> None:
    client = served.client(protocol)
    assert client.is_server_live()
    assert client.is_model_ready("cls")
    if protocol == "http":
        found = client.get_model_metadata("cls")
        ((name, shape, datatype),) = [
            tuple(each[key] for key in ("name", "shape", "datatype")) for each in found["inputs"]
        ]
        assert found["outputs"][0]["shape"] == [-1, 2]
    else:
        found = client.get_model_metadata("cls")
        ((name, shape, datatype),) = [(each.name, list(each.shape), each.datatype) for each in found.inputs]
        assert list(found.outputs[0].shape) == [-1, 2]
    assert (name, shape, datatype) == ("x", [-1, 3, 48, -1], "FP32")


WRONG = {
    "unknown input": ("cls", "z", (1, 3, 48, 64), np.float32, "there is no input 'z'", "400"),
    "axes": ("cls", "x", (1, 3, 48), np.float32, "the array has 3 axes, not 4", "400"),
    "fixed axis": ("cls", "x", (1, 4, 48, 64), np.float32, "axis 1 is 4 long but the model fixes it to 3", "400"),
    "element type": ("cls", "x", (1, 3, 48, 64), np.float64, "of float64, not float32", "400"),
    "empty": ("cls", "x", (0, 3, 48, 64), np.float32, "is empty", "400"),
    "unknown model": ("other", "x", (1, 3, 48, 64), np.float32, "there is no model 'other'; there are ", "404"),
}
CODES = {"400": "StatusCode.INVALID_ARGUMENT", "404": "StatusCode.NOT_FOUND"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_is_told_in_one_sentence(served: Served, case: str, protocol: str) -> None:
    from tritonclient.utils import InferenceServerException, np_to_triton_dtype

    model, name, shape, dtype, message, code = WRONG[case]
    kind, client = PROTOCOLS[protocol], served.client(protocol)
    tensor = kind.InferInput(name, shape, np_to_triton_dtype(dtype))
    tensor.set_data_from_numpy(np.zeros(shape, dtype))
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [tensor])
    assert caught.value.status() == (code if protocol == "http" else CODES[code])
    assert message in caught.value.message()
    assert "\n" not in caught.value.message()
    assert "Traceback" not in caught.value.message()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_models_have_no_versions(served: Served, protocol: str) -> None:
    from tritonclient.utils import InferenceServerException

    kind, client = PROTOCOLS[protocol], served.client(protocol)
    tensor = kind.InferInput("x", (1, 3, 48, 64), "FP32")
    tensor.set_data_from_numpy(pixels_of(1, 64))
    with pytest.raises(InferenceServerException, match="Leave the version out") as caught:
        client.infer("cls", [tensor], model_version="7")
    assert caught.value.status() in ("400", CODES["400"])
    for asked in (client.get_model_metadata, client.is_model_ready)[: 2 if protocol == "grpc" else 1]:
        with pytest.raises(InferenceServerException, match="Leave the version out"):
            asked("cls", model_version="7")


def test_a_request_that_is_too_large_is_refused(served: Served) -> None:
    length = (256 << 20) + 1
    for headers in ({"content-length": str(length)}, {"transfer-encoding": "chunked"}):
        connection = http.client.HTTPConnection("127.0.0.1", served.ports["http"], timeout=60)
        connection.putrequest("POST", "/v2/models/cls/infer")
        for name, value in {**headers, "content-type": BINARY, "inference-header-content-length": "9"}.items():
            connection.putheader(name, value)
        connection.endheaders()
        with contextlib.suppress(ConnectionError):  # The answer comes before all of it has gone.
            while "transfer-encoding" in headers and length > 0:
                connection.send(b"800000\r\n" + bytes(8 << 20) + b"\r\n")
                length -= 8 << 20
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read()) == {
            "error": "the request is larger than 268435456 bytes. Send fewer rows at a time."
        }


def test_what_is_not_there_is_told_as_an_error(served: Served) -> None:
    assert served.post("/v2/repository/index", b"{}") == (404, {"error": "there is nothing at /v2/repository/index."})


def test_an_unknown_output_is_told(served: Served) -> None:
    tensor = HTTP.InferInput("x", (1, 3, 48, 64), "FP32")
    tensor.set_data_from_numpy(pixels_of(1, 64))
    before = served.metrics()
    with pytest.raises(Exception, match="there is no output 'y'"):
        served.client("http").infer("cls", [tensor], outputs=[HTTP.InferRequestedOutput("y")])
    key = 'scaling_tasks_requests_total{model="cls"}'
    assert served.metrics()[key] == before[key]  # It did not run.


BINARY = "application/octet-stream"
MALFORMED = {
    "no json": (b"{", "application/json", ""),
    "no inputs": (b"{}", "application/json", ""),
    "half an input": (b'{"inputs": [{"name": "x"}]}', "application/json", ""),
    "too few numbers": (
        b'{"inputs": [{"name": "x", "shape": [1, 3, 48, 64], "datatype": "FP32", "data": [1, 2]}]}',
        "application/json",
        "",
    ),
    "inputs is no list": (b'{"inputs": 3}', BINARY, "13"),
    "no object": (b"[1]", BINARY, "3"),
    "longer than it is": (b"abc", BINARY, "99"),
    "a negative size": (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":-4}}]}',
        BINARY,
        "91",
    ),
    "too few bytes": (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","parameters":{"binary_data_size":4}}]}ab',
        BINARY,
        "90",
    ),
    "bytes left over": (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":[1]}]}ab', BINARY, "65"),
    "unknown datatype": (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP8","data":[1]}]}', BINARY, "64"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_body_is_told_in_one_sentence(served: Served, case: str) -> None:
    body, kind, length = MALFORMED[case]
    headers = {"content-type": kind} | ({"inference-header-content-length": length} if length else {})
    code, answer = served.post("/v2/models/cls/infer", body, **headers)
    assert code == 400, answer
    assert answer.keys() == {"error"}
    assert "\n" not in answer["error"]
    assert "Traceback" not in answer["error"]
