"""The bucket table and the partition, against brute force."""

from __future__ import annotations

import functools
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling_tasks.errors import BundleError
from scaling_tasks.runtime import batching, selection
from scaling_tasks.runtime.batching import Batcher
from scaling_tasks.runtime.selection import BucketTable
from scaling_tasks.shapes.partition import RunTable

Shape = tuple[int, ...]


def contains(bucket: Shape, shape: Shape) -> bool:
    return all(have >= want for have, want in zip(bucket, shape, strict=True))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Shape], list[float], list[Shape]]:
    columns = draw(st.integers(1, 3))
    shape = st.tuples(*[st.integers(1, 9)] * columns)
    buckets = draw(st.lists(shape, min_size=1, max_size=8, unique=True))
    costs = draw(st.lists(st.integers(1, 5).map(float), min_size=len(buckets), max_size=len(buckets)))
    return buckets, costs, draw(st.lists(shape, min_size=1, max_size=10))


@given(tables())
def test_lookup_is_the_cheapest_containing_bucket(case: tuple[list[Shape], list[float], list[Shape]]) -> None:
    buckets, costs, shapes = case
    table = BucketTable(buckets, costs)
    for shape in shapes:
        found = table.find(shape)
        containing = [cost for bucket, cost in zip(buckets, costs, strict=True) if contains(bucket, shape)]
        if containing:
            assert contains(buckets[found], shape)
            assert costs[found] == min(containing)
        else:
            assert found == -1


@given(tables())
def test_searching_and_looking_up_agree(case: tuple[list[Shape], list[float], list[Shape]]) -> None:
    buckets, costs, shapes = case
    table = BucketTable(buckets, costs)
    assert [table.find(shape) for shape in shapes] == [next(table.containing(shape), -1) for shape in shapes]


def test_too_many_cells_are_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_MOST_CELLS", 3)
    table = BucketTable([(1, 2), (2, 1), (3, 3)], [1, 1, 2])
    assert [table.find(shape) for shape in ((1, 1), (2, 1), (2, 2), (4, 1))] == [0, 1, 2, -1]


def test_a_model_without_variables_has_one_bucket() -> None:
    assert BucketTable([()], [1.0]).find(()) == 0
    with pytest.raises(BundleError, match="no bucket"):
        BucketTable([], [])


def partitions(items: list[int]) -> list[list[list[int]]]:
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    found = []
    for smaller in partitions(rest):
        found.append([[first], *smaller])
        found += [[*smaller[:i], [first, *smaller[i]], *smaller[i + 1 :]] for i in range(len(smaller))]
    return found


@given(
    st.lists(st.tuples(st.integers(1, 12)), min_size=1, max_size=6),
    st.lists(st.integers(1, 5), min_size=1, max_size=3, unique=True),
    st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True),
    st.integers(0, 8),
)
def test_one_variable_partition_is_optimal(
    sizes: list[Shape], counts: list[int], widths: list[int], overhead: int
) -> None:
    widths = [*widths, 12]
    buckets = sorted(set(itertools.product(counts, widths)))
    costs = [float(overhead + count * width) for count, width in buckets]
    batches = Batcher(BucketTable(buckets, costs), 0).partition(sizes)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(sizes)))
    for batch in batches:
        largest = max(sizes[item][0] for item in batch.items)
        assert contains(buckets[batch.bucket], (len(batch.items), largest))

    def cost(group: list[int]) -> float:
        need = (len(group), max(sizes[item][0] for item in group))
        return min((c for b, c in zip(buckets, costs, strict=True) if contains(b, need)), default=math.inf)

    best = min(sum(map(cost, parts)) for parts in partitions(list(range(len(sizes)))))
    assert sum(costs[batch.bucket] for batch in batches) == best


def least_cost(sizes: list[Shape], buckets: list[Shape], costs: list[float]) -> float:
    """The least total cost over all ways to divide the items, one subset after another."""
    everything = (1 << len(sizes)) - 1

    @functools.cache
    def alone(group: int) -> float:
        items = [size for item, size in enumerate(sizes) if group >> item & 1]
        need = (len(items), *map(max, zip(*items, strict=True)))
        return min((c for b, c in zip(buckets, costs, strict=True) if contains(b, need)), default=math.inf)

    @functools.cache
    def best(left: int) -> float:
        if not left:
            return 0.0
        first = left & -left
        rest = part = left ^ first
        found = math.inf
        while True:
            found = min(found, alone(first | part) + best(rest ^ part))
            if not part:
                return found
            part = (part - 1) & rest

    return best(everything)


@given(
    st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=8),
    st.lists(st.tuples(st.sampled_from((1, 2, 3, 5)), st.integers(1, 8), st.integers(1, 8)), max_size=9),
    st.integers(0, 20),
)
@settings(max_examples=300)
def test_two_variable_partition_of_few_items_is_optimal(sizes: list[Shape], some: list[Shape], overhead: int) -> None:
    buckets = sorted({*some, (1, 8, 8)})
    costs = [float(overhead + math.prod(bucket)) for bucket in buckets]
    batches = Batcher(BucketTable(buckets, costs), 0).partition(sizes)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(sizes)))
    for batch in batches:
        need = (len(batch.items), *(max(sizes[item][axis] for item in batch.items) for axis in range(2)))
        assert contains(buckets[batch.bucket], need)
    assert sum(costs[batch.bucket] for batch in batches) == least_cost(sizes, buckets, costs)


@given(
    st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=6),
    st.lists(st.tuples(*[st.integers(1, 4)] * 4), max_size=9),
)
def test_the_batch_may_stand_anywhere_and_there_may_be_three_sizes(sizes: list[Shape], some: list[Shape]) -> None:
    buckets = sorted({*some, (1, 4, 4, 4)})
    costs = [float(5 + math.prod(bucket)) for bucket in buckets]
    turned = [(*bucket[1:3], bucket[0], bucket[3]) for bucket in buckets]
    batches = Batcher(BucketTable(turned, costs), 2).partition(sizes)
    assert sum(costs[batch.bucket] for batch in batches) == least_cost(sizes, buckets, costs)


def test_a_search_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    buckets = list(itertools.product((1, 2, 3, 5, 8), (3, 5, 8), (3, 5, 8)))
    table = BucketTable(buckets, [20.0 + math.prod(bucket) for bucket in buckets])
    sizes = [tuple(map(int, size)) for size in np.random.default_rng(0).integers(1, 9, (60, 2))]
    searched = Batcher(table, 0).partition(sizes)
    monkeypatch.setattr(batching, "_MOST_STEPS", 0)
    assert Batcher(table, 0).partition(sizes) == searched


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=1, max_size=14))
def test_two_variable_partition_is_valid_and_no_worse_than_one_by_one(sizes: list[Shape]) -> None:
    buckets = [(n, h, w) for n, h, w in itertools.product((1, 2, 4), (4, 8), (4, 8)) if (n, h, w) != (4, 8, 8)]
    costs = [1.0 + n * h * w for n, h, w in buckets]
    table = BucketTable(buckets, costs)
    batches = Batcher(table, 0).partition(sizes)
    assert sorted(item for batch in batches for item in batch.items) == list(range(len(sizes)))
    for batch in batches:
        need = (len(batch.items), *(max(sizes[item][axis] for item in batch.items) for axis in range(2)))
        assert contains(buckets[batch.bucket], need)
    assert sum(costs[b.bucket] for b in batches) <= sum(costs[table.find((1, *size))] for size in sizes)


@given(st.lists(st.tuples(st.integers(1, 30)), min_size=1, max_size=40), st.integers(0, 60))
def test_the_planner_expects_what_the_runtime_does(sizes: list[Shape], overhead: int) -> None:
    buckets = list(itertools.product((1, 3, 8), (5, 12, 30)))
    costs = [float(overhead + count * width) for count, width in buckets]
    served = Batcher(BucketTable(buckets, costs), 0).partition(sizes)
    table = np.array(buckets)
    runs = RunTable(np.array(sizes), np.array([0, len(sizes)]), sorted(set(table[:, 0].tolist())))
    expected = runs.serve(runs.run_costs(table[:, 0], table[:, 1:], np.array(costs)).min(axis=1)).total
    assert sum(costs[batch.bucket] for batch in served) == expected


def test_no_bucket_with_a_single_row() -> None:
    table = BucketTable([(4, 8, 2), (4, 2, 8)], [1.0, 1.0])
    batches = Batcher(table, 0).partition([(8, 1), (1, 8), (7, 2)])
    assert sorted(tuple(sorted(batch.items)) for batch in batches) == [(0, 2), (1,)]
