"""What tensors of the protocol become; in a process of its own, since KServe and its clients cannot be in one."""

from __future__ import annotations

import subprocess
import sys

import pytest

_READ = """
import sys
import numpy as np
from kserve import InferInput, InferRequest
from kserve.errors import InvalidInput
from scaling_tasks.serving.tensors import arrays_of

def read(kind, data):
    return arrays_of(InferRequest("m", [InferInput("x", [len(data)], kind, data)]))["x"].tolist()

def refused(kind, data):
    try:
        return f"taken: {read(kind, data)}"
    except InvalidInput as error:
        return f"input 'x': its data is no {kind} of shape [{len(data)}]." in str(error) or str(error)

raw = InferInput("x", [1, 2], "BYTES")
raw.set_data_from_numpy(np.array([["größe", ""]], object))
assert arrays_of(InferRequest("m", [raw]))["x"].tolist() == [["größe", ""]]
assert read("BYTES", ["größe", ""]) == ["größe", ""]
assert read("INT64", [2.0, 3]) == [2, 3]
for kind, data in [("UINT8", [300]), ("UINT8", [-1]), ("INT64", [2.5]), ("INT32", [[1], [1, 2]]), ("BOOL", [0.5])]:
    assert refused(kind, data) is True, (kind, data, refused(kind, data))
"""


def test_texts_are_texts_and_what_a_type_does_not_hold_is_refused() -> None:
    pytest.importorskip("tritonclient.http", reason="the extra 'test' is not installed")
    done = subprocess.run([sys.executable, "-c", _READ], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
