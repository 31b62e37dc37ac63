"""Checking artefacts against the original model."""
