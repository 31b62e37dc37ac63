"""How operators that read and write by number are put behind a value of a random graph."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, axis_of, operator


def _numbers(graph: Growing, draw: Draw, value: Value, axis: int) -> Value:
    """Return whole numbers below the length of an axis, shaped like the value."""
    length = graph.size(value, axis)
    if draw(st.booleans()):
        length = graph.add("Min", length, graph.const(draw(st.integers(1, 3))))
    return graph.add("Mod", graph.cast(graph.add("Mul", value, graph.const(7.0)), "int64"), length)


@operator("GatherElements")
def gather_elements(graph: Growing, draw: Draw, value: Value) -> Value:
    """Each position reads another one along an axis, by a number that data decides."""
    axis = axis_of(draw, value)
    return graph.add("GatherElements", value, _numbers(graph, draw, value, axis), axis=axis)


@operator("GatherByData")
def gather_by_data(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Whole positions of an axis read by numbers that data decides."""
    if value.rank > 3:
        return None
    axis = axis_of(draw, value)
    others = [at for at in range(value.rank) if at != axis]
    numbers = _numbers(graph, draw, value, axis)
    if others:
        numbers = graph.add("Squeeze", graph.reduced("ReduceMax", numbers, others), graph.const(others))
    return graph.add("Gather", value, numbers, axis=axis)


@operator("GatherND")
def gather_nd(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The greatest position of each row, as exports find it."""
    if value.rank < 2:
        return None
    if draw(st.booleans()):
        best = graph.add("ArgMax", value, axis=1, keepdims=0)
        while best.rank > 1:
            best = graph.reduced("ReduceMax", best, [best.rank - 1], 0)
        return graph.add("GatherND", value, graph.add("Unsqueeze", best, graph.const([1])), batch_dims=1)
    places = draw(st.sampled_from([[[0, 0], [0, 1]], [[-1, -1]], [[0, -1], [-1, 0], [0, 0]]]))
    return graph.add("GatherND", value, graph.const(places))


@operator("ScatterND")
def scatter_nd(graph: Growing, draw: Draw, value: Value) -> Value:
    """Positions of the first axis written anew, or added to."""
    places = graph.const(draw(st.sampled_from([[[0]], [[1], [0]], [[-1]], [[0], [-1]]])))
    sizes = [graph.size(value, axis) for axis in range(1, value.rank)]
    count = places.probes[0].shape[0]
    updates = graph.add("Expand", graph.const(0.6), graph.shape_of(value, [count, *sizes]))
    known = {"reduction": draw(st.sampled_from(["none", "add"]))} if graph.opset >= 16 else {}
    return graph.add("ScatterND", value, places, updates, **known)


@operator("ScatteredByData")
def scattered_by_data(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Each position added to another one along an axis, by a number that data decides."""
    if graph.opset < 18:
        return None
    axis = axis_of(draw, value)
    numbers = _numbers(graph, draw, value, axis)
    kind = draw(st.sampled_from(["add", "max", "min"]))
    return graph.add("ScatterElements", value, numbers, graph.add("Sigmoid", value), axis=axis, reduction=kind)


@operator("OneHot")
def one_hot(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Classes as vectors, along a new axis; a count of them may follow."""
    if value.rank > 3:
        return None
    classes = graph.add("Mod", graph.cast(graph.add("Mul", value, graph.const(5.0)), "int64"), graph.const(4))
    axis = draw(st.integers(0, value.rank))
    wide = graph.add("OneHot", classes, graph.const(4), graph.const([0.25, 1.0]), axis=axis)
    return graph.reduced("ReduceSum", wide, [draw(st.integers(0, value.rank))]) if draw(st.booleans()) else wide


@operator("Compress")
def compress(graph: Growing, draw: Draw, value: Value) -> Value:
    """Some positions of an axis kept, by a constant or by what data says; their mean."""
    axis = axis_of(draw, value)
    if draw(st.booleans()):
        kept = graph.const(draw(st.sampled_from([[True, False, True], [False, True]])))
        return graph.add("Compress", value, kept, axis=axis)
    others = [at for at in range(value.rank) if at != axis]
    best = graph.reduced("ReduceMax", value, others, 0) if others else value
    # The greatest is kept in any case, so that there is something to take the mean of, alone too.
    mean = graph.add("Sub", graph.reduced("ReduceMean", best, [0]), graph.const(0.01))
    kept = graph.add("GreaterOrEqual", best, mean)
    found = graph.add("Compress", value, kept, axis=axis)
    return graph.reduced("ReduceMean", found, [axis]) if draw(st.booleans()) else found


@operator("NonZero")
def non_zero(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The places of what is above the mean, and what stands there."""
    if value.rank > 3:
        return None
    mean = graph.add("Sub", graph.reduced("ReduceMean", value, list(range(value.rank))), graph.const(0.01))
    places = graph.add("NonZero", graph.cast(graph.add("GreaterOrEqual", value, mean), "int64"))
    if draw(st.booleans()):
        return graph.cast(places, "float32")
    return graph.add("GatherND", value, graph.add("Transpose", places, perm=[1, 0]))


@operator("Sorted")
def sorted_(graph: Growing, draw: Draw, value: Value) -> Value:
    """All positions of an axis in order, and perhaps where they stood."""
    axis = axis_of(draw, value)
    count = graph.shape_of(value, [graph.size(value, axis)])
    both = graph.add("TopK", value, count, outputs=2, axis=axis, largest=draw(st.integers(0, 1)))
    return both[0] if draw(st.booleans()) else graph.cast(both[1], "float32")


@operator("Identity matrix")
def identity_matrix(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """A diagonal added to the last two axes."""
    if value.rank != 2:
        return None
    return graph.add("Add", value, graph.add("EyeLike", value, k=draw(st.integers(-1, 1))))


@operator("Unfolded")
def unfolded(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Blocks laid over each other to an image."""
    channels = value.fixed(1) if value.rank == 3 and graph.opset >= 18 else None
    if channels is None or channels % 2 or value.fixed(2) is not None:
        return None
    length = graph.size(value, 2)
    image = graph.shape_of(value, [1, graph.add("Add", length, graph.const(1))])
    return graph.add("Col2Im", value, image, graph.const([1, 2]), pads=[0, 0, 0, 0])


@operator("CenterCropPad")
def center_crop_pad(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The middle of an axis, by arithmetic on its size, or that of another value."""
    if graph.opset < 18:
        return None
    axis = axis_of(draw, value)
    length = graph.size(value, axis)
    change = draw(st.sampled_from(["half", "more", "less"]))
    if change == "half":
        length = graph.add("Div", length, graph.const(2))
    else:
        length = graph.add("Add", length, graph.const(3 if change == "more" else -1))
    return graph.add("CenterCropPad", value, graph.shape_of(value, [length]), axes=[axis])
