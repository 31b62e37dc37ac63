"""Choosing buckets: strategies, cost models, exact and certified optimisers."""
