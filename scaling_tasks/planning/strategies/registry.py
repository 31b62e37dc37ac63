"""All strategies by name, and what each takes of a request."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scaling_tasks.errors import PlanError
from scaling_tasks.planning.request.request import Choice, PlanRequest
from scaling_tasks.planning.strategies import explicit, mindocr, optimal, segments
from scaling_tasks.planning.strategies.grids import choose_by_rule
from scaling_tasks.planning.strategies.rules_of_thumb import RULES

__all__ = ["STRATEGIES", "Strategy", "choose", "find_strategy"]

# What changes the meaning of a plan, so that a strategy must either mind it or say that it does not.
_BINDING = (
    "bucket_price",
    "headroom",
    "drop_quantile",
    "target_padding",
    "robust",
    "limits",
    "buckets_per",
    "reachable",
    "latency_limit",
)


@dataclass(frozen=True)
class Strategy:
    """One way to choose buckets.

    Attributes:
        choose: From a request and the largest number of buckets to the choice.
        takes: The binding options that it minds. Sizes, choices, ranges and the fewest buckets are minded by all.
    """

    choose: Callable[[PlanRequest, int], Choice]
    takes: frozenset[str] = frozenset()


STRATEGIES: Mapping[str, Strategy] = {
    "optimal": Strategy(optimal.choose, frozenset(_BINDING)),
    "mean_std": Strategy(mindocr.choose_mean_std, frozenset(("target_padding",))),
    "max_min": Strategy(mindocr.choose_max_min, frozenset(("target_padding",))),
    "segments": Strategy(segments.choose, frozenset(("target_padding",))),
    "explicit": Strategy(explicit.choose, frozenset(("drop_quantile",))),
    **{
        name: Strategy(choose_by_rule(name), frozenset(("headroom", "drop_quantile", "target_padding")))
        for name in RULES
    },
}


def find_strategy(name: str) -> Strategy:
    """Return the strategy of a name.

    Raises:
        PlanError: There is none.
    """
    if name not in STRATEGIES:
        close = difflib.get_close_matches(str(name), STRATEGIES, 1)
        fix = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(STRATEGIES)}."
        raise PlanError(f"{name!r} is no strategy", where="strategy", fix=fix)
    return STRATEGIES[name]


def choose(request: PlanRequest, name: str, most: int) -> Choice:
    """Return the buckets of a strategy, at most ``most``.

    Raises:
        PlanError: The strategy does not take the request.
    """
    strategy = find_strategy(name)
    for option, value in _asked(request).items():
        if option not in strategy.takes:
            raise PlanError(
                f"the strategy {name!r} does not mind it ({value!r})",
                where=option,
                fix="Leave it out, or take the strategy 'optimal'.",
            )
    return strategy.choose(request, most)


def _asked(request: PlanRequest) -> dict[str, Any]:
    defaults = type(request.options)()
    asked = {name: getattr(request.options, name) for name in _BINDING}
    return {name: value for name, value in asked.items() if value != getattr(defaults, name)}
