"""What padding was found to do to the answers of one bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.verification.comparison import Amount, Difference, Share, Sizes, worst
from scaling_tasks.verification.findings import Findings

__all__ = ["PaddingProbe", "PaddingResult", "PolicyScore"]


@dataclass(frozen=True)
class PaddingProbe:
    """The differences at one size.

    Attributes:
        bucket: The bucket that served it.
        sizes: The true size.
        inputs: Which inputs: ``random``, ``smooth``, ``samples``, or the caller's name for its own.
        outputs: One difference per output.
    """

    bucket: Sizes
    sizes: Sizes
    inputs: str
    outputs: Annotated[tuple[Difference, ...], Meta(min_length=1)]

    @property
    def worst(self) -> Difference:
        """The output that is furthest off."""
        return worst(list(self.outputs))

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        outputs = [difference.to_payload() for difference in self.outputs]
        return {"bucket": dict(self.bucket), "sizes": dict(self.sizes), "inputs": self.inputs, "outputs": outputs}


@dataclass(frozen=True)
class PolicyScore:
    """How near a padding policy's answers are to the original's.

    Attributes:
        policy: Its name.
        agreement: The mean share of positions with the same largest class; None where no output has classes.
        mean: The mean of the largest absolute differences.
        absolute: The largest.
    """

    policy: str
    agreement: Share | None
    mean: Amount
    absolute: Amount


@dataclass(frozen=True)
class PaddingResult(Findings):
    """What padding does to the answers of one bundle.

    Attributes:
        model: Name of the model.
        tolerance: What counts as a change.
        probes: In order of bucket and size.
        policies: Those that were tried, the nearest to the original first, which is the one to recommend.
    """

    kind, version = "padding", 2

    model: str
    tolerance: Tolerance
    probes: tuple[PaddingProbe, ...]
    policies: tuple[PolicyScore, ...] = ()

    @property
    def absolute(self) -> float:
        """The largest absolute difference at any size."""
        return max((each.absolute for probe in self.probes for each in probe.outputs), default=0.0)

    @property
    def mean(self) -> float:
        """The mean over probes and outputs of the largest absolute difference."""
        return float(np.mean([each.absolute for probe in self.probes for each in probe.outputs] or [0.0]))

    @property
    def agreement(self) -> float | None:
        """The mean share of positions with the same largest class; None where no output has classes."""
        shares = [each.agreement for probe in self.probes for each in probe.outputs if each.agreement is not None]
        return float(np.mean(shares)) if shares else None

    @property
    def changed(self) -> dict[str, list[dict[str, int]]]:
        """Which outputs padding changes by more than the tolerance, and at which sizes."""
        found: dict[str, list[dict[str, int]]] = {}
        for probe in self.probes:
            for difference in probe.outputs:
                if not difference.passed and dict(probe.sizes) not in found.setdefault(difference.output, []):
                    found[difference.output].append(dict(probe.sizes))
        return {name: sizes for name, sizes in found.items() if sizes}

    def score(self, policy: str) -> PolicyScore:
        """Return how near the answers are to the original's under the policy that was measured."""
        return PolicyScore(policy, self.agreement, self.mean, self.absolute)

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        policies = {"policies": [vars(each) for each in self.policies], "recommended": self.recommended}
        return {
            **(policies if self.policies else {}),
            "model": self.model,
            "tolerance": {"absolute": self.tolerance.absolute, "relative": self.tolerance.relative},
            "probes": [probe.to_payload() for probe in self.probes],
            "changed": self.changed,
        }

    @property
    def recommended(self) -> str | None:
        """The policy that is nearest to the original, None where none were tried."""
        return self.policies[0].policy if self.policies else None

    def incomparable(self) -> VerificationFailed | None:
        """Return the error to raise where an answer has another form than the original's, or NaN where it has numbers.

        No tolerance and no policy accepts that.
        """
        for probe in self.probes:
            for found in probe.outputs:
                if found.problem:
                    return VerificationFailed(
                        f"output {found.output!r} at {dict(probe.sizes)} in the bucket {dict(probe.bucket)} cannot be "
                        f"compared with the original's: {found.problem}",
                        where=self.model,
                        fix="Fix a variable with input_shape, plan for the exact sizes, or pad with other values.",
                    )
        return None

    def failure(self) -> VerificationFailed | None:
        """Return the error to raise where padding must not change answers, None where it does not."""
        if not self.changed:
            return None
        probe = max(self.probes, key=lambda each: each.worst.excess)
        found = probe.worst
        return VerificationFailed(
            f"padding changes output {found.output!r} by {found.absolute:.3g} at {dict(probe.sizes)} in the bucket "
            f"{dict(probe.bucket)}; accepted are {self.tolerance.absolute:g} + {self.tolerance.relative:g}·|value|",
            where=self.model,
            fix="Try another padding policy, judge by a task metric, or raise verify.padding_tolerance.",
        )
