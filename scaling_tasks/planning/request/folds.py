"""Parts of a histogram: all samples but some, and those."""

from __future__ import annotations

import numpy as np

from scaling_tasks.shapes.histogram import ShapeHistogram

__all__ = ["split_folds"]


def split_folds(histogram: ShapeHistogram, folds: int) -> list[tuple[ShapeHistogram, ShapeHistogram]]:
    """Return (all other folds, this fold) for each fold that is not empty; the same split for the same histogram.

    Whole weights are counts of samples and are dealt one by one; a sample of broken weight goes to one fold.
    """
    dealer = np.random.default_rng(20240229)
    weights = histogram.weights
    counted = (weights == np.floor(weights)) & (weights < 2**31)
    shares = np.full(folds, 1 / folds)
    dealt = dealer.multinomial(np.where(counted, weights, 1).astype(np.int64), shares).astype(np.float64)
    dealt[~counted] *= weights[~counted, None]
    pairs = []
    for fold in dealt.T:
        rest = weights - fold
        rest[rest < 1e-12 * weights] = 0
        if fold.any() and rest.any():
            parts = (ShapeHistogram.from_samples(histogram.samples, mass, histogram.variables) for mass in (rest, fold))
            pairs.append((next(parts), next(parts)))
    return pairs
