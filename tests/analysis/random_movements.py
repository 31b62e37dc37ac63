"""How operators that move positions are put behind a value of a random graph: order, merging, cutting, repeating."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.analysis.random_graphs import Draw, Growing, Value, axis_of, operator


@operator("Transpose")
def transpose(graph: Growing, draw: Draw, value: Value) -> Value:
    """Any order of axes."""
    return graph.add("Transpose", value, perm=draw(st.permutations(range(value.rank))))


@operator("Merge")
def merge(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Two neighbouring axes made one, by -1 or by arithmetic on sizes."""
    if value.rank < 2:
        return None
    at = draw(st.integers(0, value.rank - 2))
    sizes = [graph.size(value, axis) for axis in range(value.rank)]
    both = -1 if draw(st.booleans()) else graph.add("Mul", sizes[at], sizes[at + 1])
    return graph.add("Reshape", value, graph.shape_of(value, [*sizes[:at], both, *sizes[at + 2 :]]))


@operator("Part")
def part(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """An axis taken apart by two: the variable part outside or inside."""
    at = axis_of(draw, value)
    sizes = [graph.size(value, axis) for axis in range(value.rank)]
    pair = [-1, 2] if draw(st.booleans()) else [2, -1]
    return graph.add("Reshape", value, graph.shape_of(value, [*sizes[:at], *pair, *sizes[at + 1 :]]))


@operator("Flatten")
def flatten(graph: Growing, draw: Draw, value: Value) -> Value:
    """All axes made two."""
    return graph.add("Flatten", value, axis=draw(st.integers(0, value.rank)))


@operator("Concat")
def concat(graph: Growing, draw: Draw, value: Value) -> Value:
    """Another value, the same, or a constant row put behind or before."""
    axis = axis_of(draw, value)
    other: Value = draw(st.sampled_from([value, *graph.values]))
    if draw(st.integers(0, 2)) == 0 and all(value.fixed(at) for at in range(value.rank) if at != axis):
        other = graph.weight(*[1 if at == axis else value.fixed(at) or 1 for at in range(value.rank)], scale=1.0)
    pair = (value, other) if draw(st.booleans()) else (other, value)
    return graph.add("Concat", *pair, axis=axis)


@operator("Slice")
def slice_(graph: Growing, draw: Draw, value: Value) -> Value:
    """A part of an axis from either end, with any step."""
    far = 2**62
    starts = [
        (0, far, 2),
        (1, far, 1),
        (0, -1, 1),
        (-2, far, 1),
        (-1, -far, -1),
        (0, 3, 1),
        (2, -1, 2),
        (-3, -1, 1),
        (-2, -far, -2),
    ]
    bounds = draw(st.sampled_from(starts))
    start, end, step = (graph.const([number]) for number in bounds)
    return graph.add("Slice", value, start, end, graph.const([axis_of(draw, value)]), step)


@operator("HalfSlice")
def half_slice(graph: Growing, draw: Draw, value: Value) -> Value:
    """The first or the second half of an axis, by arithmetic on its size."""
    axis = axis_of(draw, value)
    half = graph.shape_of(value, [graph.add("Div", graph.size(value, axis), graph.const(2))])
    bounds = (half, graph.const([2**62])) if draw(st.booleans()) else (graph.const([0]), half)
    return graph.add("Slice", value, *bounds, graph.const([axis]))


@operator("Split")
def split(graph: Growing, draw: Draw, value: Value) -> Value:
    """One of two equal parts of an axis."""
    parts = {"num_outputs": 2} if graph.opset >= 18 else {}
    both = graph.add("Split", value, outputs=2, axis=axis_of(draw, value), **parts)
    return both[draw(st.integers(0, 1))]


@operator("Gather")
def gather(graph: Growing, draw: Draw, value: Value) -> Value:
    """Positions by constant numbers, from either end."""
    index = draw(st.sampled_from([0, -1, 1, [0, 1], [1, 0, -1]]))
    return graph.add("Gather", value, graph.const(index), axis=axis_of(draw, value))


@operator("Resize")
def resize(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Another size of the last axis or two, by factors or by sizes."""
    if value.rank not in (3, 4):
        return None
    mode = draw(st.sampled_from(["nearest", "linear", "cubic"]))
    place = draw(st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]))
    attributes = {"mode": mode, "coordinate_transformation_mode": place}
    if mode == "nearest":
        attributes["nearest_mode"] = draw(st.sampled_from(["floor", "round_prefer_floor", "ceil"]))
    factors = [1.0, 1.0, *(draw(st.sampled_from([2.0, 0.5, 1.5])) for _ in range(value.rank - 2))]
    if draw(st.booleans()):
        return graph.add("Resize", value, None, graph.const(factors), **attributes)
    twice = [
        graph.add("Mul", graph.size(value, axis), graph.const(2 if axis >= 2 else 1)) for axis in range(value.rank)
    ]
    return graph.add("Resize", value, None, None, graph.shape_of(value, twice), **attributes)


@operator("Pad")
def pad(graph: Growing, draw: Draw, value: Value) -> Value:
    """Positions added before and after, constant, reflected or repeated."""
    mode = draw(st.sampled_from(["constant", "reflect", "edge"]))
    pads = graph.const([draw(st.sampled_from([0, 0, 1, 2])) for _ in range(2 * value.rank)])
    extra = [graph.const(0.7)] if mode == "constant" else []
    return graph.add("Pad", value, pads, *extra, mode=mode)


@operator("CumSum")
def cumsum(graph: Growing, draw: Draw, value: Value) -> Value:
    """A running sum from either end."""
    flags = {"reverse": draw(st.integers(0, 1)), "exclusive": draw(st.integers(0, 1))}
    return graph.add("CumSum", value, graph.const(axis_of(draw, value)), **flags)


@operator("ArgMax")
def argmax(graph: Growing, draw: Draw, value: Value) -> Value:
    """The place of the greatest or least, as a number."""
    kind = draw(st.sampled_from(["ArgMax", "ArgMin"]))
    place = graph.add(kind, value, axis=axis_of(draw, value), keepdims=1)
    return graph.add("Cast", place, to=1)


@operator("TopK")
def top_k(graph: Growing, draw: Draw, value: Value) -> Value:
    """The two greatest or least."""
    found = graph.add(
        "TopK", value, graph.const([2]), outputs=2, axis=axis_of(draw, value), largest=draw(st.integers(0, 1))
    )
    return found[0]


@operator("Recurrent")
def recurrent(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """LSTM, GRU or RNN, in any direction; all positions, or the last state."""
    width = value.fixed(2) if value.rank == 3 else None
    if width is None:
        return None
    kind, gates = draw(st.sampled_from([("LSTM", 4), ("GRU", 3), ("RNN", 1)]))
    way = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    ways = 2 if way == "bidirectional" else 1
    weights = [graph.weight(ways, gates * 3, size, scale=0.6) for size in (width, 3)]
    outputs = graph.add(kind, value, *weights, outputs=2, hidden_size=3, direction=way)
    if draw(st.booleans()):
        return outputs[1]
    turned = graph.add("Transpose", outputs[0], perm=[0, 2, 1, 3])
    return graph.add("Reshape", turned, graph.const([0, 0, -1]))


@operator("DivideBySize")
def divide_by_size(graph: Growing, draw: Draw, value: Value) -> Value:
    """A value divided by, or multiplied with, the size of an axis."""
    number = graph.add("Cast", graph.size(value, axis_of(draw, value)), to=1)
    return graph.add("Div", value, number)


@operator("Positions")
def positions(graph: Growing, draw: Draw, value: Value) -> Value:
    """The number of each position along an axis, by Range, added to it."""
    axis = axis_of(draw, value)
    numbers = graph.add("Cast", graph.add("Range", graph.const(0), graph.size(value, axis), graph.const(1)), to=1)
    wide = (
        graph.add(
            "Unsqueeze", graph.add("Mul", numbers, graph.const(0.1)), graph.const(list(range(1, value.rank - axis)))
        )
        if axis < value.rank - 1
        else graph.add("Mul", numbers, graph.const(0.1))
    )
    return graph.add("Add", value, wide)


@operator("Tile")
def tile(graph: Growing, draw: Draw, value: Value) -> Value:
    """An axis repeated."""
    axis = axis_of(draw, value)
    return graph.add("Tile", value, graph.const([2 if at == axis else 1 for at in range(value.rank)]))


@operator("Expand")
def expand(graph: Growing, draw: Draw, value: Value) -> Value:
    """A new axis, as long as another one."""
    axis = axis_of(draw, value)
    wide = graph.add("Unsqueeze", value, graph.const([0]))
    sizes = [graph.size(value, at) for at in range(value.rank)]
    return graph.add("Expand", wide, graph.shape_of(value, [sizes[axis], *sizes]))


@operator("Causal")
def causal(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """The lower triangle of the last two axes, as a causal mask has it."""
    return graph.add("Trilu", value, upper=draw(st.integers(0, 1))) if value.rank > 1 and graph.opset >= 14 else None


@operator("Squeeze")
def squeeze(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """An axis of length one taken away, or another one added."""
    single = [axis for axis in value.fixed_axes if value.fixed(axis) == 1]
    if single and value.rank > 1:
        return graph.add("Squeeze", value, graph.const([draw(st.sampled_from(single))]))
    return graph.add("Unsqueeze", value, graph.const([draw(st.integers(0, value.rank))]))


@operator("DepthToSpace")
def depth_to_space(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Channels to positions or positions to channels."""
    if value.rank != 4:
        return None
    return graph.add(draw(st.sampled_from(["DepthToSpace", "SpaceToDepth"])), value, blocksize=2)


@operator("Einsum")
def einsum(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Contractions of a value with itself."""
    texts = {2: ["ij,kj->ik", "ij,ij->i", "ij->j"], 3: ["bij,bkj->bik", "bij,bij->bj", "bij->ib", "bij,bik->bjk"]}
    if value.rank not in texts:
        return None
    text = draw(st.sampled_from(texts[value.rank]))
    return graph.add("Tanh", graph.add("Einsum", *[value] * (1 + text.count(",")), equation=text))


@operator("Reverse")
def reverse(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """ReverseSequence with every row as long as the axis."""
    if value.rank < 2:
        return None
    batch = draw(st.integers(0, 1))
    lengths = graph.add("Expand", graph.size(value, 1 - batch), graph.shape_of(value, [graph.size(value, batch)]))
    return graph.add("ReverseSequence", value, lengths, batch_axis=batch, time_axis=1 - batch)


@operator("Sampled")
def sampled(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """An image read at places that follow from itself, in parts of its size."""
    if value.rank != 4 or graph.opset < 16 or (value.fixed(1) or 0) < 2:
        return None
    places = graph.add("Tanh", graph.add("Transpose", value, perm=[0, 2, 3, 1]))
    two = graph.add("Slice", places, *map(graph.const, ([0], [2], [3])))
    beyond = draw(st.sampled_from(["zeros", "border"]))
    corners = draw(st.integers(0, 1))
    mode = "linear" if graph.opset >= 20 else "bilinear"
    return graph.add("GridSample", value, two, mode=mode, padding_mode=beyond, align_corners=corners)


@operator("Regions")
def regions(graph: Growing, draw: Draw, value: Value) -> Value | None:
    """Regions of an image, some of which lie across its ends; one for each of its images."""
    if value.rank != 4 or graph.opset < 16:
        return None
    ends = graph.const([[-1.5, 0.5, 4.0, 9.0], [2.0, 1.0, 30.0, 6.5]])
    kind = draw(st.sampled_from(["half_pixel", "output_half_pixel"]))
    known = {"output_height": 2, "output_width": draw(st.integers(1, 3)), "coordinate_transformation_mode": kind}
    known |= {"sampling_ratio": draw(st.integers(1, 3)), "spatial_scale": draw(st.sampled_from([1.0, 0.5]))}
    # Beside zero a product of many shows how the places of samples are rounded.
    return graph.add(
        "Add", graph.add("Abs", graph.add("RoiAlign", value, ends, graph.const([0, 0]), **known)), graph.const(0.1)
    )


@operator("Written")
def written(graph: Growing, draw: Draw, value: Value) -> Value:
    """Positions from the end of an axis added to, or set, by number."""
    axis = axis_of(draw, value)
    sizes = [graph.size(value, at) if at != axis else 1 for at in range(value.rank)]
    numbers = graph.add("Expand", graph.const(draw(st.sampled_from([0, -1]))), graph.shape_of(value, sizes))
    updates = graph.add("Expand", graph.const(0.75), graph.shape_of(value, sizes))
    return graph.add("ScatterElements", value, numbers, updates, axis=axis)
