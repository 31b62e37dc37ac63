"""Command line; see the end of this commit series."""
