"""Choosing k of very many candidates at least cost, with a proof: pure mathematics over arrays.

Nothing in here knows of variables, lattices, options or documents. `solve` tells the story; one module per step of it:
`line` (one dimension, exact), `candidates` (all joins of points), `search` (a good choice), `bound` (where the lower
bound is computed), `branch` (exact where small), `product` (lists per dimension), `effort` (every budget).
"""
