"""Decode greedily through a bundle's growing buckets and through the original model; the tokens must be the same.

python examples/decoder/decode.py build/decoder models/decoder.onnx --count 200
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling_tasks.runtime.bundle import load_bundle

Arrays = Mapping[str, NDArray[Any]]
PROMPT = (11, 47, 5, 80, 23, 66, 2)


def decode(run: Callable[[Arrays], Arrays], empty: Arrays, count: int) -> list[int]:
    """Return the tokens after the prompt.

    Args:
        run: The model: tokens, mask and past to logits and the longer past.
        empty: The past of the first call, of length 0.
        count: How many.
    """
    tokens, past, length, found = list(PROMPT), dict(empty), 0, []
    while len(found) < count:
        length += len(tokens)
        mask = np.ones((1, length), np.int64)
        answer = run({"tokens": np.array([tokens], np.int64), "attention_mask": mask, **past})
        past = {name: answer[name.replace("past_", "present_")] for name in past}
        tokens = [int(answer["logits"][0, -1].argmax())]
        found += tokens
    return found


def main() -> int:
    """Compare; return the exit status."""
    import onnxruntime

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--count", type=int, default=200)
    arguments = parser.parse_args()
    session = onnxruntime.InferenceSession(str(arguments.model))
    names = [output.name for output in session.get_outputs()]
    pasts = [given for given in session.get_inputs() if given.name.startswith("past_")]
    empty = {each.name: np.zeros((1, each.shape[1], 0, each.shape[3]), np.float32) for each in pasts}
    original = decode(
        lambda given: dict(zip(names, session.run(names, dict(given)), strict=True)), empty, arguments.count
    )
    with load_bundle(arguments.bundle) as model:
        bucketed = decode(model.run, empty, arguments.count)
        used = len(model.stats().bucket_runs)
    same = sum(left == right for left, right in zip(original, bucketed, strict=True))
    sys.stdout.write(
        f"{same} of {len(original)} tokens are the same, {len(set(original))} distinct, {used} buckets used\n"
    )
    return 0 if same == len(original) else 1


if __name__ == "__main__":
    sys.exit(main())
