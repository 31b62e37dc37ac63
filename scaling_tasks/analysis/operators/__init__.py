"""What each operator does with axes and padding: one file per family, every rule in one table."""

from __future__ import annotations

__all__ = ["load_rules"]


def load_rules() -> None:
    """Fill the table of known operators."""
    from scaling_tasks.analysis.operators import (  # noqa: F401  # Each registers its rules.
        attention,
        classical,
        contributed,
        convolution,
        creation,
        cropping,
        elementwise,
        folding,
        fused_attention,
        fused_quantised,
        gathering,
        movement,
        normalisation,
        packed_attention,
        pooling,
        products,
        quantised,
        recurrences,
        recurrent,
        reduction,
        refused,
        regions,
        reshaping,
        resizing,
        sampling,
        scanning,
        slicing,
        softmax,
        spectra,
        writing,
    )
