"""What was found of one artefact when it was compared with the original model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from scaling_tasks.compilers.contract import Tolerance
from scaling_tasks.errors import VerificationFailed
from scaling_tasks.verification.comparison import Difference, Sizes, worst
from scaling_tasks.verification.findings import Findings

__all__ = ["BucketCheck", "VerificationResult"]

_NUMBERS = "If this precision is wanted, raise verify.absolute or verify.relative."
_OTHER = (
    "No tolerance accepts that: the compiler made another model of it. Choose another backend or other options of it, "
    "or report it."
)
_WHOLE = (
    "It holds whole numbers, of which rounding may choose another one where scores nearly tie: let the model give the "
    "scores instead, or choose another backend; raise verify.absolute only where near numbers mean nearly the same."
)


@dataclass(frozen=True)
class BucketCheck:
    """The differences at one size.

    Attributes:
        bucket: The bucket that served it.
        sizes: The exact size, the bucket's own or a smaller one.
        outputs: One difference per output, over all random inputs the worst.
    """

    bucket: Sizes
    sizes: Sizes
    outputs: Annotated[tuple[Difference, ...], Meta(min_length=1)]

    @property
    def worst(self) -> Difference:
        """The output that is furthest off."""
        return worst(list(self.outputs))

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        head = self.worst.to_payload()
        keys = ("absolute", "relative", "agreement", "passed", "problem")
        return {
            "bucket": dict(self.bucket),
            "sizes": dict(self.sizes),
            **{key: head[key] for key in keys},
            "outputs": [difference.to_payload() for difference in self.outputs],
        }


@dataclass(frozen=True)
class VerificationResult(Findings):
    """What was found of one artefact.

    Attributes:
        artefact: File name of the artefact.
        backend: Who made it.
        tolerance: What was accepted.
        buckets: One check per bucket, and one per smaller size.
        unverified: Why it was compared nowhere; empty where it was.
    """

    kind, version = "verification", 2

    artefact: str
    backend: str = ""
    tolerance: Tolerance = field(default_factory=lambda: Tolerance(0.0, 0.0))
    buckets: tuple[BucketCheck, ...] = ()
    unverified: str = ""

    @property
    def passed(self) -> bool:
        """Whether every output is within the tolerance at every bucket; nothing that was compared nowhere passes."""
        return bool(self.buckets) and all(check.worst.passed for check in self.buckets)

    @property
    def absolute(self) -> float:
        """The largest absolute difference at any bucket."""
        return max((each.absolute for check in self.buckets for each in check.outputs), default=0.0)

    def to_payload(self) -> dict[str, Any]:
        """Return plain values for a JSON document."""
        if self.unverified:
            return {"artefact": self.artefact, "buckets": [], "unverified": self.unverified}
        return {
            "artefact": self.artefact,
            "backend": self.backend,
            "tolerance": {"absolute": self.tolerance.absolute, "relative": self.tolerance.relative},
            "passed": self.passed,
            "buckets": [check.to_payload() for check in self.buckets],
        }

    def failure(self, whole: Collection[str] = ()) -> VerificationFailed | None:
        """Return the error to raise, None where the artefact passed.

        Args:
            whole: Outputs of whole numbers, which stand for places or classes more often than for amounts.
        """
        if self.passed:
            return None
        failed = [check for check in self.buckets if not check.worst.passed]
        if not failed:
            return VerificationFailed("there is no bucket to compare it at", where=self.artefact)
        check = max(failed, key=lambda each: each.worst.excess)
        difference = check.worst
        found, fix = difference.problem, _OTHER
        if not found:
            found = (
                f"the largest difference is {difference.absolute:.3g} ({difference.relative:.3g} of the largest "
                f"value); accepted are {self.tolerance.absolute:g} + {self.tolerance.relative:g}·|value|"
            )
            if difference.output in whole:
                found += ", of whole numbers of 32 bits or more the first alone"
            fix = _WHOLE if difference.output in whole else _NUMBERS
        where = dict(check.sizes) or "its only shape"
        what = f"output {difference.output!r} differs from the original model at {where}: {found}"
        return VerificationFailed(what, where=self.artefact, fix=fix)
