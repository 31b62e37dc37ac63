"""What ends the following of one operator."""

from __future__ import annotations

from collections.abc import Iterable

from scaling_tasks.shapes.behaviour import DATA

__all__ = ["NotKnown", "Refused", "no_data"]


class Refused(Exception):  # noqa: N818  # Not an error of the program: the walk goes on with what is known.
    """An operator that cannot be followed.

    Attributes:
        text: What stands in the way.
        fix: What the user can do.
    """

    def __init__(self, text: str, fix: str = "") -> None:
        super().__init__(text)
        self.text, self.fix = text, fix


class NotKnown(Refused):
    """An operator whose result is as large as an input says, which is not known.

    Attributes:
        index: Of the input.
    """

    def __init__(self, index: int) -> None:
        super().__init__(f"its input {index} depends on data, so that the size of the result does")
        self.index = index


def no_data(variables: Iterable[str]) -> None:
    """Make sure that a request's sizes tell these lengths.

    Raises:
        Refused: One depends on data.
    """
    if any(name.startswith(DATA) for name in variables):
        raise Refused("a length that it needs depends on data, so that a request's sizes do not tell it")
