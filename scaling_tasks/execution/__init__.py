"""Doing work in processes of its own: limits, last words, logs, and locks between runs."""
