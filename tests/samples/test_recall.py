"""What of a directory is as it was: the ends that did not change."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from scaling_tasks.samples.blocks import Block
from scaling_tasks.samples.listing import Folder
from scaling_tasks.samples.recall import recall


@given(data=st.data())
def test_unchanged_ends_of_a_directory_are_found(data: st.DataObject) -> None:
    """Whatever is left out of the middle is as the block has it, and nothing that changed is."""
    row = st.tuples(st.integers(0, 3), st.integers(0, 3))
    old = data.draw(st.dictionaries(st.sampled_from("abcdefgh"), row, min_size=1))
    new = {**old, **data.draw(st.dictionaries(st.sampled_from("abcdefgh"), row, max_size=2))}
    for name in data.draw(st.sets(st.sampled_from(sorted(new)), max_size=min(2, len(new) - 1))):
        del new[name]
    folder, before = listed(new), listed(old)
    sides = array("i", range(1, len(old) + 1))
    recalled = recall(folder, Block.of(before, "", sides, sides))
    heights = {name: (*old[name], side, side) for name, side in zip(sorted(old), sides, strict=True)}
    middle = set(recalled.middle.names)
    kept = [name for name in sorted(new) if name not in middle]
    assert [heights[name][2] for name in kept] == [*recalled.heights[0], *recalled.heights[1]]
    assert all(old[name] == new[name] for name in kept)
    assert all(heights[name] == entry for name, entry in recalled.known.items())
    assert {name for name in middle if old.get(name) == new[name]} <= set(recalled.known)


def listed(files: dict[str, tuple[int, int]]) -> Folder:
    names = sorted(files)
    return Folder(
        "", names, array("q", [files[name][0] for name in names]), array("q", [files[name][1] for name in names])
    )
