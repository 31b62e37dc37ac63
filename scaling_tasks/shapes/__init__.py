"""The shared vocabulary: variables, shapes, rounding, histograms of samples."""
