"""Serving any size from a bundle: select, pad, run, crop, batch."""
