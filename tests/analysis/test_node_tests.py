"""ONNX's own test models, in buckets: what is called exact answers as the original at other sizes.

One model for each operator in one variant of dynamic axes; with NODE_TESTS=all in the environment all models in all
variants, which takes most of an hour, with NODE_TESTS=text those whose name holds that text.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis.errors import UnsatisfiedAssumption

from scaling_tasks.analysis.analyse import analyse_model
from scaling_tasks.shapes.behaviour import Behaviour
from tests.analysis.drafts import assert_exact, session
from tests.analysis.node_tests import Case, Variant, cases, variants

_WANTED = os.environ.get("NODE_TESTS", "")
_COMPARED = 3
_ILL_CONDITIONED = ("test_mvn", "test_layer_normalization_2d")
"""What rounding alone moves far where sizes are 1."""


def chosen() -> list[Case]:
    """Return the cases to run."""
    if _WANTED:
        wanted = [case for case in cases() if _WANTED == "all" or _WANTED in case.name]
        return [case for case in wanted if not case.name.startswith(_ILL_CONDITIONED)]
    first: dict[frozenset[str], Case] = {}
    for case in cases():
        if "expanded" not in case.name:
            first.setdefault(case.operators, case)
    return list(first.values())


@pytest.mark.parametrize("case", chosen(), ids=lambda case: case.name)
def test_operator(case: Case) -> None:
    try:
        session(case.model)
    except Exception:
        pytest.skip("onnxruntime does not run it")
    found = list(variants(case))
    for variant in found if _WANTED else found[:1] + found[-2:]:
        _compare(variant)


def _compare(variant: Variant) -> None:
    limits = {name: 2 * size + 3 for name, size in variant.sizes.items()}
    behaviour = analyse_model(variant.model, bucket_limits=limits).behaviour
    if behaviour.refusals:
        return
    generator = np.random.default_rng([len(variant.names), variant.shifted])
    compared = 0
    for attempt in range(6):
        rows = [_drawn(variant, behaviour, generator, attempt) for _ in range(2)]
        most = {name: max(row[name] for row in rows) for name in variant.sizes}
        bucket = behaviour.next_running({name: size + int(generator.integers(1, 4)) for name, size in most.items()})
        if not all(map(behaviour.runs_at, [bucket, *rows])):
            continue  # At 1 some of these run as well: one position is as many as the other input has.
        try:
            assert_exact(variant.model, bucket, rows, data=variant.content(), tolerance=1e-3, bucket_limits=limits)
        except UnsatisfiedAssumption:
            continue
        except AssertionError as error:
            raise AssertionError(f"{variant.kind}, shifted {variant.shifted}: {error}") from error
        compared += 1
        if compared == (_COMPARED if _WANTED else 1):
            return


def _drawn(variant: Variant, behaviour: Behaviour, generator: np.random.Generator, attempt: int) -> dict[str, int]:
    """Draw the case's own sizes, then larger ones, at which its numbers make sense as well, then smaller ones."""
    if not attempt:
        return behaviour.next_running(variant.sizes)
    spans = {name: (size, 2 * size) if attempt < 4 else (1, size) for name, size in variant.sizes.items()}
    return behaviour.next_running({name: int(generator.integers(low, high + 1)) for name, (low, high) in spans.items()})
