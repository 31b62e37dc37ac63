"""The report of one target."""
