"""How much work may be done: the budgets that an effort sets, in counts, never by the clock, so that results repeat.

A budget that is the same for every effort stands beside what it bounds, or here where several ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EFFORTS", "ONE_BY_ONE", "Effort"]

# More buckets than this are not chosen one by one: that takes the square of their number. The best choice is shrunk.
ONE_BY_ONE = 200


@dataclass(frozen=True)
class Effort:
    """Budgets. The unit of work is one comparison of a point with a line of candidates, 25 ns, with numba 5 ns.

    Attributes:
        candidates: Most candidates that a solution is searched among; where there are more, coordinates are left out.
        proof_candidates: Most candidates that a bound is computed over.
        pool: Most entries (points times candidates) of the table that exchanges work on.
        many: More points than this are searched on cells instead of tables.
        shakes: Most attempts to leave a solution that no exchange improves.
        ascent: Work that goes into raising the bound.
        steps: Most steps of the ascent on one grid.
        pairs: Most pairs of a point and a candidate handed to branch and bound; 0 for never.
        nodes: Most nodes of branch and bound.
        rounds: Most rounds of moving a choice made among some coordinates to the best of all.
        repairs: Most attempts to improve the solution by what the relaxation takes in part.
    """

    candidates: int = 400_000
    proof_candidates: int = 4_000_000
    pool: int = 1_000_000
    many: int = 1_500
    shakes: int = 30
    ascent: int = 400_000_000
    steps: int = 400
    pairs: int = 8_000
    nodes: int = 2_000
    rounds: int = 6
    repairs: int = 100


QUICK = Effort(candidates=40_000, pool=600_000, ascent=0, steps=0, shakes=0, pairs=0, rounds=0, repairs=0)
NORMAL = Effort()
THOROUGH = Effort(
    candidates=1_000_000,
    pool=4_000_000,
    ascent=2_500_000_000,
    steps=2_000,
    shakes=300,
    pairs=60_000,
    rounds=20,
    repairs=200,
)

EFFORTS = {"quick": QUICK, "normal": NORMAL, "thorough": THOROUGH}
